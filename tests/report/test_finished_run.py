"""What a run's folder tells of it, and that a folder that tells nonsense is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sevensteps.errors import RequestError
from sevensteps.interval import Accuracy
from sevensteps.report.finished_run import FinishedRun


def test_a_run_has_the_figures_of_the_run(runs: dict[str, Path]) -> None:
    run = FinishedRun.read(runs["fast"])
    facts = json.loads((runs["fast"] / "result.json").read_text())
    assert run.score.to_dict() == {key: facts["valid"][key] for key in ("accuracy", "interval", "n")}
    assert run.baseline.value == facts["baseline"]["accuracy"]
    assert run.losses == [row["valid_loss"] for row in facts["epochs"]]
    assert run.accuracies == [row["metrics"]["accuracy"] for row in facts["epochs"]]
    assert (run.network, run.parameters, run.best_epoch) == ("linear", 650, facts["best_epoch"])
    assert run.ece == facts["calibration"]["before"]["ece"]
    assert run.options["lr"] == "0.01"
    assert run.options["weight_decay"] == f"{0.05:g}"
    answers = run.answers()
    assert Accuracy(sum(it.right for it in answers), len(answers)) == run.score


def test_the_baseline_has_no_options_of_training_and_no_calibration(runs: dict[str, Path]) -> None:
    run = FinishedRun.read(runs["baseline"])
    assert run.is_baseline
    assert run.ece is None
    assert "lr" not in run.options
    assert "epochs" not in run.options
    assert "8 × 8" in run.options["preprocessing"]


def test_a_run_from_before_there_was_a_calibration_has_none(copied: Path) -> None:
    facts = json.loads((copied / "result.json").read_text())
    del facts["calibration"]
    (copied / "result.json").write_text(json.dumps(facts))
    assert FinishedRun.read(copied).ece is None


def test_a_run_without_a_page_says_so(copied: Path) -> None:
    assert FinishedRun.read(copied).report == copied / "report.html"
    (copied / "report.html").unlink()
    assert FinishedRun.read(copied).to_dict()["report"] is None


def test_a_run_that_is_not_finished_is_told_how_to_go_on(copied: Path) -> None:
    (copied / "result.json").unlink()
    with pytest.raises(RequestError, match=r"is not finished(.|\n)*train --resume"):
        FinishedRun.read(copied)


def test_a_folder_that_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="is no run folder"):
        FinishedRun.read(tmp_path)


@pytest.mark.parametrize("name", ["result.json", "data.json", "config.toml"])
@pytest.mark.parametrize("text", ["[" * 100_000, "[]", '"x"', "3", "null", "\x00", '{"fingerprint": 3}', "recipe = 3"])
def test_a_damaged_file_is_told(copied: Path, name: str, text: str) -> None:
    (copied / name).write_text(text)
    with pytest.raises(RequestError) as told:
        FinishedRun.read(copied)
    assert name in told.value.message
    assert told.value.hint


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("valid", {"accuracy": 2, "n": 10}), ("valid", {"accuracy": float("nan"), "n": 10}), ("valid", {}),
        ("valid", {"accuracy": 0.5, "n": 10**400}), ("valid", {"accuracy": 0.5, "n": -1}), ("valid", None),
        ("valid", {"accuracy": 0.5, "n": 2.5}),
        ("baseline", []), ("baseline", {"accuracy": "x", "n": 3}), ("epochs", 3), ("epochs", [3]), ("epochs", [{}]),
        ("epochs", [{"valid_loss": "x", "metrics": {}}]), ("epochs", [{"valid_loss": 1e300, "metrics": {}}]),
        ("epochs", [{"valid_loss": 1, "metrics": []}]), ("model", {"name": ["x"], "parameters": 1}),
        ("model", {"name": "x", "parameters": -1}), ("model", {"name": "x", "parameters": 10**400}),
        ("classes", 3), ("classes", [1, 2]), ("seconds", float("inf")), ("seconds", "x"), ("best_epoch", "x"),
        ("calibration", {"before": 3}), ("calibration", [1]), ("calibration", {"before": {"ece": float("nan")}}),
    ],
)  # fmt: skip
def test_odd_figures_are_told(copied: Path, key: str, value: Any) -> None:
    facts = json.loads((copied / "result.json").read_text())
    (copied / "result.json").write_text(json.dumps(facts | {key: value}))
    with pytest.raises(RequestError, match=r"result\.json is not as a training writes it"):
        FinishedRun.read(copied)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("probability", "x"), lambda text: text.rpartition("\n")[0].rpartition("\n")[0],
        lambda text: text + "valid,x,1,1,nan,3\n", lambda text: text + "valid,x,1,1,0.5\n", lambda text: "",
        lambda text: text + 'valid,"x\n', lambda text: text + "valid,x,1,1,0.5,1,more\n",
        lambda text: text + "x" * 200_000,
    ],
)  # fmt: skip
def test_odd_answers_are_told(copied: Path, change: Any) -> None:
    file = copied / "predictions.csv"
    file.write_text(change(file.read_text()))
    with pytest.raises(RequestError, match=r"predictions\.csv"):
        FinishedRun.read(copied).answers()


@pytest.mark.parametrize("name", ["result.json", "data.json", "predictions.csv"])
def test_nobody_waits_for_a_pipe_in_a_run_folder(copied: Path, name: str) -> None:
    (copied / name).unlink()
    os.mkfifo(copied / name)
    with pytest.raises(RequestError, match="is a pipe"):
        FinishedRun.read(copied).answers()
