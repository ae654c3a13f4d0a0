from __future__ import annotations

import time
from pathlib import Path

import pytest
from PIL import Image

from sevensteps.data.ahead import reading_ahead
from sevensteps.data.sources import read_source
from sevensteps.data.stores import stores


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "cache"))


def pictures(folder: Path) -> Path:
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            Image.new("L", (8, 8), number).save(folder / name / f"{number}.png")
    return folder


@pytest.mark.parametrize("absolute", [True, False])
def test_the_pictures_are_in_the_store_before_anybody_reads(tmp_path, monkeypatch, absolute):
    folder = pictures(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    with reading_ahead(str(folder) if absolute else "data"):
        until = time.monotonic() + 20
        while not stores() and time.monotonic() < until:
            time.sleep(0.02)
        assert [(store.where, store.pictures) for store in stores()] == [(str(folder.resolve()), 40)]
        monkeypatch.setattr("sevensteps.data.pixels.decode_all", lambda *_: pytest.fail("decoded again"))
        assert len(read_source(folder).splits["train"].x) == 40


@pytest.mark.parametrize("source", [None, "mnist", "nowhere", "x" * 300])
def test_what_is_no_path_is_not_read_ahead(source, monkeypatch):
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("started a process"))
    with reading_ahead(source):
        pass


def test_idx_files_are_not_read_ahead(tmp_path, monkeypatch):
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("started a process"))
    for what in ("images-idx3", "labels-idx1"):
        (tmp_path / f"train-{what}-ubyte").touch()
    with reading_ahead(str(tmp_path)):
        pass


def test_what_goes_wrong_there_is_not_told_there(tmp_path, capfd):
    (tmp_path / "labels.csv").write_text("nonsense\n")
    with reading_ahead(str(tmp_path / "labels.csv")):
        time.sleep(0.5)
    assert capfd.readouterr() == ("", "")


def test_who_leaves_early_leaves_no_process(tmp_path):
    folder = pictures(tmp_path / "data")
    started = time.monotonic()
    with reading_ahead(str(folder)):
        pass
    assert time.monotonic() - started < 3
