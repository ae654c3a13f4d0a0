"""What the data tell of themselves: each fault is made, and found; data without a fault are told to have none."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sevensteps.cli.main import run
from sevensteps.data.check import check, without_leaks
from sevensteps.data.copies import find_copies
from sevensteps.data.labelled import LabelledData
from sevensteps.data.sources import read_source

DRAWS = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "cache"))


def photograph(size: int = 96) -> Image.Image:
    """A smooth picture of its own, with some grain: like no other, and not changed much by compression."""
    coarse = Image.fromarray(DRAWS.integers(0, 256, (6, 6, 3), np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    grain = DRAWS.normal(0, 4, (size, size, 3))
    return Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8))


def save(picture: Image.Image, path: Path, **options: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two classes in train and in valid, with nothing wrong."""
    for split, count in (("train", 8), ("valid", 4)):
        for label in ("heron", "crow"):
            for number in range(count):
                save(photograph(), tmp_path / "data" / split / label / f"{number}.jpg", quality=90)
    return tmp_path / "data"


def found(data: Path) -> dict[str, int]:
    return {finding.kind: finding.count for finding in check(read_source(data)).findings}


def test_of_good_data_nothing_is_said(data: Path) -> None:
    report = check(read_source(data))
    assert (report.findings, report.pictures) == ([], {"train": 16, "valid": 8})
    assert report.to_dict()["leaks"] == 0


def copy_of(picture: Image.Image, how: str) -> tuple[Image.Image, str, dict[str, int]]:
    if how == "same bytes":
        return picture, ".png", {}
    if how == "encoded anew":
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=60)
        return Image.open(file), ".jpg", {"quality": 40}
    factor = {"half as large": 0.55, "twice as large": 2.0}[how]
    size = (round(factor * picture.width), round(factor * picture.height))
    return picture.resize(size, Image.Resampling.LANCZOS), ".jpg", {"quality": 85}


@pytest.mark.parametrize("how", ["same bytes", "encoded anew", "half as large", "twice as large"])
@pytest.mark.parametrize("label", ["heron", "crow"])
def test_a_picture_of_train_in_valid_is_a_leak(data: Path, how: str, label: str) -> None:
    original = photograph()
    save(original, data / "train/heron/original.png")
    copied, ending, options = copy_of(original, how)
    save(copied, data / "valid" / label / f"copy{ending}", **options)
    labelled = read_source(data)
    report = check(labelled)
    counts = {finding.kind: finding.count for finding in report.findings}
    kind = "duplicates" if how == "same bytes" else "near_duplicates"
    conflict = {"label_conflicts": 2} if label == "crow" else {}
    assert counts == {"leaks": 1, kind: 1} | conflict
    assert report.findings[0].examples == (f"valid/{label}/copy{ending} is train/heron/original.png",)
    assert "1 of 9 in valid" in report.findings[0].message
    clean = without_leaks(labelled, report)
    assert len(clean.splits["train"].x) == len(clean.splits["train"].labels) == len(clean.splits["train"].names) == 16
    assert "train/heron/original.png" not in clean.splits["train"].names
    assert "leaks" not in {finding.kind for finding in check(clean).findings}


def test_copies_within_a_split_are_counted_once_less(data: Path) -> None:
    picture = photograph()
    for number in range(3):
        save(picture, data / f"train/heron/again{number}.png")
    assert found(data) == {"duplicates": 2}


def test_a_class_that_is_missing_in_valid_and_rare_in_train(data: Path) -> None:
    for number in range(72):
        save(photograph(32), data / f"train/heron/more{number}.jpg")
    save(photograph(), data / "train/gull/only.jpg")
    report = {finding.kind: finding for finding in check(read_source(data)).findings}
    assert report["missing_classes"].examples == ("gull in valid",)
    assert report["imbalance"].count == 2  # gull and crow, each with a tenth of heron's or less
    assert "always saying heron is right for 89.9" in report["imbalance"].message


def test_blank_small_and_narrow_pictures_and_files_that_are_none(data: Path) -> None:
    save(Image.new("RGB", (96, 96), (200, 10, 30)), data / "train/crow/blank.png")
    save(photograph(20), data / "train/crow/small.jpg")
    save(photograph().resize((96, 20)), data / "train/crow/narrow.png")
    (data / "train/crow/notes.txt").write_text("no picture")
    assert found(data) == {"blank": 1, "small": 1, "narrow": 1, "refused": 1}


@pytest.mark.parametrize("feature", ["size", "mode", "file format"])
def test_a_class_that_is_told_by_something_else_than_what_it_shows(tmp_path: Path, feature: str) -> None:
    for label in ("heron", "crow"):
        for number in range(12):
            other = label == "crow"
            picture = photograph(80 if other and feature == "size" else 96)
            picture = picture.convert("L") if other and feature == "mode" else picture
            ending = "png" if other and feature == "file format" else "jpg"
            save(picture, tmp_path / "data" / label / f"{number}.{ending}")
    (finding,) = check(read_source(tmp_path / "data")).findings
    assert finding.kind == "shortcuts"
    assert finding.message.startswith(f"the {feature} alone tells 100")


def test_vectors_are_looked_at_by_their_labels_alone() -> None:
    from sevensteps.data.labelled import from_arrays

    data: LabelledData = from_arrays({"train": (np.ones((12, 3), np.float32), ["a"] * 11 + ["b"])})
    assert [finding.kind for finding in check(data).findings] == ["imbalance"]


def test_all_pairs_of_a_brute_force_search_are_found() -> None:
    base = DRAWS.integers(0, 256, (300, 1, 16, 16), dtype=np.uint8)
    pixels = np.concatenate([base, (base[:60] + DRAWS.integers(-3, 4, (60, 1, 16, 16))).clip(0, 255).astype(np.uint8)])
    groups = find_copies([pixels[:200], pixels[200:]]).near
    assert groups == [[number, 300 + number] for number in range(60)]


@pytest.mark.slow
def test_where_all_pictures_look_alike_it_ends_and_says_so() -> None:
    scene = DRAWS.integers(0, 256, (1, 1, 16, 16))
    pixels = (scene + DRAWS.integers(-2, 3, (4_000, 1, 16, 16))).clip(0, 255).astype(np.uint8)
    begun = time.monotonic()
    assert not find_copies([pixels]).looked_at_all
    assert time.monotonic() - begun < 30


def test_ten_thousand_times_the_same_is_one_group() -> None:
    pixels = np.broadcast_to(DRAWS.integers(0, 256, (1, 1, 16, 16), dtype=np.uint8), (10_000, 1, 16, 16))
    copies = find_copies([pixels])
    assert [len(group) for group in copies.exact] == [10_000]
    assert copies.near == []


def test_the_command_tells_and_is_strict_where_it_is_asked(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(data), "--strict"]) == 0
    assert capsys.readouterr().out == "nothing found in 24 pictures\n"
    save(Image.open(data / "train/crow/1.jpg"), data / "valid/crow/x.png")
    assert run(["check", str(data)]) == 0
    assert "leaks: 1 of 9 in valid are in train too" in capsys.readouterr().out
    assert run(["check", str(data), "--strict", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["leaks"], document["duplicates"], document["refused"]) == (1, 1, 0)
