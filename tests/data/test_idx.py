from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sevensteps.data import idx as module
from sevensteps.data.idx import find_idx, load_idx, read_idx
from sevensteps.errors import DataError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array: np.ndarray) -> bytes:
    code = CODES[array.dtype.str[1:]]
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_set(folder: Path, split: str, count: int = 5, *, suffix: str = "", prefix: str = "", dot: str = "-") -> None:
    folder.mkdir(exist_ok=True)
    images = np.arange(count * 6, dtype=np.uint8).reshape(count, 2, 3)
    for what, array in [("images", images), ("labels", np.arange(count, dtype=np.uint8))]:
        content = idx_bytes(array)
        name = f"{prefix}{split}-{what}{dot}idx{array.ndim}-ubyte{suffix}"
        (folder / name).write_bytes(gzip.compress(content) if suffix else content)


@given(
    array=st.sampled_from(sorted(CODES)).flatmap(
        lambda code: arrays.arrays(code, arrays.array_shapes(min_dims=1, max_dims=4, max_side=5))
    ),
    zipped=st.booleans(),
)
def test_what_was_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, zipped: bool
) -> None:
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(idx_bytes(array)) if zipped else idx_bytes(array))
    found = read_idx(path)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype
    assert found.dtype.isnative


def test_mnist_is_read_as_published(mnist: Path) -> None:
    splits = load_idx(mnist)
    assert list(splits) == ["train", "test"]
    for split, count in [("train", 60_000), ("test", 10_000)]:
        pixels, labels = splits[split]
        assert (pixels.shape, pixels.dtype) == ((count, 1, 28, 28), np.uint8)
        assert (labels.shape, labels.dtype) == ((count,), np.int64)
    assert splits["train"][1][:5].tolist() == [5, 0, 4, 1, 9]
    assert splits["test"][1][:5].tolist() == [7, 2, 1, 0, 4]
    assert splits["train"][0].mean() / 255 == pytest.approx(0.1307, abs=1e-4)


