"""The doctor's limits, on records made by hand: healthy on one side of each, ill on the other, and what is said of it.

Each record differs from a healthy one in the figures that matter alone, so that nothing but their illness may be found.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from operator import ge, gt, le, lt
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sevensteps.data.check import KINDS, Finding
from sevensteps.insight.doctor import BLOCKS, examine
from sevensteps.insight.interpretation import Answer
from sevensteps.insight.record import EpochSummary, Record
from sevensteps.models.mcnemar import McNemar
from sevensteps.training.keepers import StepRow
from sevensteps.training.layer_log import LayerRow

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "illnesses.md").read_text("utf-8")
ON_PAGE = dict(re.findall(r"^\| (.+?) \| (.+) \|$", PAGE, re.MULTILINE)[1:])  # without the heading
GUESSING = math.log(10)
NAN, INF = math.nan, math.inf

TOO_HIGH, TOO_LOW, OFF = "learning rate too high", "learning rate too low", "update-to-weight ratio off"
EXPLODING, VANISHING, DEAD = "exploding gradients", "vanishing gradients", "dead ReLUs"
WRONG_START, UNMOVED = "last layer starts wrong", "a metric that does not move"
WORSE = "worse than the simplest thing"
UNDERFITTING, OVERFITTING = "underfitting", "overfitting"
LEAKS, CONFLICTS, IMBALANCE = "leaks", "labels that contradict each other", "imbalance"
WRONG_LABELS = "labels that look wrong"


def names(record: Record) -> list[str]:
    return [diagnosis.illness.partition(" from epoch")[0] for diagnosis in examine(record)]


def figures(text: str) -> list[float]:
    """All numbers in a text: 1,000 and 1e-05, 1/1000 and 5 % as what they are."""
    number = r"(\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]\d+)?)(?:/(\d+(?:,\d{3})*))?(\s%)?"
    parts = re.findall(number, text)
    return [float(a.replace(",", "")) / float(b.replace(",", "") or 1) / (100 if c else 1) for a, b, c in parts]


# -- records --------------------------------------------------------------------------------------------------------


def steps(losses: Sequence[float], norms: Sequence[float] = (), rates: Sequence[float] = ()) -> list[StepRow]:
    """Ten an epoch; after the given ones, gradients are 1 long and rates 0.1."""
    n = len(losses)
    rows = zip(losses, [*rates, *[0.1] * n], [*norms, *[1.0] * n], strict=False)
    return [StepRow(i, 1 + i // 10, *row) for i, row in enumerate(rows)]


def losses(first: float, last: float, middle: float | None = None, n: int = 20) -> list[float]:
    return [first, *[(first + last) / 2 if middle is None else middle] * (n - 2), last]


def epochs(*rows: tuple[float, float | None, float]) -> list[EpochSummary]:
    """From the loss on training and on validation pictures, and the score."""
    return [EpochSummary(number, *row) for number, row in enumerate(rows, 1)]


def layer(name: str, ratio: float = 0.002, gradient: float = 1.0, kind: str = "Linear", epoch: int = 1) -> LayerRow:
    """Its weights are 2 long, so that the length of its update is not its ratio."""
    return LayerRow(epoch, 5, name, kind, 2.0, gradient, 2 * ratio, None, 64)


def relu(silent: float, epoch: int = 1, name: str = "relu") -> LayerRow:
    return LayerRow(epoch, 5, name, "ReLU", None, None, None, silent, 64)


def layers(*gradients: float, ratio: float = 0.002, epoch: int = 1) -> list[LayerRow]:
    """With these gradients, the first and the last of them by these names."""
    called = ["first", *["middle"] * (len(gradients) - 2), "last"]
    return [layer(name, ratio, gradient, epoch=epoch) for name, gradient in zip(called, gradients, strict=True)]


def answers(right: int, *wrong: tuple[int, float, float]) -> list[Answer]:
    """Right ones, of cats and of dogs in turn; so many cats called dogs, with a probability and a loss."""
    rows = [(("cat", "dog")[i % 2],) * 2 + (0.95, 0.05) for i in range(right)]
    rows += [("cat", "dog", probability, loss) for n, probability, loss in wrong for _ in range(n)]
    return [Answer(f"{place}.png", place, *row) for place, row in enumerate(rows)]


HEALTHY = Record(
    classes=10,
    steps=steps(losses(2.2, 0.2, n=30)),
    epochs=epochs((1.5, 1.2, 0.6), (0.8, 0.7, 0.8), (0.4, 0.6, 0.9)),
    layers=[row for epoch in (1, 2, 3) for row in (*layers(2.0, 9.0, 4.0, epoch=epoch), relu(0.1, epoch))],
    answers=answers(100, (4, 0.6, 1.5)),
    findings=[Finding("duplicates", 1, "1 picture has the same pixels as another", ("a.png is b.png",))],
)


def but(**parts: Any) -> Record:
    """The healthy record with other parts."""
    return replace(HEALTHY, **parts)


def learning(*shape: Any, ratio: float = 0.002) -> Record:
    """With these `losses` of its steps, and nothing known of its epochs."""
    return but(steps=steps(losses(*shape)), layers=layers(1.0, 1.0, 1.0, ratio=ratio), epochs=[])


def fitted(high: float = 0.9, low: float = 0.6, learned: float = 0.5, n: int = 3) -> Record:
    """Of a validation loss that was `low` until it is `high` at the end, and training loss that went from 1 down."""
    return but(epochs=epochs(*[(1.0, low, 0.1 * i) for i in range(1, n)], (learned, high, 0.9)))


def unlearned(end: float = 2.0, valid: float = 5.0, n: int = 3) -> Record:
    """Of steps that end with this loss, and epochs with 5 on the training pictures."""
    return but(steps=steps(losses(2.2, end)), epochs=epochs(*[(5.0, valid, 0.1 * i) for i in range(n)]))


def parts(first: float, middle: float, last: float, n: int = 60) -> Record:
    """With these losses of the first three steps, those in the middle and the last three, which are a part each."""
    rows = steps([*[first] * 3, *[middle] * (n - 6), *[last] * 3])
    return but(steps=rows, layers=layers(1.0, 1.0, 1.0), epochs=[])


def unlike(train: float, valid: float, n: int = 3) -> Record:
    """Of a training and a validation loss that stay as they are."""
    return but(epochs=epochs(*[(train, valid, 0.1 * i) for i in range(n)]))


def against(only_network: int, only_baseline: int) -> Record:
    """Where so many of the answers are right by the network, or by the baseline, alone."""
    return but(baseline=McNemar(only_network, only_baseline))


def mostly_cats(missed: int, caught: int, sure: bool = False) -> Record:
    """50 cats are right, so many are called dogs, and so many dogs are right: more than who says cat has."""
    rows = [("cat", "cat")] * 50 + [("cat", "dog")] * missed + [("dog", "dog")] * caught
    return but(answers=[Answer("a.png", 0, *row, *((0.95, 5.0) if sure else (0.6, 1.5))) for row in rows])


def mislabelled(sure: int = 5, unsure: int = 0, n: int = 100, probability: float = 0.95, own: float = 0.01) -> Record:
    return but(answers=answers(n - sure - unsure, (sure, probability, -math.log(own)), (unsure, 0.6, 1.5)))


def scored(*scores: float) -> Record:
    """Of two classes with 50 pictures each, so that guessing is right for half."""
    return but(epochs=epochs(*[(1.0, None, score) for score in scores]), answers=answers(100))


# -- limits ---------------------------------------------------------------------------------------------------------


class Limit(NamedTuple):
    """An illness that is there where a figure stands so to the limit (`gt`: above it), and else is not.

    `near`, as a part of the limit, is how far from it the next figures are; those of a whole number are the next ones.
    """

    illness: str
    stands: Callable[[float, float], bool]
    limit: float
    record: Callable[[Any], Record]
    near: float = 1e-6

    def around(self) -> Iterator[float]:
        apart = 1 if isinstance(self.limit, int) else self.near * self.limit
        return (self.limit + sign * apart for sign in (-1, 0, 1))


LIMITS = [
    Limit(TOO_HIGH, ge, 60, lambda n: parts(2.0, 9.0, 9.0, n)),
    Limit(TOO_HIGH, gt, 1.5, lambda rise: parts(4.0, rise * 4.0, 6.0)),
    Limit(TOO_HIGH, gt, 1.5, lambda rise: parts(1.0, rise * GUESSING, 2.0)),
    Limit(TOO_HIGH, gt, 5.0, lambda rise: parts(4.0, rise * 4.0, 0.2)),
    Limit(TOO_HIGH, gt, 5.0, lambda rise: parts(1.0, rise * GUESSING, 0.2)),
    Limit(TOO_HIGH, ge, 1.5, lambda back: parts(2.0, 9.0, back * 2.0)),
    Limit(TOO_HIGH, ge, 20, lambda n: learning(2.2, 2.2, 2.2, n, ratio=0.1)),
    Limit(TOO_HIGH, gt, 0.05, lambda ratio: learning(2.2, 2.2, ratio=ratio)),
    Limit(TOO_HIGH, gt, 0.8, lambda part: learning(1.5, part * GUESSING, ratio=0.1)),
    Limit(TOO_HIGH, gt, 0.98, lambda part: learning(2.2, part * 2.2, ratio=0.1)),
    Limit(TOO_HIGH, gt, 3.0, lambda times: learning(2.2, 2.0, times * GUESSING, ratio=0.1)),
    Limit(TOO_HIGH, gt, 3.0, lambda times: learning(4.0, 3.9, times * 4.0, ratio=0.1)),
    Limit(TOO_HIGH, gt, 3.0, lambda times: learning(0.5, times * GUESSING, 0.4, 10)),
    Limit(TOO_HIGH, gt, 10.0, lambda times: learning(2.2, times * 2.2, 2.0, 10)),
    Limit(TOO_LOW, ge, 20, lambda n: learning(2.2, 2.0, 2.1, n, ratio=5e-5)),
    Limit(TOO_LOW, ge, 0.5, lambda part: learning(2.2, part * 2.2, ratio=5e-5)),
    Limit(TOO_LOW, lt, 1e-4, lambda ratio: learning(2.2, 2.0, 1.5, ratio=ratio)),
    Limit(TOO_LOW, lt, 1e-3, lambda ratio: learning(2.2, 2.0, ratio=ratio)),
    Limit(TOO_LOW, le, 1.01, lambda risen: learning(2.2, risen * 1.5, 1.5, ratio=5e-4)),
    Limit(EXPLODING, ge, 1e3, lambda norm: but(steps=steps(losses(2.2, 0.2), [1.0, norm]))),
    Limit(VANISHING, le, 1e-3, lambda part: but(layers=layers(4.0 * part, 1.0, 4.0))),
    Limit(VANISHING, ge, 3, lambda n: but(layers=layers(1e-6, *[1.0] * (n - 1)))),
    Limit(DEAD, gt, 0.5, lambda silent: but(layers=[relu(silent)])),
    Limit(WRONG_START, gt, 3.0, lambda times: learning(times * GUESSING, 0.2)),
    Limit(OFF, lt, 1e-5, lambda ratio: but(layers=[layer("it", ratio), layer("other")])),
    Limit(OFF, gt, 0.5, lambda ratio: but(layers=[layer("it", ratio), layer("other")])),
    Limit(UNMOVED, ge, 3, lambda n: scored(*[0.5] * n)),
    Limit(WORSE, lt, 0.05, lambda p: against(4, 13 if p < 0.05 else 12)),
    Limit(UNDERFITTING, ge, 3, lambda n: unlearned(n=n)),
    Limit(UNDERFITTING, gt, 0.6, lambda part: unlearned(part * GUESSING)),
    Limit(UNDERFITTING, lt, 0.2, lambda gap: unlearned(valid=5.0 + 5.0 * gap)),
    Limit(UNDERFITTING, lt, 0.2, lambda gap: unlearned(valid=5.0 - 5.0 * gap)),
    Limit(OVERFITTING, ge, 3, lambda n: fitted(n=n)),
    Limit(OVERFITTING, gt, 1.15, lambda rise: fitted(rise * 0.6)),
    Limit(OVERFITTING, gt, 0.02, lambda high: fitted(high, low=0.0)),
    Limit(OVERFITTING, lt, 0.9, lambda learned: fitted(learned=learned)),
    Limit(OVERFITTING, ge, 20, lambda n: replace(unlike(0.5, 2.4), steps=steps(losses(2.2, 0.2, n=n)))),
    Limit(OVERFITTING, lt, 0.85, lambda part: unlike(part * GUESSING, 4.0)),
    Limit(OVERFITTING, ge, 1.0, lambda part: unlike(1.5, part * GUESSING)),
    Limit(OVERFITTING, gt, 5.0, lambda times: unlike(0.4, times * 0.4)),
    Limit(OVERFITTING, gt, 0.7, lambda part: unlike(0.1, part * GUESSING)),
    Limit(WRONG_LABELS, ge, 3, lambda n: mislabelled(n)),
    Limit(WRONG_LABELS, ge, 0.01, lambda part: mislabelled(round(part * 10_000), n=10_000), near=0.01),
    Limit(
        WRONG_LABELS, ge, 0.5, lambda part: mislabelled(round(part * 1000), round((1 - part) * 1000), 9000), near=0.002
    ),
    Limit(WRONG_LABELS, ge, 0.7, lambda right: mislabelled(round(1000 - right * 1000), n=1000), near=0.01),
    Limit(WRONG_LABELS, ge, 0.9, lambda probability: mislabelled(probability=probability)),
    Limit(WRONG_LABELS, le, 0.02, lambda own: mislabelled(own=own)),
]


@pytest.mark.parametrize("it", LIMITS, ids=lambda it: f"{it.illness} {it.stands.__name__} {it.limit}")
def test_an_illness_begins_at_its_limit(it: Limit) -> None:
    for figure in it.around():
        assert names(it.record(figure)) == [it.illness] * it.stands(figure, it.limit), figure


@pytest.mark.parametrize(("score", "found"), [(0.499, [UNMOVED]), (0.5, [UNMOVED]), (0.501, [])])
def test_an_accuracy_that_stays_is_an_illness_where_guessing_gives_as_much(score: float, found: list[str]) -> None:
    assert names(scored(score, score, score)) == found


@pytest.mark.parametrize(("missed", "found"), [(12, []), (13, [WORSE])])
def test_who_always_says_the_most_frequent_class_is_beaten_but_for_luck(missed: int, found: list[str]) -> None:
    assert names(mostly_cats(missed, 4)) == found
    assert names(mostly_cats(4, missed)) == []


@pytest.mark.parametrize("led", [against(13, 4), against(50, 0), against(6, 6), against(0, 0)])
def test_a_network_that_does_no_worse_than_the_baseline_is_healthy(led: Record) -> None:
    assert names(led) == []


@pytest.mark.parametrize(("caught", "found"), [(6, []), (7, [WRONG_LABELS])])
def test_labels_look_wrong_to_a_network_that_is_better_than_one_class_for_all(caught: int, found: list[str]) -> None:
    assert names(mostly_cats(6, caught, sure=True)) == found


def test_the_page_states_each_limit_and_no_other_figure() -> None:
    stated = {illness: set(figures(text)) for illness, text in ON_PAGE.items()}
    assert stated == {illness: {it.limit for it in LIMITS if it.illness == illness} for illness in ON_PAGE}
    assert f"means of {BLOCKS} parts" in PAGE


# -- conditions -----------------------------------------------------------------------------------------------------


def of_rise(on_first: bool, on_guess: bool, stays: bool) -> Record:
    return parts(2.0 if on_first else 4.0, 5.0 if on_guess else 3.2, 3.1 if stays else 1.0)


def of_steps(large: bool, high: bool, not_fallen: bool) -> Record:
    return learning(2.1 if not_fallen else 4.0, 2.1 if high else 0.2, ratio=0.1 if large else 0.01)


def of_scores(same: bool, poor: bool) -> Record:
    score = 0.4 if poor else 0.8
    return scored(score, score, score if same else score - 0.01)


def of_answers(called_the_same: bool, are_not: bool) -> Record:
    true, predicted = ["dog", "cat" if are_not else "dog"], ["dog", "dog" if called_the_same else "cat"]
    return but(answers=[Answer("a.png", 0, *classes, 0.6, 1.5) for classes in zip(true, predicted, strict=True)])


def of_labels(wrong: bool, sure: bool, excluded: bool) -> Record:
    row = ("dog" if wrong else "cat", 0.95 if sure else 0.6, 5.0 if excluded else 1.5)
    return but(answers=answers(95) + [Answer("a.png", 0, "cat", *row)] * 5)


def of_fit(times: bool, apart: bool, learned: bool) -> Record:
    low = 0.6 if apart else 0.01
    return fitted((1.5 if times else 1.1) * low, low, 0.5 if learned else 0.95)


CONDITIONS: list[tuple[str, int, Callable[..., Record]]] = [
    (TOO_HIGH, 3, of_rise),
    (TOO_HIGH, 2, lambda on_first, on_guess: learning(0.4 if on_first else 1.0, 8.0 if on_guess else 5.0, 0.3, 10)),
    (TOO_HIGH, 3, of_steps),
    (TOO_LOW, 2, lambda small, high: learning(2.2, 2.1 if high else 0.2, ratio=5e-5 if small else 0.01)),
    (TOO_LOW, 2, lambda small, falls: learning(2.2, 2.0, 2.1 if falls else 1.5, ratio=5e-4 if small else 0.01)),
    (DEAD, 2, lambda many, late: but(layers=[relu(0.9 if many else 0.1, 3 if late else 2), relu(0.2, 3)])),
    (UNMOVED, 2, of_scores),
    (UNMOVED, 2, of_answers),
    (UNDERFITTING, 2, lambda high, close: unlearned(2.0 if high else 0.5, 5.0 if close else 9.0)),
    (OVERFITTING, 3, of_fit),
    (OVERFITTING, 2, lambda times, high: unlike(0.1 if times else 0.9, 2.0 if high else 1.0)),
    (WRONG_LABELS, 3, of_labels),
]


@pytest.mark.parametrize(("illness", "n", "record"), CONDITIONS)
def test_an_illness_is_there_under_all_of_its_conditions_alone(
    illness: str, n: int, record: Callable[..., Record]
) -> None:
    for held in itertools.product((False, True), repeat=n):
        assert names(record(*held)) == [illness] * all(held), held


SLOW, NOT_FINITE = losses(2.2, 2.1), [NAN, *losses(2.2, 2.1)]


@pytest.mark.parametrize(
    ("cause", "effect", "found"),
    [
        (steps(NOT_FINITE), but(steps=steps(SLOW), layers=[layer("it", 5e-5)], epochs=[]), [TOO_LOW]),
        (steps(NOT_FINITE), but(layers=[layer("it", 1e-7), layer("other")]), [OFF]),
        (steps(NOT_FINITE), unlearned(), [UNDERFITTING]),
    ],
)
def test_a_rate_too_high_explains_what_comes_of_it(cause: list[StepRow], effect: Record, found: list[str]) -> None:
    assert names(effect) == found
    assert names(replace(effect, steps=cause)) == [TOO_HIGH]


def test_labels_do_not_look_wrong_where_the_rate_was_too_high() -> None:
    assert names(mislabelled()) == [WRONG_LABELS]
    assert names(replace(mislabelled(), steps=steps(NOT_FINITE))) == [TOO_HIGH]


def test_a_rate_too_low_explains_what_comes_of_it() -> None:
    still, hardly_any = [layer("it", 1e-7), layer("other")], [layer("it", 1e-7), layer("other", 5e-5)]
    assert names(but(layers=still)) == [OFF]
    assert names(but(layers=hardly_any, steps=steps(SLOW))) == [TOO_LOW]
    assert names(unlearned()) == [UNDERFITTING]
    assert names(replace(unlearned(), layers=hardly_any)) == [TOO_LOW]


@pytest.mark.parametrize("kind", ["Linear", "Conv1d", "Conv2d", "Conv3d", "BatchNorm2d", "Embedding", ""])
def test_only_layers_whose_weights_multiply_are_looked_at(kind: str) -> None:
    ill = kind.startswith(("Linear", "Conv"))
    ends = [layer("first", gradient=1e-6, kind=kind), layer("middle", 1e-7, kind=kind), layer("last", kind=kind)]
    assert names(but(layers=ends)) == [VANISHING, OFF] * ill
    assert names(replace(learning(2.2, 2.2), layers=[layer("it", 0.1, kind=kind)])) == [TOO_HIGH] * ill


# -- evidence -------------------------------------------------------------------------------------------------------


class Evidence(NamedTuple):
    """What is said of a record: the figures of its evidence, those of its advice, and the names in it."""

    illness: str
    record: Record
    figures: list[float]
    advice: tuple[float, ...] = ()
    words: str = ""


RISEN = [1.0, 2.0, 1.5, *[1.0] * 53, 5.0, 6.0, 10.0, *[4.0] * 11]  # 70 steps: parts of three and four
EXPLODED = steps(losses(2.2, 0.2, n=1500), [*[5.0] * 1234, 4e6])
SURE = [(1, 0.95, loss) for loss in (4.5, 6.0, 5.0, 5.5)]
BY_EPOCH = [layers(8e-4, 1.0, 1.0), layers(8e-5, 1.0, 2.0, epoch=2), layers(5e-4, 1.0, 1.0, epoch=3)]
EVIDENCE = [
    Evidence(TOO_HIGH, but(steps=steps(RISEN, rates=[0.1, 0.4, 0.2])), [1.5, 7, 56], (0.04,), "it rose"),
    Evidence(TOO_HIGH, learning(2.2, 2.2, ratio=0.125), [0.125, 2.2, 2.3], (0.01,)),
    Evidence(TOO_HIGH, learning(0.5, 8.0, 0.4, 10), [0.5, 8, 9, 2.3], (0.01,), "the last: it rose"),
    Evidence(TOO_LOW, but(steps=steps(SLOW, rates=[0.1, 0.4]), layers=[layer("a", 3e-5), layer("b", 2e-5)]),
             [2.2, 2.1, 3e-5, 1 / 1000], (4,)),
    Evidence(EXPLODING, but(steps=EXPLODED), [4e6, 1234, 124, 5]),
    Evidence(VANISHING, but(layers=[*itertools.chain(*BY_EPOCH)]), [2, 4e-5], words="of first .* of last"),
    Evidence(VANISHING, but(layers=[*itertools.chain(*zip(*BY_EPOCH, strict=True))]), [2, 4e-5]),
    Evidence(DEAD, but(layers=[relu(0.9, 1), relu(0.6, 2, "a"), relu(0.75, 2, "b"), relu(0.55, 2, "c")]),
             [0.75, 0, 64, 2], words="units of b gave"),
    Evidence(WRONG_START, learning(8.0, 0.2), [8, 10, 2.3]),
    Evidence(OFF, but(layers=[layer("a", 0.6), layer("b", 1e-6)]), [1e-6, 1 / 1000], words="of b by .* hardly any"),
    Evidence(OFF, but(layers=[layer("a", 0.9), layer("b", 3e-6)]), [0.9, 1 / 1000], words="of a by .* most of"),
    Evidence(OFF, but(layers=[layer("a", 0.0), layer("b", 9e4)]), [0, 1 / 1000], words="of a by .* hardly any"),
    Evidence(OFF, but(layers=[layer("a", 2e-6), layer("a", 1e-7), layer("b")]), [2e-6, 1 / 1000], words="of a by"),
    Evidence(UNMOVED, but(answers=[Answer("a.png", 0, true, "cat", 0.6, 1.5) for true in ["cat", "dog"] * 600]),
             [1200], words="called cat"),
    Evidence(UNMOVED, scored(0.25, 0.25, 0.25, 0.25), [0.25, 4]),
    Evidence(WORSE, mostly_cats(13, 4), [67, 0.806, 0.94], words="who always says cat 94"),
    Evidence(WORSE, but(answers=answers(80, (20, 0.6, 1.5)), baseline=McNemar(1, 10)), [100, 0.8, 0.89],
             words="pixel similarity, the baseline, 89"),
    Evidence(WORSE, replace(mostly_cats(13, 4), baseline=McNemar(0, 8)), [67, 0.806, 0.94], words="cat"),
    Evidence(WORSE, replace(mostly_cats(13, 4), baseline=McNemar(0, 10)), [67, 0.806, 0.955], words="baseline"),
    Evidence(UNDERFITTING, unlearned(2.1), [2.1, 2.3]),
    Evidence(OVERFITTING, but(epochs=epochs((1.5, 1.0, 0.5), (1.25, 0.5, 0.6), (1.0, 0.6, 0.7), (0.75, 0.8, 0.8))),
             [0.5, 0.8, 1.25, 0.75], (2,)),
    Evidence(OVERFITTING, unlike(0.5, 2.4), [0.5, 2.4, 2.3]),
    Evidence(WRONG_LABELS, but(answers=answers(94, (1, 0.6, 1.5), *SURE)), [4, 5, 99, 96, 98, 97],
             words=r"96\.png \(cat, called dog\)"),
]  # fmt: skip


@pytest.mark.parametrize("it", EVIDENCE, ids=lambda it: it.illness)
def test_what_is_said_has_the_right_figures_and_names(it: Evidence) -> None:
    (found,) = examine(it.record)
    assert found.illness.startswith(it.illness)
    assert figures(found.evidence) == pytest.approx(it.figures)
    assert figures(found.advice) == [*it.advice]
    assert re.search(it.words, found.evidence)


def test_overfitting_bears_the_epoch_in_which_the_validation_loss_was_least() -> None:
    without = [(1.5, None, 0.5), (1.4, NAN, 0.6)]
    rows = epochs(*without, (1.0, 0.5, 0.6), (0.9, 0.6, 0.7), (0.7, 0.8, 0.8), (0.1, INF, 0.9))
    assert [it.illness for it in examine(but(epochs=rows))] == ["overfitting from epoch 3 on"]
    assert names(but(epochs=rows[:3] + rows[4:])) == []  # two losses are too few to compare


@pytest.mark.parametrize(
    ("loss", "norm", "what"),
    [(NAN, 1.0, "loss"), (INF, 1.0, "loss"), (-INF, INF, "loss"), (1.0, NAN, "gradient"), (1.0, INF, "gradient")],
)
def test_the_first_number_that_is_not_finite_is_told_also_of_a_short_training(
    loss: float, norm: float, what: str
) -> None:
    later = [StepRow(1235, 13, INF, 0.5, INF), StepRow(1236, 13, -INF, 0.5, NAN)]
    (found,) = examine(but(steps=[*steps([2.0]), StepRow(1234, 12, loss, 0.25, norm), *later]))
    assert found.illness == TOO_HIGH
    assert found.evidence.startswith(f"the {what} is no finite number")
    assert figures(found.evidence) == [1234, 12, 0.25]
    assert figures(found.advice) == [0.05]


def test_infinite_losses_of_both_signs_are_no_sum() -> None:
    assert names(but(steps=steps([2.0, INF, -INF] * 20))) == [TOO_HIGH]


def test_a_gradient_that_explodes_is_told_by_its_finite_lengths() -> None:
    high, exploding = examine(but(steps=steps(losses(2.2, 0.2), [1.0, 7e4, INF, NAN, 3e3, *[2e3] * 20])))
    assert (high.illness, exploding.illness) == (TOO_HIGH, EXPLODING)
    assert figures(exploding.evidence) == [7e4, 1, 1, 2e3]


@pytest.mark.parametrize(
    ("kind", "illness"), [("leaks", LEAKS), ("label_conflicts", CONFLICTS), ("imbalance", IMBALANCE)]
)
def test_what_check_found_is_repeated_under_its_name(kind: str, illness: str) -> None:
    findings = [Finding(kind, 2, "so many", ("a.png", "b.png")), Finding(kind, 1, "one more")]
    (found,) = examine(but(findings=[*HEALTHY.findings, *findings]))
    assert (found.illness, found.evidence) == (illness, "so many: a.png, b.png; one more")


HOSTILE = "\u202e"


@pytest.mark.parametrize(
    ("record", "times"),
    [
        (but(layers=[layer(HOSTILE, gradient=1e-6), layer(HOSTILE), layer(HOSTILE)]), 2),
        (but(layers=[layer(HOSTILE, 1e-7), layer("other")]), 1),
        (but(layers=[relu(0.9, name=HOSTILE)]), 1),
        (but(answers=[Answer("a.png", 0, true, HOSTILE, 0.6, 1.5) for true in ("cat", "dog")]), 1),
        (but(answers=[Answer("a.png", 0, HOSTILE, it, 0.6, 1.5) for it in [HOSTILE] * 10 + ["cat"] * 10]), 1),
        (but(answers=answers(95) + [Answer(HOSTILE, 0, HOSTILE, HOSTILE * 2, 0.95, 5.0)] * 3), 12),
    ],
)
def test_names_that_turn_the_text_around_are_told_as_escapes(record: Record, times: int) -> None:
    (found,) = examine(record)
    assert found.evidence.count(r"\u202e") == times
    assert HOSTILE not in found.evidence


# -- all of it, and nothing -----------------------------------------------------------------------------------------

AILING = ("leaks", "label_conflicts", "imbalance")  # kinds of what check finds


def ailing(shape: tuple[float, ...], ratio: float) -> Record:
    """All that can be found, but for what these `losses` and these updates rule out."""
    return but(
        steps=steps(losses(*shape), [1e4]),
        epochs=epochs((4.0, 1.5, 0.5), (3.0, 2.0, 0.5), (2.5, 2.4, 0.5)),
        layers=[*layers(1e-6, 1.0, 1.0, ratio=ratio), layer("it", 1e-7), relu(0.9)],
        answers=answers(94, (6, 0.95, 5.0)),
        baseline=McNemar(0, 6),
        findings=[Finding(kind, 1, "found") for kind in reversed(KINDS)],
    )


@pytest.mark.parametrize(
    ("record", "ruled_out"),
    [
        (ailing((8.0, 90.0), 0.002), {TOO_LOW, OFF, UNDERFITTING, WRONG_LABELS}),
        (ailing((8.0, 7.9), 5e-5), {TOO_HIGH, OFF, UNDERFITTING}),
        (ailing((8.0, 2.2), 0.002), {TOO_HIGH, TOO_LOW}),
    ],
)
def test_all_that_ails_a_training_is_told_in_the_order_of_the_page(record: Record, ruled_out: set[str]) -> None:
    assert names(record) == [illness for illness in ON_PAGE if illness not in ruled_out]


@pytest.mark.parametrize(
    "record",
    [
        HEALTHY,
        Record(10, [], [], [], [], []),
        but(findings=[Finding(kind, 1, "found") for kind in KINDS if kind not in AILING]),
        but(epochs=[it._replace(valid_loss=None, score=None) for it in HEALTHY.epochs], answers=[]),
        replace(unlearned(), steps=[]),
        *(replace(it, classes=0) for it in (learning(8.0, 0.2), unlearned(), unlike(0.1, 2.0))),
        but(layers=layers(2.0, 9.0, 0.0)),
        but(layers=[layer("it")._replace(weights=0.0), layer("other")._replace(update=None)]),
        but(layers=[layer("frozen")._replace(gradient=None), *HEALTHY.layers]),
        but(layers=[layer("scale", gradient=0.0, kind="BatchNorm2d"), *HEALTHY.layers]),
    ],
)
def test_nothing_is_said_of_what_is_healthy_or_not_known(record: Record) -> None:
    assert examine(record) == []


class Read(list[LayerRow]):
    """Counts how often it is read."""

    times = 0

    def __iter__(self) -> Iterator[LayerRow]:
        self.times += 1
        return super().__iter__()


def test_the_layers_of_many_epochs_are_read_no_more_often_than_those_of_few() -> None:
    few, many = (Read(row for epoch in range(n) for row in layers(1.0, 1.0, 1.0, epoch=epoch)) for n in (2, 200))
    assert examine(but(layers=few)) == examine(but(layers=many)) == []
    assert few.times == many.times
