from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sevensteps.data import cifar as module
from sevensteps.data.cifar import RECORD_BYTES, read_cifar10
from sevensteps.data.sources import read_source
from sevensteps.errors import DataError

CLASSES = ["airplane", "automobile", "bird"]


def write_cifar(folder: Path, per_file: int = 4) -> np.ndarray:
    """Six files as the publisher has them, only smaller; gives all records in order."""
    folder.mkdir(parents=True, exist_ok=True)
    records = np.random.default_rng(0).integers(0, 256, (6, per_file, RECORD_BYTES), dtype=np.uint8)
    records[:, :, 0] %= len(CLASSES)
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    for name, batch in zip(names, records, strict=True):
        (folder / name).write_bytes(batch.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(CLASSES) + "\n\n")
    return records


def test_the_records_become_pixels_and_labels(tmp_path: Path) -> None:
    records = write_cifar(tmp_path)
    splits, classes = read_cifar10(tmp_path)
    assert classes == CLASSES
    assert list(splits) == ["train", "test"]
    pixels, labels = splits["train"]
    assert (pixels.shape, pixels.dtype) == ((20, 3, 32, 32), np.uint8)
    assert (labels.shape, labels.dtype) == ((20,), np.int64)
    np.testing.assert_array_equal(labels, records[:5, :, 0].ravel())
    # record 4 of file 2: green, row 3, column 7
    assert pixels[7, 1, 3, 7] == records[1, 3, 1 + 1024 + 3 * 32 + 7]
    np.testing.assert_array_equal(splits["test"][0].reshape(4, -1), records[5, :, 1:])


@pytest.mark.parametrize("name", ["data_batch_3.bin", "test_batch.bin", "batches.meta.txt"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_cifar(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=rf"cannot read .*{name}: No such file") as caught:
        read_cifar10(tmp_path)
    assert "batches.meta.txt, data_batch_1.bin to _5.bin and test_batch.bin" in caught.value.hint


@pytest.mark.parametrize("size", [0, RECORD_BYTES - 1, RECORD_BYTES + 1])
def test_records_that_are_not_whole_are_refused(tmp_path: Path, size: int) -> None:
    write_cifar(tmp_path)
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(size))
    with pytest.raises(DataError, match=f"whole records of 3,073 bytes, found {size:,} bytes"):
        read_cifar10(tmp_path)


def test_a_label_without_a_name_is_refused(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(b"\3" + bytes(RECORD_BYTES - 1))
    with pytest.raises(DataError, match=r"expected labels below 3, .* found 3"):
        read_cifar10(tmp_path)


@pytest.mark.parametrize("names", ["", "\n\n", "cat\ncat\n"])
def test_class_names_have_to_be_there_once_each(tmp_path: Path, names: str) -> None:
    write_cifar(tmp_path)
    (tmp_path / "batches.meta.txt").write_text(names)
    with pytest.raises(DataError, match="one class name a line, each once"):
        read_cifar10(tmp_path)


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path)
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match="it has more than 1,000 bytes"):
        read_cifar10(tmp_path)


def test_a_folder_of_such_files_is_data(tmp_path: Path) -> None:
    records = write_cifar(tmp_path)
    data = read_source(tmp_path)
    assert {split: len(part.x) for split, part in data.splits.items()} == {"train": 20, "test": 4}
    assert data.splits["test"].labels == [CLASSES[label] for label in records[5, :, 0]]
    (tmp_path / "data_batch_3.bin").unlink()
    with pytest.raises(DataError, match=r"data_batch_3\.bin"):
        read_source(tmp_path)
