from __future__ import annotations

from pathlib import Path

import pytest

from sevensteps.data.folders import list_folder
from sevensteps.data.listing import Listing
from sevensteps.errors import DataError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def shown(listing: Listing) -> dict[str, list[tuple[str, str]]]:
    return {
        split: [*zip(map(listing.relative, files.paths), files.labels, strict=True)]
        for split, files in listing.splits.items()
    }


def refused(listing: Listing) -> list[tuple[str, str]]:
    return [(path, reason) for path, reason, _ in listing.refused]


@pytest.mark.parametrize("train", ["train", "training", "Train"])
@pytest.mark.parametrize("valid", ["valid", "val", "validation", "VAL"])
@pytest.mark.parametrize("test", ["test", "testing"])
def test_split_folders_are_known_by_all_their_names_and_kept_apart(tmp_path, train, valid, test):
    touch(tmp_path, f"{train}/3/a.png", f"{train}/7/b.png", f"{valid}/3/c.png", f"{test}/7/d.png")
    listing = list_folder(tmp_path)
    assert shown(listing) == {
        "train": [(f"{train}/3/a.png", "3"), (f"{train}/7/b.png", "7")],
        "valid": [(f"{valid}/3/c.png", "3")],
        "test": [(f"{test}/7/d.png", "7")],
    }
    assert listing.refused == []


def test_class_folders_alone_are_all_for_training(tmp_path):
    touch(tmp_path, "crow/1.png", "crow/2.png", "heron/1.png")
    assert shown(list_folder(tmp_path)) == {
        "train": [("crow/1.png", "crow"), ("crow/2.png", "crow"), ("heron/1.png", "heron")]
    }


def test_a_class_may_be_called_test(tmp_path):
    touch(tmp_path, "control/1.png", "test/1.png", "valid/1.png")
    assert list_folder(tmp_path).splits["train"].labels == ["control", "test", "valid"]


def test_validation_and_test_without_train_are_no_classes(tmp_path):
    touch(tmp_path, "valid/crow/1.png", "test/crow/1.png")
    assert shown(list_folder(tmp_path)) == {
        "valid": [("valid/crow/1.png", "crow")],
        "test": [("test/crow/1.png", "crow")],
    }


def test_subfolders_of_a_class_belong_to_the_class(tmp_path):
    touch(tmp_path, "train/crow/near/1.png", "train/crow/far/away/2.png", "train/heron/3.png")
    assert list_folder(tmp_path).splits["train"].labels == ["crow", "crow", "heron"]


def test_a_file_beside_the_class_folders_is_refused(tmp_path):
    touch(tmp_path, "train/crow/1.png", "train/heron/1.png", "train/stray.png")
    listing = list_folder(tmp_path)
    assert refused(listing) == [("train/stray.png", "no-label")]
    assert "no label" in listing.refused[0].message
    assert len(listing.splits["train"]) == 2


def test_a_folder_beside_the_split_folders_is_refused(tmp_path):
    touch(tmp_path, "train/crow/1.png", "valid/crow/1.png", "extra/crow/1.png", ".cache/1.png", "__MACOSX/1.png")
    assert refused(list_folder(tmp_path)) == [("extra", "no-split")]


def test_a_class_folder_without_files_is_refused(tmp_path):
    touch(tmp_path, "train/crow/1.png", "train/heron/.DS_Store", "valid/crow/1.png")
    (tmp_path / "train" / "owl" / "deeper").mkdir(parents=True)
    listing = list_folder(tmp_path)
    assert refused(listing) == [("train/heron", "empty"), ("train/owl", "empty")]
    assert "no class" in listing.refused[0].message


def test_links_are_refused_wherever_they_are(tmp_path):
    data, elsewhere = (
        touch(tmp_path / "data", "train/crow/1.png", "train/heron/1.png"),
        touch(tmp_path / "b", "owl/1.png"),
    )
    (data / "valid").symlink_to(elsewhere)
    (data / "train" / "owl").symlink_to(elsewhere / "owl")
    (data / "train" / "crow" / "2.png").symlink_to(elsewhere / "owl" / "1.png")
    listing = list_folder(data)
    assert sorted(refused(listing)) == [
        ("train/crow/2.png", "not-a-file"),
        ("train/owl", "not-a-file"),
        ("valid", "not-a-file"),
    ]
    assert shown(listing) == {"train": [("train/crow/1.png", "crow"), ("train/heron/1.png", "heron")]}


def test_a_train_folder_that_is_a_link_is_told(tmp_path):
    data = touch(tmp_path / "data", "valid/crow/1.png")
    (data / "train").symlink_to(touch(tmp_path / "b", "crow/1.png"))
    assert refused(list_folder(data)) == [("train", "not-a-file")]
    assert list(list_folder(data).splits) == ["valid"]


def test_a_root_that_is_a_link_is_followed(tmp_path):
    touch(tmp_path / "data", "crow/1.png", "heron/1.png")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert len(list_folder(tmp_path / "link").splits["train"]) == 2


def test_two_folders_for_one_split_are_told(tmp_path):
    touch(tmp_path, "train/crow/1.png", "val/crow/1.png", "valid/crow/1.png")
    with pytest.raises(DataError, match=r"two folders for the split 'valid', one of them 'valid'\n  hint: keep one"):
        list_folder(tmp_path)


@pytest.mark.parametrize("name", ["nowhere", "nowhere/deeper", "no\0where", "n" * 300])
def test_a_path_that_is_not_there_is_told(tmp_path, name):
    with pytest.raises(DataError, match=r"no such path: (?s:.)*hint: check the spelling"):
        list_folder(tmp_path / name)


def test_a_file_instead_of_a_folder_is_told(tmp_path):
    touch(tmp_path, "a.png")
    with pytest.raises(DataError, match=r"a.png is a file\n  hint: expected a folder"):
        list_folder(tmp_path / "a.png")


def test_a_folder_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    def refuse(self):  # the tests may run as root, who may read everything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match=r"cannot list .*: Permission denied\n  hint: expected a folder of pictures"):
        list_folder(tmp_path)


def test_an_empty_folder_has_an_empty_train(tmp_path):
    assert shown(list_folder(tmp_path)) == {"train": []}


def test_the_order_is_the_same_on_every_machine(tmp_path):
    names = ["b/2.png", "b/10.png", "a/ü.png", "a/Z.png", "a/a.png"]
    touch(tmp_path, *names)
    assert [path for path, _ in shown(list_folder(tmp_path))["train"]] == sorted(names)
