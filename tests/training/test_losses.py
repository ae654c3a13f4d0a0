from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sevensteps.errors import RequestError
from sevensteps.training.losses import cross_entropy, l1, mnist_loss, mse, rmse

Loss = Callable[[Tensor, Tensor], Tensor]


@pytest.fixture
def draw() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("ours", "torchs"),
    [(l1, F.l1_loss), (mse, F.mse_loss), (rmse, lambda a, b: F.mse_loss(a, b).sqrt())],
)
def test_the_distances_equal_torchs(ours: Loss, torchs: Loss, draw: torch.Generator) -> None:
    preds, targets = torch.randn(2, 30, 4, generator=draw)
    torch.testing.assert_close(ours(preds, targets), torchs(preds, targets))


def test_mnist_loss_is_one_minus_the_probability_of_the_right_class(draw: torch.Generator) -> None:
    preds, targets = torch.randn(50, 1, generator=draw), torch.randint(2, (50, 1), generator=draw)
    right = torch.where(targets == 1, preds.sigmoid(), 1 - preds.sigmoid())
    torch.testing.assert_close(mnist_loss(preds, targets), 1 - right.mean())


def test_cross_entropy_is_minus_the_log_of_the_probability_of_the_right_class(draw: torch.Generator) -> None:
    preds, targets = torch.randn(50, 7, generator=draw), torch.randint(7, (50,), generator=draw)
    probs = preds.softmax(1)[torch.arange(50), targets]
    torch.testing.assert_close(cross_entropy(preds, targets), -probs.log().mean())


@pytest.mark.parametrize("loss", [l1, mse, rmse, mnist_loss])
def test_gradients_equal_finite_differences(loss: Loss, draw: torch.Generator) -> None:
    preds = torch.randn(6, 2, generator=draw, dtype=torch.float64).requires_grad_()
    targets = torch.randint(2, (6, 2), generator=draw).double()
    assert torch.autograd.gradcheck(lambda preds: loss(preds, targets), preds)


def test_the_gradient_of_cross_entropy_equals_finite_differences(draw: torch.Generator) -> None:
    preds = torch.randn(6, 3, generator=draw, dtype=torch.float64).requires_grad_()
    targets = torch.randint(3, (6,), generator=draw)
    assert torch.autograd.gradcheck(lambda preds: cross_entropy(preds, targets), preds)


@pytest.mark.parametrize("loss", [l1, mse, rmse, mnist_loss])
def test_two_shapes_are_refused_where_broadcasting_would_give_a_wrong_mean(loss: Loss) -> None:
    with pytest.raises(RequestError, match=r"preds have shape \(5, 1\), and targets \(5,\)[\s\S]*unsqueeze"):
        loss(torch.zeros(5, 1), torch.zeros(5))
