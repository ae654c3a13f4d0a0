from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.calibration import calibration_curve
from torch import Tensor
from torchmetrics.classification import MulticlassCalibrationError

from sevensteps.errors import RequestError
from sevensteps.insight.calibration import (
    Calibration,
    Coverage,
    Reliability,
    Temperature,
    fit_temperature,
    probabilities,
)
from sevensteps.interval import Accuracy


def answers(n: int = 500, classes: int = 4, sharpness: float = 2.0, seed: int = 7) -> tuple[Tensor, Tensor]:
    """Scores, and targets drawn by their softmax; then the scores are made too large by `sharpness`."""
    random = torch.Generator().manual_seed(seed)
    preds = 1.5 * torch.randn(n, classes, generator=random)
    targets = preds.softmax(1).multinomial(1, generator=random)[:, 0]
    return sharpness * preds, targets


def loss(preds: Tensor, targets: Tensor, temperature: float) -> float:
    return -float(log_softmax(preds.double().numpy() / temperature, axis=1)[range(len(preds)), targets].mean())


# -- temperature ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("sharpness", [1e-3, 0.3, 1.0, 4.0, 1e3])
def test_the_temperature_is_the_minimum_that_scipy_finds(classes: int, sharpness: float) -> None:
    preds, targets = answers(300, classes, sharpness)
    found = minimize_scalar(
        lambda log: loss(preds, targets, math.exp(log)),
        bounds=(math.log(sharpness) - 4, math.log(sharpness) + 4),
        options={"xatol": 1e-10},
    )
    temperature, note = fit_temperature(preds, targets)
    assert temperature == pytest.approx(math.exp(found.x), rel=1e-6)
    assert loss(preds, targets, temperature) <= found.fun + 1e-12
    assert note == ""


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 60), classes=st.integers(2, 6), seed=st.integers(0, 10**6), scale=st.floats(1e-6, 1e6))
def test_no_temperature_near_it_makes_the_targets_likelier(n: int, classes: int, seed: int, scale: float) -> None:
    preds, targets = answers(n, classes, scale, seed)
    temperature, note = fit_temperature(preds, targets)
    assert 0 < temperature < math.inf
    if not note:
        best = loss(preds, targets, temperature)
        assert best <= min(loss(preds, targets, temperature * factor) for factor in (0.9, 0.999, 1.001, 1.1)) + 1e-9


def test_the_temperature_that_made_the_scores_too_large_is_found_again() -> None:
    preds, targets = answers(50_000, 5, sharpness=2.5)
    assert fit_temperature(preds, targets).value == pytest.approx(2.5, rel=0.02)


def test_twice_the_scores_need_twice_the_temperature_and_a_shift_of_a_row_none_other() -> None:
    preds, targets = answers()
    once = fit_temperature(preds.double(), targets).value
    assert fit_temperature(2 * preds.double(), targets).value == pytest.approx(2 * once, rel=2e-8)
    shifted = preds.double() + torch.arange(len(preds))[:, None]
    assert fit_temperature(shifted, targets).value == pytest.approx(once, rel=2e-8)


@pytest.mark.parametrize("n", [1, 20, 5000])
def test_where_every_answer_is_right_confidence_is_that_of_the_rule_of_succession(n: int) -> None:
    preds, _ = answers(n)
    temperature, note = fit_temperature(preds, preds.argmax(1))
    assert float(probabilities(preds, temperature).max(1).values.mean()) == pytest.approx((n + 1) / (n + 2), rel=2e-8)
    assert note.startswith("every answer is right")


def test_scores_that_say_less_than_nothing_get_a_great_temperature_and_a_note() -> None:
    preds, _ = answers()
    temperature, note = fit_temperature(preds, preds.argmin(1))
    assert probabilities(preds, temperature).max() < 0.26
    assert note.startswith("no temperature in reason")


def test_a_right_answer_that_is_a_tie_cannot_be_made_sure_of_and_has_a_note() -> None:
    preds = torch.tensor([[1.0, 1.0], [1.0, 1.0], [3.0, 1.0]])
    temperature, note = fit_temperature(preds, torch.tensor([0, 0, 0]))
    assert temperature > 0
    assert note.startswith("no temperature in reason")


def test_equal_scores_keep_a_temperature_of_1() -> None:
    temperature = fit_temperature(torch.ones(3, 2), torch.tensor([0, 1, 1]))
    assert temperature == Temperature(1.0, "every class has the same score")


