"""What the exhibits about weights claim."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LinearRegression

from sevensteps.data.dataloaders import DataLoaders
from sevensteps.tour.exhibit import EXHIBITS, TwoClasses
from sevensteps.tour.weights import automatic_gradients, backward, bias, initial_weights
from sevensteps.training.losses import mnist_loss

NUMBERS = (15, 19, 28, 30)
both = pytest.mark.parametrize("data", ["digits", "colour"])


@pytest.mark.parametrize("number", NUMBERS)
@both
def test_each_runs_on_grey_and_on_colour_and_its_findings_are_json(
    number: int, data: str, request: pytest.FixtureRequest
) -> None:
    shown = EXHIBITS[number].run(request.getfixturevalue(data))
    json.dumps(shown.findings, allow_nan=False)
    assert shown.figure is not None
    shown.figure.canvas.draw()
    assert EXHIBITS[number].run(request.getfixturevalue(data)).findings == shown.findings


@both
def test_equal_units_stay_copies_and_random_ones_do_not(data: str, request: pytest.FixtureRequest) -> None:
    found = initial_weights(request.getfixturevalue(data)).findings
    assert found["different_units"] == {"all 0": 1, "all 0.1": 1, "random": found["hidden_units"]}
    assert found["loss"]["random"][-1] < 0.5 * found["loss"]["all 0.1"][-1]


@both
def test_thirty_equal_units_are_worth_one(data: str, request: pytest.FixtureRequest) -> None:
    """One unit whose weights are √30 as large takes the very same way."""
    dls = request.getfixturevalue(data)
    two = TwoClasses.of(dls)
    n = two.x.shape[1]
    x = two.x + 1 / n**0.5
    weights = [two.x.new_full(shape, 0.1 * 30**0.5).requires_grad_() for shape in ((n, 1), (1, 1))]
    losses = []
    for _ in range(20):
        loss: Any = mnist_loss(F.relu(x @ weights[0]) @ weights[1], two.y[:, None])
        for w, grad in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            w.data -= 10 * grad
        losses.append(loss.item())
    assert initial_weights(dls, steps=20).findings["loss"]["all 0.1"] == pytest.approx(losses)


@both
def test_a_network_never_leaves_0_and_a_linear_layer_does(data: str, request: pytest.FixtureRequest) -> None:
    losses = initial_weights(request.getfixturevalue(data)).findings["loss"]
    assert set(losses["all 0"]) == {0.5}
    assert losses["all 0, one linear layer"][0] == 0.5
    assert losses["all 0, one linear layer"][-1] < 0.4


@both
def test_half_the_spread_vanishes_twice_explodes_and_he_and_others_keeps_the_size(
    data: str, request: pytest.FixtureRequest
) -> None:
    sizes = initial_weights(request.getfixturevalue(data), layers=10).findings["root_mean_square_after_each_layer"]
    half, right, twice = sizes.values()
    assert len(right) == 11
    assert all(0.5 < size < 2 for size in right)
    assert [a / b for a, b in zip(half, right, strict=True)] == pytest.approx([0.5**k for k in range(11)])
    assert [a / b for a, b in zip(twice, right, strict=True)] == pytest.approx([2.0**k for k in range(11)])


def test_the_spread_is_that_of_torchs_own_he_initialisation() -> None:
    weights = torch.empty(200, 300)  # outputs × inputs
    torch.nn.init.kaiming_normal_(weights, nonlinearity="relu", generator=torch.Generator().manual_seed(0))
    assert weights.std().item() == pytest.approx((2 / 300) ** 0.5, rel=0.02)


@both
def test_torchs_gradients_are_those_of_pen_and_paper_and_of_trying(data: str, request: pytest.FixtureRequest) -> None:
    found = automatic_gradients(request.getfixturevalue(data)).findings
    largest, differ = found["largest_gradient"], found["largest_difference"]
    assert differ["squared error"] < 1e-12 * largest["squared error"]
    assert differ["mnist_loss"] < 1e-12 * largest["mnist_loss"]
    assert differ["network"] < 1e-5 * largest["network"]


def test_to_try_every_weight_takes_two_predictions_each(digits: DataLoaders) -> None:
    found = automatic_gradients(digits, hidden=7).findings
    assert found["weights_of_the_network"] == 64 * 7 + 7 * 7 + 7 * 7 + 7
    assert found["predictions_to_try_all"] == 2 * found["weights_of_the_network"]


def one_pixel(dls: DataLoaders) -> tuple[Any, Any]:
    """The pixel that the exhibit chose, of all training pictures, and +1 and -1 for their classes."""
    data = TwoClasses.of(dls)
    x = (data.x * data.x.shape[1] ** 0.5 + 1) / 2
    return x[:, [bias(dls).findings["pixel"]]].numpy(), (2 * data.y - 1).numpy()


@both
def test_the_lines_are_scikit_learns_with_and_without_intercept(data: str, request: pytest.FixtureRequest) -> None:
    dls = request.getfixturevalue(data)
    x, y = one_pixel(dls)
    assert x.min() >= 0
    for name, intercept in (("with", True), ("without", False)):
        found, line = bias(dls).findings[name], LinearRegression(fit_intercept=intercept).fit(x, y)
        assert found["weight"] == pytest.approx(line.coef_[0])
        assert found["bias"] == pytest.approx(line.intercept_)
        assert found["loss"] == pytest.approx(((line.predict(x) - y) ** 2).mean())


@both
def test_without_a_bias_all_scores_have_one_sign_and_less_is_right(data: str, request: pytest.FixtureRequest) -> None:
    found = bias(request.getfixturevalue(data)).findings
    assert 0 in (found["without"]["scores_above_0"], found["without"]["scores_below_0"])
    assert min(found["with"]["scores_above_0"], found["with"]["scores_below_0"]) > 0
    assert found["with"]["right"] > found["without"]["right"] + 0.1
    assert found["with"]["loss"] < found["without"]["loss"]
    assert found["with"]["loss_of_all_pixels"] <= found["without"]["loss_of_all_pixels"] + 1e-12


@both
def test_with_a_bias_it_does_not_matter_how_bright_the_pictures_are(data: str, request: pytest.FixtureRequest) -> None:
    dls = request.getfixturevalue(data)
    found, brighter = bias(dls).findings, bias(dls, brighter=0.3).findings
    assert brighter["with"]["loss"] == pytest.approx(found["with"]["loss"])
    assert brighter["without"]["loss"] != pytest.approx(found["without"]["loss"], rel=0.01)
    best = found["with"]["bias"] / found["with"]["weight"]  # that much brighter, the line crosses 0 at brightness 0
    assert bias(dls, brighter=best).findings["without"]["loss"] == pytest.approx(found["with"]["loss"])


def test_a_black_picture_has_a_score_of_0_with_any_weights(digits: DataLoaders) -> None:
    assert bias(digits).findings["black_scores_with_1000_weights"] == 0


def test_the_graph_leads_from_the_loss_to_both_leaves_and_nowhere_else(digits: DataLoaders) -> None:
    ways = [way.split(" → ") for way in backward(digits).findings["graph"]]
    sources, targets = {a for a, _ in ways}, {b for _, b in ways}
    assert ways[0][0].startswith("Mean")
    assert targets - sources == {"AccumulateGrad into w.grad", "AccumulateGrad into b.grad"}
    assert sources - targets == {ways[0][0]}
    assert sum(b.startswith("Sigmoid") for _, b in ways) == 2, "two ways meet at the sigmoid"


def test_backward_returns_nothing_and_changes_no_weight(digits: DataLoaders) -> None:
    found = backward(digits).findings
    assert (found["returned"], found["weights_changed"]) == ("None", False)


@both
def test_two_calls_leave_twice_the_gradient(data: str, request: pytest.FixtureRequest) -> None:
    dls = request.getfixturevalue(data)
    found, two = backward(dls).findings, TwoClasses.of(dls)
    assert found["after_two_calls"] == 2
    b = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(mnist_loss(two.x @ two.random() + b, two.y[:, None]), b)
    assert found["gradient_of_b"] == pytest.approx((2 * expected).tolist())
    assert found["gradient_of_w"] == [two.x.shape[1], 1]


def test_only_leaves_that_asked_for_it_keep_a_gradient(digits: DataLoaders) -> None:
    found = backward(digits).findings
    assert (found["kept_for_preds"], found["kept_for_pictures"]) == (False, False)


def test_one_call_more_fails_and_so_does_one_for_several_numbers(digits: DataLoaders) -> None:
    found = backward(digits).findings
    assert "a second time" in found["one_call_more"]
    assert "only for scalar outputs" in found["of_several_numbers"]


def test_of_several_numbers_backward_must_be_told_how_much_each_counts(digits: DataLoaders) -> None:
    two = TwoClasses.of(digits)
    w = two.random().requires_grad_()
    preds: Any = two.x @ w
    preds.backward(torch.full_like(preds, 1 / len(preds)))
    assert w.grad is not None
    assert torch.allclose(w.grad, torch.autograd.grad((two.x @ w).mean(), w)[0])
