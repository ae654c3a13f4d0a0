from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sevensteps.data import samples
from sevensteps.data.preprocessing import Preprocessing
from sevensteps.data.sources import DIGITS, read_source
from sevensteps.errors import DataError


def save_idx(folder: Path, split: str, pixels: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in ((f"{split}-images-idx3-ubyte", pixels), (f"{split}-labels-idx1-ubyte", labels)):
        header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        (folder / name).write_bytes(header + array.astype(np.uint8).tobytes())


def save_pictures(folder: Path) -> Path:
    for number, label in enumerate("abab"):
        path = folder / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 3), number).save(path)
    return folder


@pytest.fixture
def idx(tmp_path):
    pixels = np.arange(4 * 3 * 5, dtype=np.uint8).reshape(4, 3, 5)
    save_idx(tmp_path / "idx", "train", pixels, np.array([9, 0, 9, 1]))
    save_idx(tmp_path / "idx", "t10k", pixels[:2], np.array([1, 0]))
    return tmp_path / "idx", pixels


def test_without_a_name_it_is_the_embedded_digits():
    data = read_source()
    assert data.where == DIGITS
    assert list(data.splits) == ["train"]
    assert data.splits["train"].x.shape == (1797, 1, 8, 8)
    assert data.splits["train"].x.dtype == np.uint8
    assert sorted(set(data.splits["train"].labels)) == list("0123456789")
    assert data.preprocessing == Preprocessing(1, 8, 8)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_of_pictures_is_read(tmp_path, kind):
    data = read_source(kind(save_pictures(tmp_path)))
    assert data.where == str(tmp_path)
    assert data.splits["train"].labels == ["a", "a", "b", "b"]
    assert data.splits["train"].x[:, 0, 0, 0].tolist() == [0, 2, 1, 3]


def test_a_csv_is_read(tmp_path):
    save_pictures(tmp_path)
    (tmp_path / "labels.csv").write_text("path,label,split\na/0.png,x,train\nb/1.png,y,test\n")
    data = read_source(tmp_path / "labels.csv")
    assert {split: part.labels for split, part in data.splits.items()} == {"train": ["x"], "test": ["y"]}


def test_idx_files_are_read_with_numbers_for_classes(idx):
    folder, pixels = idx
    data = read_source(folder)
    assert data.where == str(folder)
    assert list(data.splits) == ["train", "test"]
    assert np.array_equal(data.splits["train"].x[:, 0], pixels)
    assert data.splits["train"].labels == ["9", "0", "9", "1"]


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("mnist", ["9", "0", "9", "1"]),
        ("fashion_mnist", ["Ankle boot", "T-shirt/top", "Ankle boot", "Trouser"]),
    ],
)
def test_a_dataset_of_idx_files_has_the_names_of_its_classes(idx, monkeypatch, name, labels):
    told = []

    def fetch(wanted, *, progress=None):
        assert wanted == name
        progress(5, 10)
        return idx[0]

    monkeypatch.setattr(samples, "fetch", fetch)
    data = read_source(name, progress=lambda *now: told.append(now))
    assert data.where == name
    assert data.splits["train"].labels == labels
    assert told == [("downloading", 5, 10)]


def test_cifar_has_the_names_of_its_classes(tmp_path, monkeypatch):
    (tmp_path / "batches.meta.txt").write_text("airplane\nautomobile\n")
    for number, name in enumerate([*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]):
        (tmp_path / name).write_bytes(bytes([number % 2]) + bytes(3 * 32 * 32))
    monkeypatch.setattr(samples, "fetch", lambda name, *, progress=None: tmp_path)
    data = read_source("cifar10")
    assert data.where == "cifar10"
    assert data.splits["train"].labels == ["airplane", "automobile", "airplane", "automobile", "airplane"]
    assert data.splits["test"].labels == ["automobile"]
    assert data.preprocessing == Preprocessing(3, 32, 32)


def test_a_dataset_of_folders_is_read_as_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "fetch", lambda name, *, progress=None: save_pictures(tmp_path))
    assert read_source("mnist_sample").splits["train"].labels == ["a", "a", "b", "b"]


def test_a_path_goes_before_a_dataset_of_the_same_name(tmp_path, monkeypatch):
    save_pictures(tmp_path / "mnist")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(samples, "fetch", lambda *_, **__: pytest.fail("fetched"))
    assert len(read_source("mnist").splits["train"].x) == 4


@pytest.mark.parametrize("name", ["mnits", "nowhere/at/all", "n" * 300, "no\0where"])
def test_an_unknown_name_is_told_with_the_datasets(name):
    with pytest.raises(DataError) as caught:
        read_source(name)
    assert caught.value.message == f"no such path, and no dataset of that name: {name}"
    assert all(dataset in caught.value.hint for dataset in samples.DATASETS)


@pytest.mark.parametrize("source", ["digits", "folder", "csv", "idx"])
def test_every_source_takes_another_models_preprocessing(tmp_path, idx, source):
    save_pictures(tmp_path / "pictures")
    (tmp_path / "labels.csv").write_text("path,label\npictures/a/0.png,a\npictures/b/1.png,b\n")
    places = {"digits": None, "folder": tmp_path / "pictures", "csv": tmp_path / "labels.csv", "idx": idx[0]}
    data = read_source(places[source], Preprocessing(3, 6, 7))
    assert data.preprocessing == Preprocessing(3, 6, 7)
    assert all(part.x.shape[1:] == (3, 6, 7) for part in data.splits.values())
    assert all(part.x.dtype == np.uint8 for part in data.splits.values())


def test_the_real_mnist_has_its_known_counts(mnist):
    data = read_source(mnist)
    assert {split: len(part.x) for split, part in data.splits.items()} == {"train": 60_000, "test": 10_000}
    assert data.splits["train"].labels[:5] == ["5", "0", "4", "1", "9"]
