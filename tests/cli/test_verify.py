"""`sevensteps verify`: whatever bit of a run or model folder is another than was written, it says so."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from sevensteps.cli.main import run
from sevensteps.report.page import write_report
from sevensteps.training.run_folder import RunFolder
from sevensteps.training.train import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = train(epochs=2, threads=1, out=tmp_path_factory.mktemp("runs"))
    write_report(result)
    return result.run.path


def test_what_was_written_is_whole(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in (trained, trained / "model"):
        assert run(["verify", str(folder)]) == 0
        assert capsys.readouterr().out.endswith(": whole\n")


@pytest.mark.slow
def test_two_hundred_bit_flips_are_all_found(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    whole = RunFolder(folder)
    assert whole.damages() == []
    draws = random.Random(0)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    for number in range(200):
        path = files[number % len(files)]
        content = bytearray(path.read_bytes())
        before, place = bytes(content), draws.randrange(len(content))
        content[place] ^= 1 << draws.randrange(8)
        path.write_bytes(content)
        assert whole.damages(), f"bit flipped in byte {place} of {path.name}, and nobody noticed"
        path.write_bytes(before)
    assert whole.damages() == []


def test_missing_and_added_files_are_told(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "model"
    shutil.copytree(trained / "model", folder)
    (folder / "README.md").unlink()
    (folder / "more.txt").touch()
    assert run(["verify", str(folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "folder": str(folder),
        "whole": False,
        "damages": ["README.md is missing", "more.txt was not there when the folder was sealed"],
    }


def test_what_is_no_folder_of_ours_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", str(tmp_path)]) == 2
    assert "has no manifest.json" in capsys.readouterr().err