def test_one_wrong_answer_among_many_moves_the_temperature_only_as_far_as_its_loss_does() -> None:
    preds = torch.tensor([[10.0, 0.0]]).repeat(1000, 1)
    targets = torch.zeros(1000, dtype=torch.int64)
    targets[3] = 1
    assert fit_temperature(preds, targets).value == pytest.approx(10 / math.log(999), rel=2e-8)


# -- calibration error ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_the_calibration_error_is_that_of_torchmetrics(bins: int, temperature: float) -> None:
    preds, targets = answers()
    probs = probabilities(preds, temperature)
    expected = MulticlassCalibrationError(4, n_bins=bins, norm="l1")(probs, targets)
    ours = Reliability.of(preds, targets, temperature, bins)
    assert ours.ece == pytest.approx(float(expected), abs=1e-6)
    assert ours.nll == pytest.approx(loss(preds, targets, temperature), rel=1e-12)


def test_the_bins_are_those_of_scikit_learn() -> None:
    preds, targets = answers()
    confidence, predicted = probabilities(preds).max(1)
    right, mean = calibration_curve(predicted == targets, confidence, n_bins=15)
    filled = [it for it in Reliability.of(preds, targets).bins if it.accuracy.n]
    np.testing.assert_allclose([it.accuracy.value for it in filled], right, rtol=1e-12)
    np.testing.assert_allclose([it.confidence for it in filled], mean, rtol=1e-12)


def test_each_answer_is_in_one_bin_above_its_low_and_up_to_its_high_end() -> None:
    preds = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 1.0], [400.0, 0.0]])
    reliability = Reliability.of(preds, torch.tensor([0, 0, 0, 0]), bins=2)
    assert [(it.low, it.high, it.accuracy) for it in reliability.bins] == [
        (0.0, 0.5, Accuracy(1, 1)),  # a probability of exactly one half
        (0.5, 1.0, Accuracy(2, 3)),
    ]


def test_a_bin_without_answers_has_no_mean_and_none_in_json() -> None:
    first = Reliability.of(*answers()).bins[0]
    assert first.confidence is None
    assert first.to_dict() | {"low": 0, "high": 0} == {
        "low": 0, "high": 0, "confidence": None, "accuracy": None, "interval": [0.0, 1.0], "n": 0,
    }  # fmt: skip


@pytest.mark.slow
def test_a_classifier_without_error_exceeds_the_error_by_luck_one_time_in_twenty() -> None:
    sets = [Reliability.of(*answers(200, sharpness=1.0, seed=seed)) for seed in range(400)]
    exceeded = sum(it.ece > it.ece_by_luck for it in sets)
    assert 8 <= exceeded <= 34  # of 400; by a binomial, outside less often than once in 300


def test_one_that_is_too_sure_exceeds_it_and_more_answers_make_it_small() -> None:
    few, many = Reliability.of(*answers(200, sharpness=4)), Reliability.of(*answers(20_000, sharpness=4))
    assert few.ece > few.ece_by_luck > 5 * many.ece_by_luck > 0
    assert few.ece_by_luck == Reliability.of(*answers(200, sharpness=4)).ece_by_luck


def test_no_bin_is_refused() -> None:
    with pytest.raises(RequestError, match=r"bins is 0\n.*1 or more"):
        Reliability.of(*answers(), bins=0)


# -- coverage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.77, 0.99999, 1.0])
def test_coverage_counts_what_is_answered_and_what_of_it_is_right(threshold: float) -> None:
    preds, targets = answers()
    confidence, predicted = probabilities(preds).max(1)
    answered = confidence >= threshold
    row = Coverage.of(preds, targets).at(threshold)
    assert row.accuracy == Accuracy(int((answered & (predicted == targets)).sum()), int(answered.sum()))
    assert row.coverage == answered.double().mean()


def test_an_answer_that_is_just_as_sure_as_the_threshold_is_answered() -> None:
    coverage = Coverage.of(*answers())
    for place in (0, 250, 499):
        assert coverage.at(float(coverage.confidence[place])).accuracy.n == 500 - place


def test_the_curve_goes_from_all_pictures_to_the_surest_in_even_steps() -> None:
    curve = Coverage.of(*answers(5000)).curve()
    assert curve[0] == (0.0, 1.0, curve[0].accuracy)
    steps = -np.diff([row.coverage for row in curve])
    assert len(curve) == 100
    assert steps == pytest.approx(0.01, abs=1e-9)
    assert curve[-1].accuracy.value > curve[0].accuracy.value + 0.1


@pytest.mark.parametrize("n", [1, 2, 7])
def test_few_pictures_make_a_short_curve(n: int) -> None:
    curve = Coverage.of(*answers(n)).curve()
    assert len(curve) == n + (n > 1 or curve[-1].threshold > 0)
    assert all(row.accuracy.n for row in curve)


