"""Losses: what drives the weights. Each maps (preds, targets) to a scalar that has a useful gradient.

Any callable of that form will do, torch's `F.cross_entropy` and `nn.CrossEntropyLoss()` among them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import RequestError


def mnist_loss(preds: Tensor, targets: Tensor) -> Tensor:
    """One minus the probability given to the right one of two classes, averaged.

    `preds` are raw scores and `targets` 1 or 0, of one shape, else `RequestError`. fastbook, chapter 4, "The MNIST
    Loss Function".

    >>> round(mnist_loss(torch.tensor([0.0, 0.0]), torch.tensor([1, 0])).item(), 3)
    0.5
    """
    check_shapes(preds, targets)
    probs = preds.sigmoid()
    return torch.where(targets == 1, 1 - probs, probs).mean()


def l1(preds: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute difference: |preds - targets| averaged. (The L1 norm is the sum; this is its mean.)

    >>> l1(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0])).item()
    1.5
    """
    check_shapes(preds, targets)
    return (preds - targets).abs().mean()


def mse(preds: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error: (preds - targets)² averaged.

    >>> mse(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0])).item()
    2.5
    """
    check_shapes(preds, targets)
    return ((preds - targets) ** 2).mean()


def rmse(preds: Tensor, targets: Tensor) -> Tensor:
    """Root mean squared error, in the unit of the targets; its gradient is infinite where the error is 0.

    >>> rmse(torch.tensor([3.0, 3.0]), torch.tensor([0.0, 0.0])).item()
    3.0
    """
    return mse(preds, targets).sqrt()


def cross_entropy(preds: Tensor, targets: Tensor) -> Tensor:
    """Minus the log of the probability given to the right class, averaged: torch's own.

    `preds` are raw scores, N×classes; `targets` labels, int64, N.
    """
    try:
        return F.cross_entropy(preds, targets)
    except IndexError as error:
        raise RequestError(
            f"a target lies outside the {preds.shape[-1]} scores that the model gives: {error}",
            hint="the model needs one output for each class: len(dls.vocab)",
        ) from error


def check_shapes(preds: Tensor, targets: Tensor) -> None:
    """Raise `RequestError` unless both have one shape: broadcasting N×1 with N gives N×N, and a wrong mean."""
    if preds.shape != targets.shape:
        raise RequestError(
            f"preds have shape {tuple(preds.shape)}, and targets {tuple(targets.shape)}",
            hint="expected one shape: targets.unsqueeze(1) makes N×1 of N",
        )
