from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from sevensteps.cli.main import run
from sevensteps.data.pixels import read_pixels
from sevensteps.data.stores import place


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders whose pictures are kept."""
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "cache"))
    for name in ("crows", "herons"):
        (tmp_path / name).mkdir()
        Image.new("L", (8, 6)).save(tmp_path / name / "a.png")
        read_pixels(place(str(tmp_path / name)), [str(tmp_path / name / "a.png")])
    return tmp_path


def test_the_kept_pictures_are_listed(kept, capsys):
    assert run(["cache"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert any(line.startswith(f"{kept / 'crows'}: 1 picture of 8 × 6 px, 0.0 MB, used 20") for line in lines)
    assert lines[-1] == f"0.0 MB in {kept / 'cache' / 'pixels'}, which may hold 10.0 GB"


def test_as_json(kept, capsys, monkeypatch):
    monkeypatch.setenv("SEVENSTEPS_CACHE_GB", "2")
    assert run(["cache", str(kept / "crows"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    [store] = facts["stores"]
    assert store.pop("bytes") > 48
    assert store == {"data": str(kept / "crows"), "pictures": 1, "channels": 1, "height": 6, "width": 8}
    assert (facts["folder"], facts["budget_bytes"]) == (str(kept / "cache" / "pixels"), 2_000_000_000)


def test_those_of_one_folder_are_cleared_and_then_all(kept, capsys):
    assert run(["cache", str(kept / "crows"), "--clear"]) == 0
    assert capsys.readouterr().out.endswith("removed: 0.0 MB are free again\n")
    assert len(list((kept / "cache" / "pixels").glob("*.pixels"))) == 1
    assert run(["cache", "--clear", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["freed_bytes"] > 48
    assert not list((kept / "cache" / "pixels").glob("*.pixels"))


def test_where_nothing_is_kept_that_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "none"))
    assert run(["cache"]) == 0
    assert capsys.readouterr().out.startswith("0.0 MB in ")
    assert run(["cache", "--clear"]) == 0


def test_what_is_no_store_does_not_matter(kept, capsys):
    (kept / "cache" / "pixels" / "broken.pixels").write_bytes(b"x" * 100)
    assert run(["cache"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
