from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from sevensteps.data.folders import list_folder
from sevensteps.data.listing import Files, Listing
from sevensteps.data.preprocessing import Preprocessing
from sevensteps.data.reading import read_listing


def save(path: Path, value: int = 0, size: tuple[int, int] = (8, 8), mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value,) * 3).save(path)
    return path


def listing_of(root: Path, *paths: Path) -> Listing:
    return Listing(root, {"train": Files([*map(str, paths)], [path.parent.name for path in paths])})


def test_pictures_keep_their_order_and_their_labels(tmp_path):
    paths = [save(tmp_path / str(n % 3) / f"{n}.png", n, (100, 100)) for n in range(200)]
    part = read_listing(listing_of(tmp_path, *paths)).splits["train"]
    assert part.x[:, 0, 0, 0].tolist() == list(range(200))
    assert part.labels == [str(n % 3) for n in range(200)]
    assert [*part.names] == [f"{n % 3}/{n}.png" for n in range(200)]


def test_a_refused_picture_is_listed_and_the_rest_goes_on(tmp_path):
    paths = [save(tmp_path / "a" / f"{n}.png", n) for n in range(5)]
    paths[1].write_bytes(b"no picture")
    paths[3].unlink()
    data = read_listing(listing_of(tmp_path, *paths))
    assert data.splits["train"].x[:, 0, 0, 0].tolist() == [0, 2, 4]
    assert [*data.splits["train"].names] == ["a/0.png", "a/2.png", "a/4.png"]
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
    data = read_listing(listing_of(tmp_path, *paths))
    assert data.preprocessing == Preprocessing(3, 20, 20)
    assert data.sizes == {"30×20 grey": 2, "10×10 grey": 1, "50×60 colour": 1}
    assert np.array_equal(data.splits["train"].x, np.full((4, 3, 20, 20), 9, np.uint8))


def test_a_named_preprocessing_is_used(tmp_path):
    paths = [save(tmp_path / "a" / "0.png", 7, (30, 20))]
    data = read_listing(listing_of(tmp_path, *paths), Preprocessing(3, 5, 6))
    assert data.preprocessing == Preprocessing(3, 5, 6)
    assert data.splits["train"].x.shape == (1, 3, 5, 6)


def test_pixels_are_those_of_the_one_preprocessing(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    path = tmp_path / "a" / "0.png"
    path.parent.mkdir()
    Image.fromarray(picture).save(path)
    wanted = Preprocessing(1, 7, 8)
    read = read_listing(listing_of(tmp_path, path), wanted).splits["train"]
    assert np.array_equal(read.x[0], wanted.pixels(picture))


def test_progress_is_told_now_and_then_and_at_the_end(tmp_path):
    paths, told = [save(tmp_path / "a" / f"{n}.png") for n in range(600)], []
    read_listing(listing_of(tmp_path, *paths), progress=lambda *now: told.append(now))
    assert [what for what, _, _ in told] == ["reading pictures"] * 3
    assert (told[-1][1:], [total for _, _, total in told]) == ((600, 600), [600] * 3)


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
