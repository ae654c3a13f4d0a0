"""`sevensteps report`: the figures of one run, or several side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sevensteps.cli.main import run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs on the digits, and one that was begun and never finished."""
    out = tmp_path_factory.mktemp("runs")
    for options in (["--epochs", "2"], ["--epochs", "1"]):
        assert run(["train", "--model", "linear", *options, "--out", str(out), "--quiet"]) == 0
    (out / "begun").mkdir()
    (out / "begun/config.toml").write_text("seed = 0\n")
    return out


def test_one_run_tells_its_figures_and_where_its_report_is(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(runs / "digits")]) == 0
    told = capsys.readouterr().out
    facts = json.loads((runs / "digits/result.json").read_text())
    assert f"valid: {100 * facts['valid']['accuracy']:.1f} % (95 % interval" in told
    assert "pixel similarity" in told
    assert f"the weights are those of epoch {facts['best_epoch']} of 2" in told
    assert f"Report    {runs / 'digits' / 'report.html'}\n" in told


def test_one_run_as_json(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(runs / "digits"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    facts = json.loads((runs / "digits/result.json").read_text())
    assert told["report"] == str(runs / "digits/report.html")
    assert told["valid"]["accuracy"] == facts["valid"]["accuracy"]
    assert told["baseline"]["valid"]["accuracy"] == facts["baseline"]["accuracy"]
    assert (told["best_epoch"], told["seconds"]) == (facts["best_epoch"], facts["seconds"])


def test_several_runs_are_compared_on_a_page(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["report", str(runs / "digits"), str(runs / "digits-2")]) == 0
    told = capsys.readouterr().out
    assert "2 runs side by side" in (tmp_path / "compare.html").read_text("utf-8")
    assert "the other way (p = " in told
    assert told.endswith("Page      compare.html\n")
    assert run(["report", str(runs / "digits"), str(runs / "digits-2"), "--out", "x.html", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["page"] == "x.html"
    assert (tmp_path / "x.html").is_file()
    assert [each["run"] for each in facts["runs"]] == [str(runs / "digits"), str(runs / "digits-2")]
    assert 0 < facts["mcnemar"][0]["p_value"] <= 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["begun"], "is not finished"),
        (["digits", "begun"], "is not finished"),
        (["nowhere"], "is no run folder"),
        (["digits", "--out", "x.html"], "--out says where the page of a comparison is written"),
        ([], "Missing argument"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_line(
    runs: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs)
    assert run(["report", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (runs / "compare.html").exists()
