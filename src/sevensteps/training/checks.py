"""Checks of what a user asks of training: each gives its argument back, or raises `RequestError`."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..errors import RequestError

MOST_LR = 3.4e38  # the greatest float32


def check_lr(lr: float) -> float:
    """`lr` as it is, a number above 0 that float32 can hold."""
    if isinstance(lr, bool) or not isinstance(lr, int | float) or not 0 < lr <= MOST_LR:
        raise RequestError(f"the learning rate is {lr!r}", hint="expected a number above 0, such as 0.01")
    return lr


def check_count(what: str, number: int) -> int:
    """`number` as it is. Raises `RequestError` unless it is a whole number, 1 or more."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise RequestError(f"the {what} is {number!r}", hint="expected a whole number, 1 or more")
    return number


def check_pair(batch: Any) -> tuple[Tensor, Tensor]:
    """`batch` as inputs and targets. Raises `RequestError` for what is no pair of tensors."""
    xb, yb = batch if isinstance(batch, tuple | list) and len(batch) == 2 else (None, None)
    if not isinstance(xb, Tensor) or not isinstance(yb, Tensor):
        raise RequestError(
            f"a batch is a {type(batch).__name__} that is no pair of tensors",
            hint="each item of the data must be (input, target), of tensors or numbers",
        )
    return xb, yb


def count_batches(dl: Any) -> int:
    """How many batches a training loader has, at least one."""
    try:
        steps = len(dl)
    except TypeError as error:
        raise RequestError(
            f"the training loader, a {type(dl).__name__}, has no length", hint="give a list of batches, or a DataLoader"
        ) from error
    if not steps:
        raise RequestError("the training loader has no batch", hint="it has no pictures, or drops a last, short batch")
    return steps