@pytest.mark.parametrize("goal", [0.5, 0.7, 0.8])
def test_the_threshold_is_the_least_with_which_the_interval_begins_at_the_goal(goal: float) -> None:
    coverage = Coverage.of(*answers(3000, sharpness=1))
    found = coverage.reaching(goal)
    assert found is not None
    assert found.accuracy.interval[0] >= goal
    lower = coverage.confidence[coverage.confidence < found.threshold].tolist()
    assert all(coverage.at(threshold).accuracy.interval[0] < goal for threshold in lower)
    assert (found.threshold == 0) == (coverage.at(0).accuracy.interval[0] >= goal)


def test_a_goal_that_no_threshold_reaches_has_none() -> None:
    assert Coverage.of(*answers(3000, sharpness=1)).reaching(0.9999) is None
    right = torch.tensor([[9.0, 0.0]]).repeat(300, 1), torch.zeros(300, dtype=torch.int64)
    assert Coverage.of(*right).reaching(0.99) is None  # 300 of 300 are too few to say so
    assert Coverage.of(*right).reaching(0.98) is not None


@pytest.mark.parametrize("goal", [0, 1, -0.1, 95, math.nan])
def test_a_goal_that_is_no_accuracy_is_refused(goal: float) -> None:
    with pytest.raises(RequestError, match=r"the goal is an accuracy of .*\n.*between 0 and 1"):
        Coverage.of(*answers()).reaching(goal)


# -- all of it --------------------------------------------------------------------------------------------------------


def test_a_temperature_changes_how_sure_answers_are_and_none_of_them() -> None:
    calibration = Calibration.of(*answers(5000))
    assert calibration.after.nll < calibration.before.nll
    assert calibration.after.ece < calibration.after.ece_by_luck < calibration.before.ece
    softened = Coverage.of(*answers(5000), calibration.temperature.value)
    assert softened.at(0).accuracy == Coverage.of(*answers(5000)).at(0).accuracy


def test_a_temperature_fitted_elsewhere_is_taken_as_it_is() -> None:
    valid, test = answers(seed=1), answers(seed=2)
    temperature = fit_temperature(*valid)
    calibration = Calibration.of(*test, temperature)
    assert calibration.temperature == temperature != fit_temperature(*test)
    assert calibration.after == Reliability.of(*test, temperature.value)


@pytest.mark.parametrize("data", [answers(), answers(1), (torch.eye(3), torch.arange(3))])
def test_its_figures_are_json_without_nan_or_infinity(data: tuple[Tensor, Tensor]) -> None:
    figures = json.loads(json.dumps(Calibration.of(*data).to_dict(), allow_nan=False))
    assert figures.keys() == {"temperature", "before", "after"}
    assert json.loads(json.dumps(Coverage.of(*data).to_dict(), allow_nan=False)).keys() == {"curve"}
    assert len(figures["before"]["bins"]) == 15
    assert sum(row["n"] for row in figures["after"]["bins"]) == len(data[0])


def test_scores_in_half_precision_or_with_a_gradient_are_taken_too() -> None:
    preds, targets = answers()
    half = fit_temperature(preds.bfloat16().requires_grad_(), targets.int())
    assert half.value == pytest.approx(fit_temperature(preds, targets).value, rel=0.01)


@pytest.mark.parametrize(
    ("preds", "targets"),
    [((2, 3), (3,)), ((2, 3), (2, 1)), ((2,), (2,)), ((2, 1), (2,)), ((0, 3), (0,))],
)
def test_shapes_that_do_not_fit_are_refused(preds: tuple[int, ...], targets: tuple[int, ...]) -> None:
    for made in (fit_temperature, Reliability.of, Coverage.of, Calibration.of):
        with pytest.raises(RequestError, match=r"preds have shape \(.*\) and targets \(.*\)\n.*expected preds of"):
            made(torch.zeros(preds), torch.zeros(targets, dtype=torch.int64))


@pytest.mark.parametrize("targets", [torch.tensor([0, 2]), torch.tensor([-1, 0]), torch.tensor([0.0, 1.0])])
def test_targets_that_are_no_classes_are_refused(targets: Tensor) -> None:
    with pytest.raises(RequestError, match=r"targets of type .* from .*\n.*whole numbers from 0 to 1"):
        fit_temperature(torch.eye(2), targets)


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_scores_that_are_not_finite_are_refused(score: float) -> None:
    with pytest.raises(RequestError, match=r"not finite\n.*train again"):
        fit_temperature(torch.tensor([[score, 0.0]]), torch.tensor([0]))
