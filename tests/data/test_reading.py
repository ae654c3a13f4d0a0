from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sevensteps.data import reading
from sevensteps.data.folders import list_folder
from sevensteps.data.listing import Labelled, Listing
from sevensteps.data.preprocessing import Preprocessing
from sevensteps.data.reading import choose_preprocessing, read_listing, read_pictures


def save(path: Path, value: int = 0, size: tuple[int, int] = (8, 8), mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value,) * 3).save(path)
    return path


def listing_of(root: Path, *paths: Path) -> Listing:
    return Listing(root, {"train": [Labelled(path, path.parent.name) for path in paths]})


@pytest.mark.parametrize("side", [8, 100])  # small ones are read one by one, large ones by threads
def test_pictures_keep_their_order_and_their_labels(tmp_path, monkeypatch, side):
    paths = [save(tmp_path / str(n % 3) / f"{n}.png", n, (side, side)) for n in range(60)]
    threads = set()
    real = Preprocessing.pixels

    def slow(self, source):
        threads.add(threading.get_ident())
        time.sleep(0.001 * (hash(str(source)) % 3))  # so that they end in another order
        return real(self, source)

    monkeypatch.setattr(Preprocessing, "pixels", slow)
    monkeypatch.setattr(reading.os, "cpu_count", lambda: 4)
    data = read_listing(listing_of(tmp_path, *paths))
    part = data.splits["train"]
    assert part.x[:, 0, 0, 0].tolist() == list(range(60))
    assert part.labels == [str(n % 3) for n in range(60)]
    assert part.names == [f"{n % 3}/{n}.png" for n in range(60)]
    assert (len(threads) > 1) == (side == 100)


@pytest.mark.parametrize("side", [8, 100])
def test_a_refused_picture_is_listed_and_the_rest_goes_on(tmp_path, side):
    paths = [save(tmp_path / "a" / f"{n}.png", n, (side, side)) for n in range(5)]
    paths[1].write_bytes(b"no picture")
    paths[3].unlink()
    data = read_listing(listing_of(tmp_path, *paths))
    assert data.splits["train"].x[:, 0, 0, 0].tolist() == [0, 2, 4]
    assert data.splits["train"].names == ["a/0.png", "a/2.png", "a/4.png"]
    assert [(path, reason) for path, reason, _ in data.refused] == [
        ("a/1.png", "not-a-picture"),
        ("a/3.png", "missing"),
    ]
    assert all(refused.message for refused in data.refused)


def test_what_the_listing_refused_stays_refused(tmp_path):
    save(tmp_path / "crow" / "a.png")
    (tmp_path / "stray.txt").write_text("x")
    (tmp_path / "crow" / "b.png").write_text("x")
    data = read_listing(list_folder(tmp_path))
    assert [refused.path for refused in data.refused] == ["stray.txt", "crow/b.png"]


def test_pictures_of_one_size_keep_it(tmp_path):
    paths = [save(tmp_path / "a" / f"{n}.png", n, (12, 9), "RGB") for n in range(3)]
    data = read_listing(listing_of(tmp_path, *paths))
    assert data.preprocessing == Preprocessing(3, 9, 12)
    assert data.splits["train"].x.shape == (3, 3, 9, 12)
    assert data.sizes == {"12×9 colour": 3}


def test_pictures_of_mixed_sizes_and_modes_get_one_and_are_counted(tmp_path):
    sizes = [(30, 20), (30, 20), (10, 10), (50, 60)]
    paths = [save(tmp_path / "a" / f"{n}.png", 9, size, "RGB" if n == 3 else "L") for n, size in enumerate(sizes)]
    preprocessing, counts = choose_preprocessing(listing_of(tmp_path, *paths))
    assert preprocessing == Preprocessing(3, 20, 20)
    assert counts == {"30×20 grey": 2, "10×10 grey": 1, "50×60 colour": 1}
    data = read_listing(listing_of(tmp_path, *paths))
    assert torch.equal(data.splits["train"].x, torch.full((4, 3, 20, 20), 9, dtype=torch.uint8))


def test_a_named_preprocessing_is_used_without_a_look_at_the_headers(tmp_path, monkeypatch):
    paths = [save(tmp_path / "a" / "0.png", 7, (30, 20))]
    monkeypatch.setattr(reading, "read_header", lambda path: pytest.fail("looked"))
    data = read_listing(listing_of(tmp_path, *paths), Preprocessing(3, 5, 6))
    assert data.splits["train"].x.shape == (1, 3, 5, 6)
    assert data.sizes == {}


def test_pixels_are_those_of_the_one_preprocessing(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    path = tmp_path / "a" / "0.png"
    path.parent.mkdir()
    Image.fromarray(picture).save(path)
    wanted = Preprocessing(1, 7, 8)
    items, pixels, refused = read_pictures(listing_of(tmp_path, path), "train", wanted)
    assert torch.equal(pixels[0], wanted.pixels(picture))
    assert (len(items), refused) == (1, [])


def test_progress_is_told_now_and_then_and_at_the_end(tmp_path):
    path, told = save(tmp_path / "a" / "0.png"), []
    read_listing(listing_of(tmp_path, *[path] * 120), progress=lambda *now: told.append(now))
    assert told == [(what, done, 120) for what in ("looking at", "reading train") for done in (50, 100, 120)]


def test_splits_stay_apart(tmp_path):
    save(tmp_path / "train" / "a" / "0.png", 1)
    save(tmp_path / "valid" / "a" / "0.png", 2)
    save(tmp_path / "test" / "a" / "0.png", 3)
    data = read_listing(list_folder(tmp_path))
    assert {split: part.x[:, 0, 0, 0].tolist() for split, part in data.splits.items()} == {
        "train": [1],
        "valid": [2],
        "test": [3],
    }


def test_where_no_picture_can_be_read_all_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(b"")
    data = read_listing(list_folder(tmp_path))
    assert len(data.splits["train"].x) == 0
    assert [refused.reason for refused in data.refused] == ["empty"]
