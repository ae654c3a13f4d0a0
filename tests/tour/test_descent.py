"""What the exhibits about descent claim."""

from __future__ import annotations

import pytest
import torch

from sevensteps.data.dataloaders import DataLoaders
from sevensteps.tour.classes import TwoClasses
from sevensteps.tour.descent import new_weights, sgd
from sevensteps.tour.exhibit import EXHIBITS
from sevensteps.training.optimizers import SGD

NUMBERS = (12, 23)


def test_each_gives_the_same_findings_again(colour: DataLoaders) -> None:
    for number in NUMBERS:
        assert EXHIBITS[number].run(colour).findings == EXHIBITS[number].run(colour).findings


@pytest.mark.parametrize("data", ["digits", "colour"])
@pytest.mark.parametrize("batch_size", [7, 16])
def test_a_batchs_gradient_errs_and_the_mean_of_an_epochs_does_not(
    data: str, batch_size: int, request: pytest.FixtureRequest
) -> None:
    found = sgd(request.getfixturevalue(data), batch_size=batch_size, epochs=1).findings
    assert found["a_batchs_gradient_errs_by"] > 0.02
    assert found["their_mean_errs_by"] < 1e-12


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_for_equal_looks_sgd_comes_furthest_down_and_random_changes_least_far(
    data: str, request: pytest.FixtureRequest
) -> None:
    after = sgd(request.getfixturevalue(data), batch_size=8).findings["loss_after"]
    assert after["SGD"] < after["all pictures a step"] < after["random changes"]


def test_sgd_makes_many_steps_and_some_of_them_go_uphill(digits: DataLoaders) -> None:
    found = sgd(digits).findings
    assert found["steps"] == {"SGD": 10 * 18, "all pictures a step": 10, "random changes": 30}
    assert 0 < found["share_of_sgds_steps_uphill"] < 0.5


def test_with_a_batch_of_all_pictures_sgd_is_gradient_descent(digits: DataLoaders) -> None:
    after = sgd(digits, batch_size=1024).findings["loss_after"]
    assert after["SGD"] == pytest.approx(after["all pictures a step"])


def test_descent_by_all_pictures_is_the_optimizers(digits: DataLoaders) -> None:
    data, found = TwoClasses.of(digits), sgd(digits, speed=0.5).findings
    w = data.random().requires_grad_()
    opt = SGD([w], lr=found["lr"])
    for _ in range(10):
        opt.zero_grad()
        data.squared_error(w).backward()
        opt.step()
    assert found["loss_after"]["all pictures a step"] == pytest.approx(data.squared_error(w).item())


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_the_gradient_subtracted_goes_down_at_every_step_and_added_it_climbs(
    data: str, request: pytest.FixtureRequest
) -> None:
    found = new_weights(request.getfixturevalue(data), lr=10).findings
    down, up = torch.tensor(found["loss_subtracting"]), torch.tensor(found["loss_adding"])
    assert (down.diff() < 0).all()
    assert (up.diff() > 0).all()


@pytest.mark.parametrize("lr", [0.1, 2, 30, 3.7])
def test_the_optimizers_subtract_the_same_to_the_last_bit(digits: DataLoaders, lr: float) -> None:
    found = new_weights(digits, lr=lr).findings
    assert found["same_bits_as_BasicOptim"]
    assert found["rounded_once_same_bits_as_SGD"]
    assert found["rounding_changes_weights_by"] < 1e-12
    assert lr != 2 or found["rounding_changes_weights_by"] == 0, "a power of two is multiplied by without rounding"


@pytest.mark.parametrize("lr", [0.1, 30])
def test_torchs_sgd_has_the_bits_of_sgd(digits: DataLoaders, lr: float) -> None:
    data, ends = TwoClasses.of(digits), []
    for opt_func in (SGD, torch.optim.SGD):
        w = (data.random() / 10).requires_grad_()
        opt = opt_func([w], lr=lr)
        for _ in range(20):
            opt.zero_grad()
            data.loss(w).backward()
            opt.step()
        ends.append(w.detach())
    assert torch.equal(*ends)
    assert new_weights(digits, lr=lr).findings["loss_subtracting"][-1] == pytest.approx(data.loss(ends[0]).item())


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_a_small_step_lowers_the_loss_as_the_gradient_promises_and_a_large_one_by_less(
    data: str, request: pytest.FixtureRequest
) -> None:
    shares = list(new_weights(request.getfixturevalue(data)).findings["share_of_the_promised_fall"].values())
    assert shares[0] == pytest.approx(1, abs=1e-3)
    assert shares[-1] < 0.5


def test_torch_refuses_to_change_weights_that_autograd_watches(digits: DataLoaders) -> None:
    assert "in-place" in new_weights(digits, steps=2).findings["refused"]
