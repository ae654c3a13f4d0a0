"""The figures on a run's page, against those counted by hand."""

from __future__ import annotations

import re

import pytest

from html_reader import Reader, plots, section, table
from known_result import BETTER, UNSURE, WORSE, answering, known_result
from sevensteps.interval import Accuracy
from sevensteps.report.page import page
from sevensteps.training.result import TrainingResult
from sevensteps.words import span


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return known_result(tmp_path_factory.mktemp("known"))


@pytest.fixture(scope="module")
def text(result: TrainingResult) -> str:
    return page(result)


@pytest.mark.parametrize(
    ("answers", "kind", "begins", "only", "only_baseline", "p"),
    [
        (BETTER, "better", "Better than pixel similarity", 8, 1, 2 * (1 + 9) / 2**9),
        (UNSURE, "unsure", "No clear difference from pixel similarity", 7, 1, 2 * (1 + 8) / 2**8),
        (WORSE, "worse", "Worse than pixel similarity", 1, 8, 2 * (1 + 9) / 2**9),
    ],
)
def test_the_verdict_is_that_of_the_pictures_that_only_one_of_them_got_right(
    result: TrainingResult, answers: str, kind: str, begins: str, only: int, only_baseline: int, p: float
) -> None:
    ((shown, told),) = re.findall('<p class="verdict (.*?)">(.*?)</p>', page(answering(result, answers)))
    assert shown == kind
    assert told.startswith(begins)
    assert f"the network had {only} and the baseline {only_baseline};" in told
    assert f"with a probability of {p:.2g} (exact McNemar test)" in told


def test_the_headline_compares_the_network_with_the_baseline(text: str) -> None:
    shown = " ".join(Reader(text).text.split())
    assert "85.0 % of 20 test pictures named rightly 95 % interval 64.0 to 94.8 %" in shown
    assert "this network, 85.0 %pixel similarity, the baseline, 50.0 %" in shown
    assert "Against the baseline+35.0 percentage points" in shown
    assert "Errors1 in 6.7 instead of 1 in 2.0" in shown
    assert "Most frequent class50.0 % right by always saying it" in shown
    (ours, right), (theirs, left) = re.findall('class="dot (.*?)" cx="(.*?)%"', section(text, "result"))
    assert (ours, theirs) == ("network", "baseline")
    assert float(right) > float(left)


def test_each_split_has_its_accuracy_beside_the_baselines(text: str) -> None:
    assert table(text, "mean over classes")[1:] == [
        ["validation", "6", "83.3 %", shown(5, 6), "83.3 %", "33.3 %", shown(2, 6)],
        ["test", "20", "85.0 %", shown(17, 20), "87.8 %", "50.0 %", shown(10, 20)],
    ]


def test_the_pictures_of_each_class_are_counted_in_each_split(text: str) -> None:
    assert table(text, "training") == [
        ["class", "training", "validation", "test"],
        ["a", "2", "1", "10"],
        ["b", "3", "3", "6"],
        ["c", "4", "2", "4"],
        ["all", "9", "6", "20"],
    ]


def test_the_curves_are_those_of_the_epochs_with_the_best_one_ringed(text: str) -> None:
    drawn = plots(text)
    assert drawn["Loss"]["curve train"] == pytest.approx([2.0, 0.75, 0.25], abs=1e-3)
    assert drawn["Loss"]["curve valid"] == pytest.approx([1.5, 1.0, 1.25], abs=1e-3)
    assert drawn["Loss"]["dot best"] == pytest.approx([1.0], abs=1e-3)
    assert drawn["Accuracy"]["curve valid"] == pytest.approx([25, 75, 50], abs=0.1)
    assert drawn["Accuracy"]["dot best"] == pytest.approx([75], abs=0.1)
    assert drawn["Accuracy"]["level baseline"] == pytest.approx([100 / 3], abs=0.1)


def test_a_row_of_the_confusion_matrix_is_what_they_are_and_a_column_what_they_were_called(text: str) -> None:
    assert table(text, "a") == [["", "a", "b", "c"], ["a", "8", "2", "·"], ["b", "·", "5", "1"], ["c", "·", "·", "4"]]
    shades = re.findall('<td class="([hm])[0-9]+">', section(text, "confusion"))
    assert shades == list("hmmmhmmmh")
    assert table(text, "was called") == [["is", "was called", "times"], ["a", "b", "2"], ["b", "c", "1"]]


def test_each_class_has_its_precision_and_its_recall(text: str) -> None:
    rows = table(text, "precision")
    assert rows[0][:5] == ["class", "n", "precision", "recall", "F1"]
    assert [[*row[:5], row[-1]] for row in rows[1:]] == [
        ["a", "10", "100.0 %", "80.0 %", "88.9 %", shown(8, 10)],
        ["b", "6", "71.4 %", "83.3 %", "76.9 %", shown(5, 6)],
        ["c", "4", "80.0 %", "100.0 %", "88.9 %", shown(4, 4)],
    ]


def shown(correct: int, n: int) -> str:
    """The 95 % interval as a cell has it."""
    return " ".join(span(Accuracy(correct, n)).split())
