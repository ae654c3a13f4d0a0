"""Metrics: what people read, on the validation set. Each maps (preds, targets) to a number.

A metric is a function, averaged over batches weighted by their pictures so that a short last batch does not bend
it; or an object with `update(preds, targets)`, `compute()` and `reset()`, as torchmetrics has them.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ..errors import RequestError
from .losses import check_shapes


def accuracy(preds: Tensor, targets: Tensor) -> Tensor:
    """The fraction whose greatest score is at the right class; `preds` N×classes, `targets` int64, N.

    >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0])).item()
    0.5
    """
    if preds.ndim < 2 or preds.shape[-1] < 2:
        raise RequestError(
            f"accuracy of preds of shape {tuple(preds.shape)}",
            hint="it needs one score a class, N×classes; for one score a picture use batch_accuracy",
        )
    if targets.numel() != preds[..., 0].numel():
        raise RequestError(
            f"accuracy of preds of shape {tuple(preds.shape)} and targets of shape {tuple(targets.shape)}",
            hint="expected one label for each row of preds",
        )
    return (preds.argmax(-1) == targets.view(preds.shape[:-1])).float().mean()


def error_rate(preds: Tensor, targets: Tensor) -> Tensor:
    """One minus the accuracy.

    >>> error_rate(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0])).item()
    0.5
    """
    return 1 - accuracy(preds, targets)


def batch_accuracy(preds: Tensor, targets: Tensor) -> Tensor:
    """For two classes and one score: the fraction where sigmoid(score) > 0.5 agrees with the target, 1 or 0.

    `preds` and `targets` have one shape, else `RequestError`. fastbook, chapter 4.

    >>> batch_accuracy(torch.tensor([[2.0], [-1.0]]), torch.tensor([[1], [1]])).item()
    0.5
    """
    check_shapes(preds, targets)
    return ((preds.sigmoid() > 0.5) == targets).float().mean()


@runtime_checkable
class Metric(Protocol):
    """A metric that keeps its own account over an epoch."""

    def update(self, preds: Tensor, targets: Tensor) -> Any:
        """Take one batch into the account."""

    def compute(self) -> Any:
        """The value over all batches since `reset`."""

    def reset(self) -> Any:
        """Begin a new account."""


class Mean:
    """A function of (preds, targets) averaged over batches, each weighted by its number of pictures.

    Nothing is read from the device before `compute`.
    """

    def __init__(self, function: Callable[[Tensor, Tensor], Any], name: str | None = None) -> None:
        self.function = function
        self.name = name or name_of(function)
        self.reset()

    def reset(self) -> None:
        """Begin a new account."""
        self.total: Tensor | float = 0.0
        self.n = 0

    def update(self, preds: Tensor, targets: Tensor) -> None:
        """Take one batch into the account."""
        self.add(self.function(preds, targets), len(targets))

    def add(self, value: Any, n: int) -> None:
        """Take a mean over `n` pictures into the account."""
        value = value.detach().float() if isinstance(value, Tensor) else value  # a sum of half floats would stick
        self.total = self.total + value * n
        self.n += n

    def compute(self) -> float:
        """The mean over all pictures since `reset`; not a number where there were none."""
        return float(self.total) / self.n if self.n else float("nan")


def as_metric(metric: Any) -> Metric:
    """`metric` itself where it keeps an account, else a `Mean` of the function that it is."""
    return metric if isinstance(metric, Metric) and not isinstance(metric, type) else Mean(metric)


def name_of(thing: Any) -> str:
    """The name under which a metric or a loss stands in a table."""
    if isinstance(thing, functools.partial):
        return name_of(thing.func)
    name = getattr(thing, "name", None) or getattr(thing, "__name__", None)
    return name if isinstance(name, str) else type(thing).__name__


def names_of(metrics: Iterable[Any]) -> list[str]:
    """A name for each metric, no two the same.

    >>> names_of([accuracy, error_rate, accuracy])
    ['accuracy', 'error_rate', 'accuracy 2']
    """
    names: list[str] = []
    for name in map(name_of, metrics):
        numbered = (f"{name} {number}" for number in itertools.count(2))
        names.append(next(free for free in itertools.chain([name], numbered) if free not in names))
    return names


def as_numbers(name: str, value: Any) -> dict[str, float]:
    """A metric's value as Python floats by column: one, or one for each entry of a dict (torchmetrics' collections).

    Raises `RequestError` for a value of several numbers without names.
    """
    if isinstance(value, dict):
        return {str(key): _number(str(key), one) for key, one in value.items()}
    return {name: _number(name, value)}


def _number(name: str, value: Any) -> float:
    if isinstance(value, torch.Tensor) and value.numel() != 1:
        raise RequestError(
            f"the metric {name} gives {value.numel()} numbers", hint="take one that averages them, e.g. average='macro'"
        )
    return float(value)
