from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from sevensteps.errors import RequestError
from sevensteps.training.optimizers import SGD, AdamW, BasicOptim, check_lr, set_lr

PAIRS: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
    (BasicOptim, torch.optim.SGD),
    (SGD, torch.optim.SGD),
    (partial(SGD, momentum=0.9), partial(torch.optim.SGD, momentum=0.9)),
    (partial(SGD, weight_decay=0.1), partial(torch.optim.SGD, weight_decay=0.1)),
    (partial(SGD, momentum=0.5, weight_decay=0.01), partial(torch.optim.SGD, momentum=0.5, weight_decay=0.01)),
    (AdamW, torch.optim.AdamW),
    (partial(AdamW, weight_decay=0.3), partial(torch.optim.AdamW, weight_decay=0.3)),
    (partial(AdamW, betas=(0.5, 0.7), eps=1e-3), partial(torch.optim.AdamW, betas=(0.5, 0.7), eps=1e-3)),
]


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))


@pytest.mark.parametrize(("ours", "torchs"), PAIRS)
def test_twenty_steps_equal_torchs(ours: Callable[..., Any], torchs: Callable[..., Any]) -> None:
    mine = net()
    other = copy.deepcopy(mine)
    extra = nn.Linear(2, 2)  # its parameters get no gradient before step 5
    late = copy.deepcopy(extra)
    unused = nn.Linear(2, 2)
    before = copy.deepcopy(unused)
    pairs = [
        (mine, extra, ours([*mine.parameters(), *extra.parameters(), *unused.parameters()], lr=0.05)),
        (other, late, torchs([*other.parameters(), *late.parameters()], lr=0.05)),
    ]
    draw = torch.Generator().manual_seed(1)
    for step in range(20):
        xb, yb = torch.randn(8, 5, generator=draw), torch.randn(8, 3, generator=draw)
        for model, more, opt in pairs:
            opt.zero_grad()
            set_lr(opt, 0.05 / (1 + step))
            loss = ((model(xb) - yb) ** 2).mean()
            if step >= 5:
                loss = loss + more(xb[:, :2]).pow(2).mean()
            loss.backward()
            opt.step()
    for a, b in zip([*mine.parameters(), *extra.parameters()], [*other.parameters(), *late.parameters()], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)
    assert all(torch.equal(a, b) for a, b in zip(unused.parameters(), before.parameters(), strict=True))


@pytest.mark.parametrize("ours", [BasicOptim, SGD, AdamW])
def test_a_step_without_any_gradient_changes_nothing(ours: Callable[..., Any]) -> None:
    model = net()
    before = copy.deepcopy(model)
    opt = ours(model.parameters(), lr=0.1)
    opt.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters(), strict=True))


@pytest.mark.parametrize("ours", [BasicOptim, SGD, AdamW])
def test_zero_grad_forgets_the_gradients(ours: Callable[..., Any]) -> None:
    model = net()
    opt = ours(model.parameters(), lr=0.1)
    model(torch.ones(1, 5)).sum().backward()
    opt.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("ours", [BasicOptim, SGD, AdamW])
def test_weights_change_in_place_and_without_a_graph(ours: Callable[..., Any]) -> None:
    weight = torch.ones(3, requires_grad=True)
    where = weight.data_ptr()
    (weight * 2).sum().backward()
    ours([weight], lr=0.1).step()
    assert weight.data_ptr() == where
    assert weight.is_leaf
    assert weight[0] < 1


@pytest.mark.parametrize("lr", [0, -1e-3, float("nan"), float("inf"), True, "0.1", None])
def test_a_learning_rate_that_makes_no_sense_is_refused(lr: Any) -> None:
    for ours in (BasicOptim, SGD, AdamW):
        with pytest.raises(RequestError, match=r"the learning rate is .*\n.*expected a number above 0"):
            ours([torch.ones(1)], lr=lr)
    with pytest.raises(RequestError):
        check_lr(lr)


def test_set_lr_reaches_ours_and_torchs() -> None:
    ours, torchs = SGD([torch.ones(1)], 0.1), torch.optim.Adam([torch.ones(1)], 0.1)
    set_lr(ours, 0.5)
    set_lr(torchs, 0.5)
    assert ours.lr == torchs.param_groups[0]["lr"] == 0.5
