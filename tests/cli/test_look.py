"""`sevensteps look` as a user types it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sevensteps.cli.main import run
from sevensteps.errors import StorageError


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("runs")
    assert run(["train", "--epochs", "1", "--quiet", "--threads", "1", "--out", str(out)]) == 0
    return str(out / "digits")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_an_option_the_doctor_speaks(digits: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["look", digits]) == 0
    out = capsys.readouterr().out
    assert "healthy" in out
    assert "23 steps: --step 0 to --step 22" in out


def test_a_step_is_opened_as_text_and_as_a_picture(digits: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["look", digits, "--step", "7"]) == 0
    out = capsys.readouterr().out
    for name in ("1 initialise", "2 predict", "3 loss", "4 gradient", "5 step", "6 repeat", "7 stop"):
        assert f"\n{name}" in out
    assert "loss and gradient are those that the run recorded, to the last bit" in out
    with Image.open("look/digits-step-7.png") as image:
        assert image.width > 1200


def test_a_step_as_json_proves_itself(digits: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["look", digits, "--step", "7", "--json", "--parameters", "--out", "elsewhere"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["exact"] is True
    assert document["step"]["parameters"]
    assert Path(document["figure"]).is_file()


def test_a_step_whose_record_changed_or_is_not_there_is_not_called_exact(
    digits: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = Path(shutil.copytree(digits, tmp_path / "changed"))
    rows = (changed / "steps.csv").read_text().splitlines()
    (changed / "steps.csv").write_text("\n".join([*rows[:8], rows[8][:-1]]) + "\n")
    (changed / "result.json").unlink()  # as of a run that was stopped after these steps
    shutil.rmtree(changed / "checkpoints")
    for step, why in ((7, "record changed"), (8, "stopped before")):
        assert run(["look", str(changed), "--step", str(step)]) == 0
        proof = capsys.readouterr().out.partition("made again")[2]
        assert why in proof
        assert "to the last bit" not in proof


def test_the_doctor_as_json(digits: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["look", digits, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": digits, "steps": 23, "doctor": []}


def test_a_picture_is_followed_and_explained(digits: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["look", digits, "--picture", "31", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["epoch"] for row in document["epochs"]] == [0, 1]
    assert Path(document["figure"]) == Path("look/digits-31.png")
    assert Path(document["figure"]).is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--step", "23"], "no step 23"),
        (["--step", "-1"], "no step -1"),
        (["--picture", "nothing"], "no picture 'nothing'"),
        (["--step", "1", "--picture", "#1"], "two questions"),
        (["--parameters"], "adds to the JSON of a step"),
    ],
)
def test_what_makes_no_sense_is_refused(
    digits: str, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["look", digits, *words]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["look", "."]) == 2
    assert "is no run folder" in capsys.readouterr().err


def test_a_picture_that_cannot_be_written_takes_no_text_along(
    digits: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise StorageError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr("sevensteps.cli.look.write_bytes", full)
    for asked in (["--step", "7"], ["--picture", "31"]):
        assert run(["look", digits, *asked]) == 1
        told = capsys.readouterr()
        assert "7 stop" in told.out or "After epoch" in told.out
        assert "No space left" in told.err


def test_a_file_in_the_place_of_the_folder_is_told_before_the_work(
    digits: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("look").write_text("mine")
    monkeypatch.setattr("sevensteps.insight.replay.Replay.train", lambda *_: pytest.fail("trained for nothing"))
    assert run(["look", digits, "--step", "7"]) == 1
    assert "a file is in the way" in capsys.readouterr().err
    assert Path("look").read_text() == "mine"


@pytest.mark.parametrize("model", ["convnet", "resnet"])
def test_the_text_of_a_step_fits_80_columns(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(24):
        place = tmp_path / "data" / f"a class with a long name, no. {number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"a picture with a long name, no. {number}.png")
    asked = ["--model", model, "--epochs", "1", "--threads", "1", "--quiet", "--out", str(tmp_path / "runs")]
    assert run(["train", str(tmp_path / "data"), *asked]) == 0
    capsys.readouterr()
    assert run(["look", str(tmp_path / "runs/data"), "--step", "0"]) == 0
    trace = capsys.readouterr().out.partition("made again")[0]
    assert max(map(len, trace.splitlines())) <= 80
    assert "a c… no. 0" in trace


def test_a_closed_stdout_is_no_traceback(digits: str) -> None:
    command = f"exec {sys.executable} -m sevensteps look {digits} >&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
