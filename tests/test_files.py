from __future__ import annotations

import csv
import errno
import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sevensteps import files
from sevensteps.errors import StorageError
from sevensteps.files import (
    atomic_writer,
    cache_folder,
    csv_text,
    file_hash,
    make_folder,
    storage_errors,
    write_bytes,
    write_json,
    write_text,
)
from sevensteps.words import visible


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def failing(number: int):
    def fail(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    return fail


def test_what_was_written_is_there_and_nothing_else(tmp_path):
    with atomic_writer(tmp_path / "a") as file:
        file.write(b"one")
        file.write(b"two")
    assert (tmp_path / "a").read_bytes() == b"onetwo"
    assert names(tmp_path) == ["a"]


def test_nothing_is_at_the_target_before_the_block_ends(tmp_path):
    write_bytes(tmp_path / "a", b"old")
    with atomic_writer(tmp_path / "a") as file:
        file.write(b"new")
        file.flush()
        assert (tmp_path / "a").read_bytes() == b"old"
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_error_in_the_block_leaves_the_old_file_and_no_other(tmp_path, error):
    write_bytes(tmp_path / "a", b"old")
    with pytest.raises(error), atomic_writer(tmp_path / "a") as file:  # noqa: PT012
        file.write(b"half of the n")
        raise error
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_says_what_to_do(tmp_path, monkeypatch, function):
    write_bytes(tmp_path / "a", b"old")
    owner = os if function == "fsync" else Path
    monkeypatch.setattr(owner, function, failing(errno.ENOSPC))
    with pytest.raises(StorageError) as caught:
        write_bytes(tmp_path / "a", b"new")
    assert caught.value.message == f"cannot write {tmp_path / 'a'}: No space left on device"
    assert "--out" in caught.value.hint
    assert "space" in caught.value.hint
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


WRITE_TOO_MUCH = """
import resource, sys
from sevensteps.errors import StorageError
from sevensteps.files import write_bytes
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_bytes(sys.argv[1], bytes(int(sys.argv[2])))
except StorageError as error:
    print(error)
"""


@pytest.mark.parametrize("size", [4097, 1 << 20])  # one fails when it is flushed, one when it is written
def test_a_write_that_the_system_cuts_short_leaves_the_old_file(tmp_path, size):
    write_bytes(tmp_path / "a", b"old")
    command = [sys.executable, "-c", WRITE_TOO_MUCH, str(tmp_path / "a"), str(size)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert f"cannot write {tmp_path / 'a'}: File too large" in done.stdout
    assert "hint:" in done.stdout
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.EDQUOT, errno.ENOSPC])
def test_a_known_cause_has_a_hint(number):
    with pytest.raises(StorageError, match=r"cannot write x: .+\n  hint: .*--out"), storage_errors("x"):
        raise OSError(number, os.strerror(number))


def test_an_unknown_cause_has_its_text_and_no_hint():
    with pytest.raises(StorageError) as caught, storage_errors("x"):
        raise OSError("strange")
    assert str(caught.value) == "cannot write x: strange"
    assert isinstance(caught.value.__cause__, OSError)


def test_other_errors_than_the_systems_pass_unchanged():
    with pytest.raises(KeyError), storage_errors("x"):
        raise KeyError("x")


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(StorageError, match="No such file or directory"):
        write_bytes(tmp_path / "no" / "a", b"")
    assert names(tmp_path) == []


def test_a_folder_in_the_way_is_told_and_kept(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(StorageError, match="Is a directory"):
        write_bytes(tmp_path / "a", b"new")
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_files_mode_obeys_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode


def test_the_umask_of_the_process_is_never_changed(tmp_path, monkeypatch):
    # it belongs to all threads: even for a moment, a file of another one would be open to everybody
    monkeypatch.setattr(os, "umask", failing(errno.EPERM))
    write_bytes(tmp_path / "a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x"


def test_bytes_and_folder_are_on_the_disk_before_it_returns(tmp_path, monkeypatch):
    calls = []
    real_replace, real_fsync = Path.replace, os.fsync
    monkeypatch.setattr(Path, "replace", lambda *a: (calls.append("rename"), real_replace(*a))[1])
    monkeypatch.setattr(
        os,
        "fsync",
        lambda fd: (calls.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"), real_fsync(fd)),
    )
    write_bytes(tmp_path / "a", b"x")
    assert calls == ["file", "rename", "folder"]


def test_two_writers_at_once_do_not_mix(tmp_path):
    with atomic_writer(tmp_path / "a") as first, atomic_writer(tmp_path / "a") as second:
        first.write(b"first")
        second.write(b"second, longer")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert names(tmp_path) == ["a"]


def test_text_is_utf8_also_where_a_file_name_is_not(tmp_path):
    write_text(tmp_path / "a", "花 \udcff\n")
    assert (tmp_path / "a").read_bytes() == "花 ".encode() + b"\\udcff\n"


def test_json_is_readable_and_comes_back(tmp_path):
    value = {"classes": ["3", "花"], "n": 2}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert "花" in text
    write_json(
        tmp_path / "b.json", names := ["\x1b[31m", "\x7f", "\x9b", "\u202egpj", "\u2028", "\U000e0001", "\udcff", "é"]
    )
    text = (tmp_path / "b.json").read_text(encoding="utf-8")
    assert json.loads(text) == names
    assert not [c for c in text if c != "\n" and visible(c) != c]


def test_what_is_no_json_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a", 1)
    for value in (float("nan"), float("inf"), {1, 2}):
        with pytest.raises((ValueError, TypeError)):
            write_json(tmp_path / "a", value)
    assert (tmp_path / "a").read_text() == "1\n"


def test_a_csv_comes_back_with_commas_quotes_and_lines(tmp_path):
    rows = [["a,b", 'say "x"'], ["two\nlines", "花"], ["", "3"]]
    text = csv_text(["path", "label"], rows)
    rows[1][0] = "two\\nlines"  # what hides or breaks lines is made visible
    assert list(csv.reader(io.StringIO(text))) == [["path", "label"], *rows]


@pytest.mark.parametrize("start", files.FORMULA)
def test_no_cell_of_a_csv_is_a_formula(start):
    [_, [cell, number]] = csv.reader(io.StringIO(csv_text(["name", "loss"], [[start + "cmd", -1.5]]), newline=""))
    assert cell == "'" + visible(start) + "cmd"
    assert number == "-1.5"


def test_folders_are_made_with_their_parents_once_or_again(tmp_path):
    for _ in range(2):
        assert make_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize("name", ["a", "a/b"])
def test_a_file_where_a_folder_should_be_is_told(tmp_path, name):
    (tmp_path / "a").write_text("mine")
    with pytest.raises(StorageError, match=r"(?s)cannot write .*a file is in the way"):
        make_folder(tmp_path / name)
    assert (tmp_path / "a").read_text() == "mine"


def test_the_hash_is_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_hash(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_hash(tmp_path / "a", "md5") == "900150983cd24fb0d6963f7d28e17f72"


def test_the_cache_is_where_the_user_says(tmp_path, monkeypatch):
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("SEVENSTEPS_CACHE")
    assert cache_folder().name == "sevensteps"
