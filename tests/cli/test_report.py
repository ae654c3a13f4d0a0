"""`sevensteps report`: the figures of one run, or several side by side."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from known_result import known_runs
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


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Four runs whose figures can be counted by hand."""
    return [str(path) for path in known_runs(tmp_path_factory.mktemp("known"))]


def test_one_run_tells_where_its_report_is(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(runs / "digits")]) == 0
    assert f"Report    {runs / 'digits' / 'report.html'}\n" in capsys.readouterr().out


def test_one_run_as_json(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(runs / "digits"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    facts = json.loads((runs / "digits/result.json").read_text())
    assert told["report"] == str(runs / "digits/report.html")
    assert told["valid"]["accuracy"] == facts["valid"]["accuracy"]
    assert told["baseline"]["valid"]["accuracy"] == facts["baseline"]["accuracy"]
    assert (told["best_epoch"], told["seconds"]) == (facts["best_epoch"], facts["seconds"])


def test_each_split_is_told_with_its_own_distance_from_the_baseline(
    known: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", known[1]]) == 0
    told = capsys.readouterr().out
    figures = re.findall(r"(valid|test): ([\d.]+ %) .*, n = (\d+)\) right\n +\+?([\d.]+) points", told)
    assert figures == [("valid", "83.3 %", "6", "50.0"), ("test", "85.0 %", "20", "35.0")]
    assert "the weights are those of epoch 2 of 3" in told


def test_each_run_is_told_against_the_best_with_p_as_it_was_corrected(
    known: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["report", *known, "--out", str(tmp_path / "x.html")]
    assert run([*asked, "--json"]) == 0
    duels = json.loads(capsys.readouterr().out)["mcnemar"]
    assert [(duel["run"], duel["best"]) for duel in duels] == [(known[i], known[1]) for i in (0, 2, 3)]
    assert [(duel["only_run"], duel["only_best"]) for duel in duels] == [(1, 8), (0, 14), (0, 1)]
    similar, worst, near = (duel["p_value"] for duel in duels)
    assert similar > 0.05 > worst > 2 / 2**14
    assert run(asked) == 0
    told = capsys.readouterr().out
    lines = re.findall(r"^(.) to B +(.*): (\d+) .* that B has wrong, (\d+) the other way \(p = (.*)\)$", told, re.M)
    assert lines == [
        ("A", "no clear difference", "1", "8", f"{similar:.2g}"),
        ("C", "worse, and not by luck", "0", "14", f"{worst:.2g}"),
        ("D", "no clear difference", "0", "1", f"{near:.2g}"),
    ]


def test_several_runs_are_compared_on_a_page(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["report", str(runs / "digits"), str(runs / "digits-2")]) == 0
    told = capsys.readouterr().out
    assert "2 runs side by side" in (tmp_path / "compare.html").read_text("utf-8")
    assert told.endswith("Page      compare.html\n")
    assert run(["report", str(runs / "digits"), str(runs / "digits-2"), "--out", "x.html", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["page"] == "x.html"
    assert (tmp_path / "x.html").is_file()
    assert [each["run"] for each in facts["runs"]] == [str(runs / "digits"), str(runs / "digits-2")]


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


@pytest.mark.parametrize("name", ["config.toml", "result.json", "model", "pipe"])
def test_a_comparison_takes_the_place_of_nothing_but_a_comparison(
    name: str, known: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = Path(shutil.copytree(known[0], tmp_path / "run")) / name
    if name == "pipe":
        os.mkfifo(there)
    before = there.read_bytes() if there.is_file() else b""
    assert run(["report", *known[:2], "--out", str(there)]) == 2
    assert "is there, and is no comparison" in capsys.readouterr().err
    assert (there.read_bytes() if there.is_file() else b"") == before
    page = str(tmp_path / "x.html")
    assert run(["report", *known[:2], "--out", page]) == run(["report", *known[:2], "--out", page]) == 0
