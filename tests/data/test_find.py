from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from sevensteps.data.find import find_pictures
from sevensteps.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_all_files_below_the_folder_are_found_in_order(tmp_path):
    touch(tmp_path, "b/2.png", "b/10.PNG", "a/deep/er/x.jpg", "c.gif", "no extension", "README.txt", "ü 花.png")
    found, refused = find_pictures(tmp_path)
    assert refused == []
    assert found == sorted(str(path) for path in tmp_path.rglob("*") if path.is_file())
    assert [os.path.relpath(path, tmp_path) for path in found] == [
        "README.txt",
        "a/deep/er/x.jpg",
        "b/10.PNG",
        "b/2.png",
        "c.gif",
        "no extension",
        "ü 花.png",
    ]


def test_hidden_files_and_litter_are_left_out(tmp_path):
    touch(tmp_path, ".DS_Store", "._a.jpg", ".git/a.png", "Thumbs.db", "THUMBS.DB", "desktop.ini", "Icon\r")
    touch(tmp_path, "__MACOSX/a.png", "@eaDir/a.png", "3/a.png")
    assert find_pictures(tmp_path) == ([str(tmp_path / "3" / "a.png")], [])


def test_a_hidden_folder_that_was_named_is_searched(tmp_path):
    touch(tmp_path, ".cache/a.png")
    assert find_pictures(tmp_path / ".cache")[0] == [str(tmp_path / ".cache" / "a.png")]


def test_links_are_told_and_not_followed(tmp_path):
    touch(tmp_path, "3/a.png")
    (tmp_path / "3" / "loop").symlink_to(tmp_path)
    (tmp_path / "3" / "b.png").symlink_to("a.png")
    (tmp_path / "3" / "dangling.png").symlink_to("nothing")
    found, refused = find_pictures(tmp_path)
    assert found == [str(tmp_path / "3" / "a.png")]
    assert [Path(path).name for path, _ in refused] == ["b.png", "dangling.png", "loop"]
    assert {(error.reason, "symbolic link" in error.message) for _, error in refused} == {("not-a-file", True)}


def test_a_link_that_was_named_is_searched(tmp_path):
    touch(tmp_path, "real/a.png")
    (tmp_path / "link").symlink_to("real")
    assert find_pictures(tmp_path / "link") == ([str(tmp_path / "link" / "a.png")], [])


def test_pipes_and_sockets_are_told(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "fifo.png")
    monkeypatch.chdir(tmp_path)  # a socket's name must be short
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("socket.png")
        found, refused = find_pictures(".")
    assert found == []
    assert [(path, error.reason) for path, error in refused] == [
        ("fifo.png", "not-a-file"),
        ("socket.png", "not-a-file"),
    ]


def test_a_folder_that_cannot_be_opened_is_told(tmp_path, monkeypatch):
    touch(tmp_path, "3/a.png", "7/b.png")
    real = os.scandir

    def scandir(path):  # root may open every folder
        if str(path).endswith("7"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found, refused = find_pictures(tmp_path)
    assert found == [str(tmp_path / "3" / "a.png")]
    [(path, error)] = refused
    assert (path, error.reason) == (str(tmp_path / "7"), "unreadable")
    assert "Permission denied" in error.message


def test_folders_nested_deeper_than_the_stack_are_searched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = Path("root")
    root.mkdir()
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(1_200):
        os.mkdir("d", dir_fd=descriptor)
        deeper = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = deeper
    os.close(os.open("deep.png", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    try:
        found, refused = find_pictures(root)
        assert [Path(path).name for path in found] == ["deep.png"]
        assert refused == []
    finally:
        subprocess.run(["rm", "-rf", root], check=True)  # pytest's own tidying recurses too deep


def test_names_that_are_no_unicode_are_found(tmp_path):
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(b"x")
    assert len(find_pictures(tmp_path)[0]) == 1


@pytest.mark.parametrize("name", ["nowhere", "file.png"])
def test_what_is_no_folder_is_a_wrong_request(tmp_path, name):
    touch(tmp_path, "file.png")
    with pytest.raises(DataError, match=r"(?s)cannot list .*hint: expected a folder"):
        find_pictures(tmp_path / name)


def test_an_empty_folder_has_nothing(tmp_path):
    assert find_pictures(tmp_path) == ([], [])


def test_every_digit_of_the_sample_is_found_once(mnist_sample):
    found, refused = find_pictures(mnist_sample)
    assert len(found) == len(set(found)) == 6131 + 6265 + 1010 + 1028 + 1
    assert refused == []


def test_links_are_followed_where_that_is_asked_and_no_folder_is_read_twice(tmp_path):
    for name in ("data/a", "elsewhere/inner"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.png").write_bytes(b"x")
    data = tmp_path / "data"
    (data / "b").symlink_to(tmp_path / "elsewhere")
    (data / "c").symlink_to(tmp_path / "elsewhere")
    (data / "a/round").symlink_to(data)
    (tmp_path / "elsewhere/back").symlink_to(data)
    (data / "a/2.png").symlink_to(data / "a/1.png")
    (data / "a/self").symlink_to("self")
    (data / "d").symlink_to(tmp_path)
    (data / "a/3.png").symlink_to(data / "nothing")
    (data / "a/4.png").symlink_to("/dev/zero")
    found, refused = find_pictures(data, follow_links=True)
    assert [path.removeprefix(f"{data}/") for path in found] == ["a/1.png", "a/2.png", "b/inner/1.png"]
    assert {path.removeprefix(f"{data}/"): error.message for path, error in refused} == {
        "a/3.png": "is a symbolic link to no file",
        "a/4.png": "is a symbolic link to no file",
        "a/self": "is a symbolic link to no file",
        "a/round": "was read already, by another way",
        "b/back": "was read already, by another way",
        "c": "was read already, by another way",
        "d/data": "was read already, by another way",
        "d/elsewhere": "was read already, by another way",
    }
    found, refused = find_pictures(data)
    assert [path.removeprefix(f"{data}/") for path in found] == ["a/1.png"]
    assert [Path(path).name for path, _ in refused] == ["2.png", "3.png", "4.png", "round", "self", "b", "c", "d"]
