"""What the exhibits about learning claim."""

from __future__ import annotations

import pytest
import torch

from sevensteps.data.dataloader import DataLoader
from sevensteps.data.dataloaders import DataLoaders
from sevensteps.tour.classes import TwoClasses
from sevensteps.tour.exhibit import EXHIBITS
from sevensteps.tour.learning import accuracy_as_loss, gradient, learning_rates, seven_steps, sigmoid, zeroing
from sevensteps.training.losses import mnist_loss
from sevensteps.training.metrics import batch_accuracy
from sevensteps.training.optimizers import SGD

NUMBERS = (14, 17, 18, 20, 21, 31, 34)


def test_each_gives_the_same_findings_again(colour: DataLoaders) -> None:
    for number in NUMBERS:
        assert EXHIBITS[number].run(colour).findings == EXHIBITS[number].run(colour).findings


def test_the_column_losses_and_accuracies_are_the_librarys(digits: DataLoaders) -> None:
    data = TwoClasses.of(digits)
    w = data.random(3)
    for i in range(3):
        scores = data.x @ w[:, i]
        assert data.loss(w)[i].item() == pytest.approx(mnist_loss(scores, data.y).item())
        assert data.accuracy(w)[i].item() == pytest.approx(batch_accuracy(scores, data.y).item())


def test_seven_steps_lower_the_loss_and_learn_the_digits(digits: DataLoaders) -> None:
    found = seven_steps(digits).findings
    assert len(found["loss"]) == len(found["valid_accuracy"]) == 100
    assert found["loss"][-1] < found["loss"][0] / 5
    assert found["valid_accuracy"][-1] > 0.95


def test_the_seven_steps_are_named_in_their_order(digits: DataLoaders) -> None:
    found = seven_steps(digits, lr=2.0, steps=3).findings
    names = "1 initialise, 2 predict, 3 loss, 4 gradient, 5 step, 6 repeat, 7 stop"
    assert ", ".join(list(found)[:7]) == names
    assert found["6 repeat"] == "from 2, with the next batch"
    assert found["7 stop"] == f"after 3 steps; the last batch's loss {found['loss'][-1]:.3g}"
    gradient, step = (float(text.split()[-2]) for text in (found["4 gradient"], found["5 step"]))
    assert step == pytest.approx(2 * gradient, rel=0.01)


def test_the_curvatures_are_those_of_the_squared_error(digits: DataLoaders) -> None:
    data = TwoClasses.of(digits)
    values, directions = data.curvatures
    w, v = data.random(), directions[:, -1:]
    by_differences = data.squared_error(w + v) - 2 * data.squared_error(w) + data.squared_error(w - v)
    assert by_differences.item() == pytest.approx(values[-1].item())
    assert values[-1] == values.max()


def test_the_seven_steps_are_those_of_sgd(digits: DataLoaders) -> None:
    """SGD's weights, on the same batches, have the same losses: the exhibit subtracts lr × gradient, as SGD does."""
    data = TwoClasses.of(digits)
    w = data.random().requires_grad_()
    opt, losses = SGD([w], lr=10.0), []
    for xb, yb in DataLoader(list(zip(data.x, data.y, strict=True)), batch_size=64, shuffle=True):
        loss = mnist_loss(xb @ w, yb[:, None])
        opt.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        opt.step()
        losses.append(loss.item())
    assert seven_steps(digits, steps=len(losses)).findings["loss"] == pytest.approx(losses)


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_a_high_rate_bounces_and_a_too_high_one_diverges(data: str, request: pytest.FixtureRequest) -> None:
    found = learning_rates(request.getfixturevalue(data)).findings
    low, high, too_high = found["low"], found["high"], found["too_high"]
    assert low["lr"] < found["limit"] / 2 < high["lr"] < found["limit"] < too_high["lr"]
    assert (low["crossed_the_floor"], low["last_loss"] < low["first_loss"]) == (0, True)
    assert (high["crossed_the_floor"], high["last_loss"] < high["first_loss"]) == (20, True)
    assert (too_high["crossed_the_floor"], too_high["last_loss"] > too_high["first_loss"]) == (20, True)


