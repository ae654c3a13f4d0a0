"""What a network makes of pictures: the features that its last layer takes, and the scores that it makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..models.evaluating import evaluating

MOST_TOGETHER, MOST_VALUES = 256, 1 << 21  # pictures that go through a network together, and their pixels' values


def batch_size(x: Tensor) -> int:
    """How many pictures like `x` (C×H×W) go through a network together."""
    return min(MOST_TOGETHER, max(1, MOST_VALUES // max(1, x.numel())))


class Seen(NamedTuple):
    """`preds` (N×classes), and the `features` (N×F) of which the linear `layer` makes them; None where none does."""

    preds: Tensor
    features: Tensor | None
    layer: nn.Linear | None


@contextmanager
def seeing(model: nn.Module) -> Iterator[Callable[[Tensor], Seen]]:
    """A function from `xb` to what the model makes of it in evaluation mode, without gradients.

    >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 5))
    >>> with seeing(model) as see:
    ...     seen = see(torch.ones(4, 3))
    >>> tuple(seen.preds.shape), tuple(seen.features.shape), seen.layer is model[2]
    ((4, 5), (4, 2), True)
    """
    last: list[tuple[Tensor, nn.Linear, Tensor]] = []

    def keep(layer: nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        last[:] = [(inputs[0], layer, output)]

    hooks = [it.register_forward_hook(keep) for it in model.modules() if isinstance(it, nn.Linear)]
    try:
        with evaluating(model) as device, torch.no_grad():

            def see(xb: Tensor) -> Seen:
                preds = model(xb.to(device))
                for features, layer, output in last:
                    if features.ndim == 2 and torch.equal(output, preds):  # nothing comes after it
                        return Seen(preds, features, layer)
                return Seen(preds, None, None)

            yield see
    finally:
        for hook in hooks:
            hook.remove()