@pytest.mark.parametrize(
    ("content", "expected", "found"),
    [
        (b"", "expected 00 00, a type code", "found nothing"),
        (b"\0\0\x08", "expected 00 00, a type code", "found 00 00 08"),
        (b"\1\0\x08\1" + bytes(8), "expected 00 00, a type code", "found 01 00 08 01"),
        (b"\0\0\x0a\1" + bytes(8), "expected 00 00, a type code", "found 00 00 0a 01"),
        (b"\0\0\x08\0" + bytes(8), "a rank of 1 or more", "found 00 00 08 00"),
        (b"\0\0\x08\3" + bytes(8), "a header with 3 sizes", "found 8 bytes of them"),
        (b"\0\0\x08\1\0\0\0\5" + b"1234", "expected 5 bytes of numbers", "found 4"),
        (b"\0\0\x08\1\0\0\0\5" + b"123456", "expected 5 bytes of numbers", "found more"),
        (
            b"\0\0\x0e\4" + b"\xff" * 16,
            "expected at most 4,294,967,296 bytes",
            "a header that announces 2,722,",
        ),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_that_is_not_whole_idx_is_refused(
    tmp_path: Path, content: bytes, expected: str, found: str, zipped: bool
) -> None:
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(DataError) as caught:
        read_idx(path)
    assert str(path) in caught.value.message
    assert expected in caught.value.message
    assert found in caught.value.message
    assert "fetch it again" in caught.value.hint


def test_a_damaged_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    whole = gzip.compress(idx_bytes(np.arange(200, dtype=np.uint8)))
    wrong_checksum = whole[:-8] + bytes(4) + whole[-4:]
    for content in (whole[:-20], whole[:-1], wrong_checksum, whole[:20] + b"\xff" * 50 + whole[70:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"file\.gz"):
            read_idx(path)


def test_a_gzip_bomb_is_read_no_further_than_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\1\0\0\0\5" + bytes(50_000_000)))
    read: list[int] = []
    unpatched = module._read

    class Counting:
        def __init__(self, file: module._Readable) -> None:
            self.file = file

        def read(self, count: int) -> bytes:
            read.append(count)
            return self.file.read(count)

        def readinto(self, buffer: np.ndarray) -> int | None:
            read.append(len(buffer))
            return self.file.readinto(buffer)

    monkeypatch.setattr(module, "_read", lambda file, path: unpatched(Counting(file), path))
    with pytest.raises(DataError, match="found more"):
        read_idx(path)
    assert sum(read) == 4 + 4 + 5 + 1


def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(DataError, match="cannot read"):
            read_idx(path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("prefix", ["", "emnist-letters-"])
@pytest.mark.parametrize("dot", ["-", "."])
def test_the_names_in_use_are_found(tmp_path: Path, suffix: str, prefix: str, dot: str) -> None:
    for split in ("train", "valid", "test"):
        write_set(tmp_path, split, suffix=suffix, prefix=prefix, dot=dot)
    found = find_idx(tmp_path)
    assert list(found) == ["train", "valid", "test"]
    for split, (images, labels) in found.items():
        assert images.name == f"{prefix}{split}-images{dot}idx3-ubyte{suffix}"
        assert labels.name == f"{prefix}{split}-labels{dot}idx1-ubyte{suffix}"


def test_t10k_is_the_test_set(tmp_path: Path) -> None:
    write_set(tmp_path, "t10k")
    assert list(find_idx(tmp_path)) == ["test"]


def test_an_unzipped_copy_beside_the_zipped_one_is_taken(tmp_path: Path) -> None:
    write_set(tmp_path, "train", suffix=".gz")
    write_set(tmp_path, "train")
    assert [path.suffix for path in find_idx(tmp_path)["train"]] == ["", ""]


def test_a_folder_without_idx_files_gives_nothing(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").mkdir()
    (tmp_path / "notes-on-train-images.txt").write_text("")
    (tmp_path / "constrain-images-idx3-ubyte").write_text("")
    assert find_idx(tmp_path) == {}
    with pytest.raises(DataError, match="no IDX files in"):
        load_idx(tmp_path)
    with pytest.raises(DataError, match="no folder"):
        find_idx(tmp_path / "nowhere")


def test_images_and_labels_need_each_other(tmp_path: Path) -> None:
    for what, rank, missing in [("images", 3, "labels"), ("labels", 1, "images")]:
        folder = tmp_path / what
        write_set(folder, "train")
        (folder / f"train-{missing}-idx{4 - rank}-ubyte").unlink()
        with pytest.raises(DataError, match=rf"train-{what}-idx{rank}-ubyte has no {missing} beside it"):
            find_idx(folder)


def test_two_sets_in_one_folder_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path, "train", prefix="emnist-letters-")
    write_set(tmp_path, "train", prefix="emnist-digits-")
    with pytest.raises(DataError, match=r"two sets for train: emnist-digits-train.* and emnist-letters-train"):
        find_idx(tmp_path)


def test_pixels_get_one_channel_and_labels_are_int64(tmp_path: Path) -> None:
    write_set(tmp_path, "train", 5)
    pixels, labels = load_idx(tmp_path)["train"]
    assert (pixels.shape, pixels.dtype) == ((5, 1, 2, 3), np.uint8)
    assert (labels.tolist(), labels.dtype) == ([0, 1, 2, 3, 4], np.int64)
    assert pixels[1].ravel().tolist() == [6, 7, 8, 9, 10, 11]


def test_labels_of_any_integer_type_are_taken(tmp_path: Path) -> None:
    write_set(tmp_path, "train", 2)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.array([300, 70_000], "i4")))
    assert load_idx(tmp_path)["train"][1].tolist() == [300, 70_000]


@pytest.mark.parametrize(
    ("what", "array", "message"),
    [
        (
            "images-idx3",
            np.zeros((5, 2, 3), "f4"),
            "expected grey pictures, uint8 N×H×W, found float32 of 5×2×3",
        ),
        ("images-idx3", np.zeros((5, 2, 3, 3), "u1"), "found uint8 of 5×2×3×3"),
        ("images-idx3", np.zeros((0, 2, 3), "u1"), "found uint8 of 0×2×3"),
        (
            "images-idx3",
            np.zeros((4, 2, 3), "u1"),
            "has 4 pictures, but train-labels-idx1-ubyte has 5 labels",
        ),
        ("labels-idx1", np.zeros((5, 8), "u1"), "expected labels as integers from 0 on"),
        ("labels-idx1", np.zeros(5, "f8"), "found float64 of 5"),
        ("labels-idx1", np.full(5, -1, "i1"), "expected labels as integers from 0 on"),
    ],
)
def test_images_and_labels_that_do_not_fit_are_refused(
    tmp_path: Path, what: str, array: np.ndarray, message: str
) -> None:
    write_set(tmp_path, "train")
    (tmp_path / f"train-{what}-ubyte").write_bytes(idx_bytes(array))
    with pytest.raises(DataError) as caught:
        load_idx(tmp_path)
    assert message in caught.value.message
    assert caught.value.hint