def test_the_limit_is_2_divided_by_the_curvature_and_beyond_it_every_rate_does_harm(digits: DataLoaders) -> None:
    found = learning_rates(digits).findings
    assert found["limit"] == pytest.approx(2 / found["curvature"])
    swept = list(zip(found["sweep"]["lr"], found["sweep"]["last_loss"], strict=True))
    start = found["low"]["first_loss"]
    assert all(loss > start for lr, loss in swept if lr > 1.05 * found["limit"])
    assert all(loss < start for lr, loss in swept if lr < 0.95 * found["limit"])
    assert min(swept)[1] > 0.8 * start  # and one that is too low has hardly begun


def test_finite_differences_equal_autograd(digits: DataLoaders) -> None:
    found = gradient(digits).findings
    assert found["largest_error_of_trying"] < 1e-6 * found["largest_gradient"]


def test_no_direction_is_steeper_than_the_gradient(digits: DataLoaders) -> None:
    found = gradient(digits).findings
    assert 0 < found["steepest_of_1000_directions"] < found["slope_along_the_gradient"]


def test_backward_returns_nothing(digits: DataLoaders) -> None:
    assert gradient(digits).findings["backward_returns"] is None


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_accuracys_gradient_is_zero_everywhere_and_the_losss_nowhere(data: str, request: pytest.FixtureRequest) -> None:
    found = accuracy_as_loss(request.getfixturevalue(data)).findings
    assert found["gradients_looked_at"] > 500
    assert found["share_zero_for_accuracy"] == 1.0
    assert found["share_zero_for_the_loss"] == 0.0


def test_torch_gives_no_gradient_of_accuracy(digits: DataLoaders) -> None:
    assert accuracy_as_loss(digits).findings["torch_has_a_gradient_of_accuracy"] is False


def test_the_sigmoid_lies_between_0_and_1_and_always_rises(digits: DataLoaders) -> None:
    found = sigmoid(digits).findings
    assert 0 < found["lowest"] < found["highest"] < 1
    assert found["always_rises"]
    assert found["order_of_the_scores_kept"]


def test_the_sigmoid_is_a_half_at_0_with_a_slope_of_a_quarter_and_symmetric(digits: DataLoaders) -> None:
    found = sigmoid(digits).findings
    assert found["at_0"] == 0.5
    assert found["steepest_slope"] == pytest.approx(0.25)
    assert found["symmetric_within"] < 1e-12


def test_a_computers_sigmoid_rounds_to_1_sooner_or_later(digits: DataLoaders) -> None:
    first = sigmoid(digits).findings["float32_says_1_from"]
    assert torch.tensor(float(first)).sigmoid() == 1 > torch.tensor(first - 1.0).sigmoid()


def test_the_gradient_after_two_backward_calls_is_twice_that_after_one(digits: DataLoaders) -> None:
    assert zeroing(digits).findings["after_two_backwards"] == 2.0


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_without_zeroing_step_k_is_lr_times_the_sum_of_k_gradients(data: str, request: pytest.FixtureRequest) -> None:
    dls = request.getfixturevalue(data)
    found, two = zeroing(dls, steps=20).findings, TwoClasses.of(dls)
    w, total, lengths = two.random().requires_grad_(), torch.zeros(()), []
    for _ in range(20):
        total = total + torch.autograd.grad(two.squared_error(w).sum(), w)[0]  # leaves w.grad alone
        lengths.append(found["lr"] * total.norm().item())
        w.data -= found["lr"] * total
    assert found["step_length_not_zeroed"] == pytest.approx(lengths)
    assert found["step_length_not_zeroed"][0] == found["step_length_zeroed"][0]
    assert found["step_length_not_zeroed"][1] > 1.5 * found["step_length_zeroed"][1]


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_zeroed_training_comes_to_rest_and_the_other_does_not(data: str, request: pytest.FixtureRequest) -> None:
    found = zeroing(request.getfixturevalue(data)).findings
    assert found["loss_zeroed"] == sorted(found["loss_zeroed"], reverse=True)
    assert found["step_length_zeroed"][-1] < found["step_length_zeroed"][0] / 5
    assert max(found["step_length_not_zeroed"][-10:]) > found["step_length_not_zeroed"][0]
    late = found["loss_not_zeroed"][-20:]
    assert max(late) > 1.2 * min(late)
