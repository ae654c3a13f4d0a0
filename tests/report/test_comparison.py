"""Runs side by side: the figures are those of the runs, and only what is comparable is compared."""

from __future__ import annotations

import csv
import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest

from html_reader import Reader, assert_self_contained, plots, table
from known_result import known_runs
from sevensteps.errors import RequestError, StorageError
from sevensteps.report.charts import curves
from sevensteps.report.comparison import Comparison, write_comparison
from sevensteps.training.train import train
from sevensteps.words import percent, span


@pytest.fixture(scope="module")
def comparison(runs: dict[str, Path]) -> Comparison:
    """A is slow, B fast, C has other pictures, D is the baseline."""
    return Comparison([runs["slow"], runs["fast"], runs["other"], runs["baseline"]])


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Four runs whose figures can be counted by hand; B is the best."""
    return Comparison(known_runs(tmp_path_factory.mktemp("known")))


def written(comparison: Comparison, path: Path) -> str:
    write_comparison(comparison, path / "compare.html")
    return (path / "compare.html").read_text("utf-8")


def answers(run: Path) -> list[dict[str, str]]:
    with (run / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_page_is_self_contained_and_has_the_figures_of_each_run(comparison: Comparison, tmp_path: Path) -> None:
    text = written(comparison, tmp_path)
    assert_self_contained(text)
    read = Reader(text)
    for run in comparison.runs.values():
        assert run.name in read.text
        assert percent(run.score.value, run.score.n) in read.text
        assert span(run.score).replace(" ", "\u00a0") in read.text
        assert run.ece is None or percent(run.ece) in read.text


def test_only_options_that_differ_between_those_that_were_trained_are_shown(comparison: Comparison) -> None:
    rows = {row.what: row.cells for row in comparison.rows}
    assert rows["lr"] == ["0.001", "0.01", "0.003", "–"]
    assert rows["epochs"] == ["2", "3", "1", "–"]
    assert rows["seed"] == ["0", "0", "1", "0"]
    assert not {"batch size", "weight decay", "threads", "preprocessing", "augment"} & rows.keys()
    assert rows["network"] == ["linear", "linear", "linear", "pixel_similarity"]
    assert rows["calibration error (ECE)"][3] == rows["best epoch"][3] == "–"


def test_each_run_is_tested_against_the_best_on_the_same_pictures(
    comparison: Comparison, runs: dict[str, Path]
) -> None:
    (group,) = comparison.groups
    assert (list(group.runs), group.best) == (["A", "B", "D"], "B")
    right = {name: np.array([row["class"] == row["predicted"] for row in answers(path)]) for name, path in runs.items()}
    for duel, name in zip(group.duels, ("slow", "baseline"), strict=True):
        only, only_best = int((right[name] & ~right["fast"]).sum()), int((~right[name] & right["fast"]).sum())
        assert (duel.test.only_first, duel.test.only_second) == (only, only_best)
        expected = binomtest(only, only + only_best).pvalue
        assert duel.test.p_value == pytest.approx(expected)
        assert duel.verdict == ("no clear difference" if duel.p_value >= 0.05 else "worse, and not by luck")
    low, high = sorted(group.duels, key=lambda duel: duel.test.p_value)
    assert low.p_value == pytest.approx(min(1, 3 * low.test.p_value))  # of three runs there are three pairs
    assert high.p_value == pytest.approx(max(low.p_value, min(1, 2 * high.test.p_value)))


def test_the_page_has_the_counts_of_mcnemars_test_and_p_as_it_was_corrected(known: Comparison, tmp_path: Path) -> None:
    (group,) = known.groups
    assert [duel.test.p_value for duel in group.duels] == [2 * (1 + 9) / 2**9, 2 / 2**14, 1]
    similar, worst, near = (duel.p_value for duel in group.duels)
    assert similar > 0.05 > worst > 2 / 2**14
    assert near == 1
    text = written(known, tmp_path)
    assert "B named the most of them rightly" in text
    assert table(text, "p") == [
        ["run", "", "p", "right where B is wrong", "wrong where B is right"],
        ["A similar", "no clear difference", f"{similar:.2g}", "1", "8"],
        ["C worst", "worse, and not by luck", f"{worst:.2g}", "0", "14"],
        ["D near", "no clear difference", "1", "0", "1"],
    ]


def test_the_recall_of_each_class_stands_beside_that_of_the_best(known: Comparison, tmp_path: Path) -> None:
    assert table(written(known, tmp_path), "B (best)") == [
        ["class", "n", "A", "B (best)", "C", "D"],
        ["c", "4", "▼ 50.0 50.0 %", "100.0 %", "▼ 100.0 0.0 %", "▼ 25.0 75.0 %"],
        ["b", "6", "▼ 33.3 50.0 %", "83.3 %", "▼ 66.7 16.7 %", "83.3 %"],
        ["a", "10", "▼ 30.0 50.0 %", "80.0 %", "▼ 60.0 20.0 %", "80.0 %"],
    ]


def test_each_run_has_a_curve_of_its_losses_and_one_of_its_accuracies(known: Comparison, tmp_path: Path) -> None:
    drawn = plots(written(known, tmp_path))
    losses = {"run0": [1.5], "run1": [1.5, 1.0, 1.25], "run2": [1.5, 1.0], "run3": [1.0, 1.25]}
    accuracies = {"run0": [25], "run1": [25, 75, 50], "run2": [25, 75], "run3": [75, 50]}
    for run in losses:
        assert drawn["Loss"][f"curve run {run}"] == pytest.approx(losses[run], abs=1e-3)
        assert drawn["Accuracy"][f"curve run {run}"] == pytest.approx(accuracies[run], abs=0.1)


def test_runs_on_other_pictures_are_not_compared_and_it_is_said_why(comparison: Comparison, tmp_path: Path) -> None:
    assert comparison.apart == ["C and A were not measured on the same pictures: seed is 1, not 0."]
    assert comparison.apart[0] in Reader(written(comparison, tmp_path)).text
    assert comparison.to_dict()["not_comparable"] == comparison.apart


def test_pictures_that_have_changed_are_not_compared(runs: dict[str, Path], copied: Path) -> None:
    facts = json.loads((copied / "data.json").read_text())
    (copied / "data.json").write_text(json.dumps(facts | {"fingerprint": "0" * 64}))
    comparison = Comparison([runs["slow"], copied])
    assert comparison.groups == []
    assert comparison.apart == ["B and A were not measured on the same pictures: the files have changed between."]


def test_disagreements_are_the_pictures_that_one_got_right_and_another_wrong(
    comparison: Comparison, runs: dict[str, Path], tmp_path: Path
) -> None:
    (group,) = comparison.groups
    tables = zip(*(answers(runs[name]) for name in ("slow", "fast", "baseline")), strict=True)
    split = {rows[0]["picture"] for rows in tables if len({row["class"] == row["predicted"] for row in rows}) == 2}
    assert {row[0].name for row in group.disagreements} == split
    losses = [max(it.loss for it in row) - min(it.loss for it in row) for row in group.disagreements]
    assert losses == sorted(losses, reverse=True)
    text = Reader(written(comparison, tmp_path)).text
    shown = group.disagreements[0]
    assert shown[0].name in text
    assert all(f"{'✓' if it.right else '✗'} {it.predicted}" in text for it in shown)


def test_a_run_beside_itself_does_not_differ_anywhere(runs: dict[str, Path], tmp_path: Path) -> None:
    comparison = Comparison([runs["slow"], runs["slow"]])
    assert comparison.groups[0].duels[0].test.p_value == 1
    assert "Nowhere: each picture was named rightly by all of them, or by none" in written(comparison, tmp_path)


def test_lines_differ_in_more_than_their_colour(comparison: Comparison, tmp_path: Path) -> None:
    text = written(comparison, tmp_path)
    chart = ET.fromstring(curves(comparison.curves("accuracies"), "accuracies", unit=100))
    letters = {it.text for it in chart.iter("text") if "ending" in it.get("class", "")}
    assert letters == {"A", "B", "C"}  # pixel similarity has no epochs
    dashes = [
        line.partition("--dashes:")[2] for line in text.splitlines() if line.startswith(".run") and "--run:" in line
    ]
    assert len(set(dashes)) == len(dashes) == 8


def test_names_from_strangers_do_nothing_on_the_page(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("<script>alert(1)<", "a\u202eb", "=1+1"):
        for split, n in (("train", 6), ("valid", 4)):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for k in range(n):
                Image.fromarray(random.integers(0, 255, (8, 8), dtype=np.uint8)).save(folder / f"<b>{k}\u2066.png")
    paths = [
        train(tmp_path / "data", model=model, epochs=1, out=tmp_path).run.path for model in ("linear", "simple_net")
    ]
    hostile = paths[0].rename(tmp_path / "<img src=x>\u202e\x1b")
    text = written(Comparison([hostile, paths[1]]), tmp_path)
    assert_self_contained(text)
    assert not {"\u202e", "\u2066", "\x1b"} & set(text)
    assert "=1+1" in text
    assert "'=1+1" not in Reader(text).text


def test_predictions_of_other_pictures_than_the_data_are_told(runs: dict[str, Path], copied: Path) -> None:
    file = copied / "predictions.csv"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([lines[0], *reversed(lines[1:])]))
    with pytest.raises(RequestError, match=r"has other pictures than its data\.json says"):
        Comparison([runs["slow"], copied])


@pytest.mark.parametrize("count", [0, 1, 27])
def test_too_few_or_too_many_runs_are_told(runs: dict[str, Path], count: int) -> None:
    with pytest.raises(RequestError, match=f"{count} runs to compare"):
        Comparison([runs["slow"]] * count)


def test_a_page_that_cannot_be_written_is_a_storage_error(comparison: Comparison, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        write_comparison(comparison, tmp_path / "missing" / "compare.html")


def test_a_run_whose_accuracy_has_no_pictures_has_a_page(runs: dict[str, Path], copied: Path, tmp_path: Path) -> None:
    shutil.copy(runs["slow"] / "result.json", copied)
    facts = json.loads((copied / "result.json").read_text())
    empty = {"accuracy": None, "n": 0}
    (copied / "result.json").write_text(json.dumps(facts | {"valid": empty, "baseline": empty, "epochs": []}))
    with pytest.raises(RequestError, match="0 pictures"):
        Comparison([runs["slow"], copied])
    Reader(written(Comparison([runs["other"], copied]), tmp_path))
