"""What the exhibits about measures claim."""

from __future__ import annotations

import math

import pytest
import torch

from sevensteps.data.dataloaders import DataLoaders
from sevensteps.tour.classes import AllClasses
from sevensteps.tour.exhibit import EXHIBITS
from sevensteps.tour.measures import loss, loss_or_metric, validation
from sevensteps.training.losses import cross_entropy

NUMBERS = (11, 16, 22)


def test_each_gives_the_same_findings_again(colour: DataLoaders) -> None:
    for number in NUMBERS:
        assert EXHIBITS[number].run(colour).findings == EXHIBITS[number].run(colour).findings


@pytest.mark.parametrize("data", ["digits", "colour"])
@pytest.mark.parametrize("wrong", [0.1, 0.2])
def test_wrong_labels_are_learnt_by_heart_so_training_accuracy_says_little(
    data: str, wrong: float, request: pytest.FixtureRequest
) -> None:
    found = validation(request.getfixturevalue(data), wrong=wrong, epochs=60).findings
    assert found["wrong_labels"] == math.ceil(wrong * found["pictures"])
    assert found["wrong_labels_repeated"][0] < 0.5, "what it learns first are the pictures"
    assert found["wrong_labels_repeated"][-1] > 0.95
    assert found["train_accuracy"][-1] > 0.99


def test_on_pictures_that_it_has_not_seen_it_stops_becoming_better_long_before(digits: DataLoaders) -> None:
    found = validation(digits).findings
    assert found["best_epoch_by_valid"] < found["best_epoch_by_train"] / 2
    assert found["valid_accuracy"][-1] < max(found["valid_accuracy"]) - 0.03
    assert max(found["valid_accuracy"]) < found["train_accuracy"][-1]


def test_the_more_labels_are_wrong_the_less_training_and_validation_agree(digits: DataLoaders) -> None:
    few, many = (validation(digits, wrong=wrong).findings for wrong in (0.05, 0.4))
    gaps = [found["train_accuracy"][-1] - found["valid_accuracy"][-1] for found in (few, many)]
    assert gaps[0] < gaps[1] - 0.1


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_the_loss_is_the_mean_of_the_pictures_losses_and_torchs_too(data: str, request: pytest.FixtureRequest) -> None:
    found = loss(request.getfixturevalue(data)).findings
    assert found["loss"] == pytest.approx(found["loss_by_torch"])
    assert found["loss"] == pytest.approx(found["loss_after_each_epoch"][-1])
    assert found["lowest"][0] <= found["loss"] <= found["highest"][-1]


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_training_lowers_the_loss_below_that_of_equal_probabilities(data: str, request: pytest.FixtureRequest) -> None:
    found = loss(request.getfixturevalue(data), epochs=5).findings
    assert len(found["loss_after_each_epoch"]) == 6
    assert found["loss"] < found["of_equal_probabilities"]
    assert found["loss"] < found["loss_after_each_epoch"][0]


def test_pictures_with_smaller_losses_are_answered_rightly_more_often(digits: DataLoaders) -> None:
    found = loss(digits).findings
    assert found["right_of_the_lower_half"] > found["right_of_the_higher"] + 0.05


def test_cross_entropy_is_0_when_sure_log_of_the_classes_for_all_equal_and_unlimited_when_sure_and_wrong() -> None:
    right = torch.tensor([0])
    assert cross_entropy(torch.tensor([[200.0, 0, 0]]), right) == 0
    assert cross_entropy(torch.tensor([[5.0, 5, 5]]), right).item() == pytest.approx(math.log(3))
    assert cross_entropy(torch.tensor([[0.0, 1000, 0]]), right) == 1000


def test_the_loss_changes_smoothly_by_as_much_as_its_gradient_says(digits: DataLoaders) -> None:
    data = AllClasses.of(digits)
    model = data.network().double()
    weight, x = model[0].weight, data.x.double()
    cross_entropy(model(x), data.y).backward()  # type: ignore[no-untyped-call]
    for h in (1e-2, 1e-3, 1e-4):
        with torch.no_grad():
            before = cross_entropy(model(x), data.y)
            weight[3, 20] += h
            change = cross_entropy(model(x), data.y) - before
            weight[3, 20] -= h
        assert (change / h).item() == pytest.approx(weight.grad[3, 20].item(), abs=h)


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_another_metric_leaves_every_bit_of_the_weights_and_another_loss_does_not(
    data: str, request: pytest.FixtureRequest
) -> None:
    found = loss_or_metric(request.getfixturevalue(data)).findings
    assert found["other_metric_same_bits"]
    assert found["other_loss_changes_weights_by"] > 1e-3


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_scores_times_a_number_have_the_same_accuracy_at_another_loss(
    data: str, request: pytest.FixtureRequest
) -> None:
    found = loss_or_metric(request.getfixturevalue(data)).findings
    assert len(set(found["scaled"]["accuracy"])) == 1
    assert max(found["scaled"]["loss"]) > 2 * min(found["scaled"]["loss"])


@pytest.mark.parametrize("data", ["digits", "colour"])
@pytest.mark.parametrize("epochs", [2, 8])
def test_the_worse_loss_can_have_the_better_accuracy(data: str, epochs: int, request: pytest.FixtureRequest) -> None:
    found = loss_or_metric(request.getfixturevalue(data), epochs=epochs).findings
    one, other = found["better_loss"], found["better_accuracy"]
    assert one["loss"] < other["loss"]
    assert one["accuracy"] < other["accuracy"]
