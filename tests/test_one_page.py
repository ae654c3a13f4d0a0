"""The Learner of the one-page example beside the one of sevensteps."""

from __future__ import annotations

import copy

import pytest
import torch
from examples import sgd_in_one_page as page
from torch import Tensor, nn
from torch.utils.data import DataLoader

import sevensteps
from sevensteps import SGD, BasicOptim, DataLoaders, batch_accuracy, mnist_loss

EPOCHS, LR = 5, 0.5


def loaders() -> tuple[DataLoader[tuple[Tensor, ...]], DataLoader[tuple[Tensor, ...]]]:
    """The same batches, in an order of its own each epoch, whenever they are made."""
    train, valid = page.threes_and_sevens()
    draws = torch.Generator().manual_seed(7)
    return DataLoader(train, batch_size=32, shuffle=True, generator=draws), DataLoader(valid, batch_size=64)


def fitted(model: nn.Module, opt_func: type[BasicOptim]) -> sevensteps.Learner:
    learn = sevensteps.Learner(
        DataLoaders(*loaders()), model, loss_func=mnist_loss, opt_func=opt_func, metrics=batch_accuracy,
        device="cpu", precision="fp32", threads=torch.get_num_threads(), quiet=True,
    )  # fmt: skip
    learn.fit(EPOCHS, LR)
    return learn


@pytest.fixture(scope="module")
def first() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(64, 30), nn.ReLU(), nn.Linear(30, 1))


@pytest.fixture(scope="module")
def by_the_page(first: nn.Module) -> page.Learner:
    learn = page.Learner(*loaders(), copy.deepcopy(first), LR)
    learn.fit(EPOCHS)
    return learn


def test_it_learns(first: nn.Module, by_the_page: page.Learner) -> None:
    assert page.Learner(*loaders(), first, LR).accuracy() < 0.9 < 0.95 < by_the_page.accuracy()


def test_both_come_to_the_same_weights_to_the_last_bit(first: nn.Module, by_the_page: page.Learner) -> None:
    learn = fitted(copy.deepcopy(first), BasicOptim)
    for ours, theirs, before in zip(*map(nn.Module.parameters, (learn.model, by_the_page.model, first)), strict=True):
        assert torch.equal(ours, theirs)
        assert not torch.equal(ours, before)
    assert learn.recorder.values[-1][2] == pytest.approx(by_the_page.accuracy())


def test_sgd_in_one_operation_comes_as_near_as_rounding_allows(first: nn.Module, by_the_page: page.Learner) -> None:
    """`SGD` multiplies and subtracts in one operation of the processor, which rounds once instead of twice."""
    learn = fitted(copy.deepcopy(first), SGD)
    for ours, theirs in zip(learn.model.parameters(), by_the_page.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
