"""One step of a training, opened: what each of its seven steps had in hand and what came of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ..training.keepers import gradient_norm
from ..training.layer_log import layer_of
from ..words import finite
from .autograd import Node

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class TracedPicture(NamedTuple):
    """One picture of the batch: its class, and what the model called it; the losses before and after the step.

    Probabilities are of the class that it was called and of its own; None where the scores are none of classes.
    """

    name: str
    true: str
    called: str | None
    probability: float | None
    probability_of_true: float | None
    loss: float | None
    loss_after: float | None


class TracedPart(NamedTuple):
    """Weights of one layer, or one parameter: how many, and the lengths (L2 norms) of what concerns them all."""

    name: str
    weights: int
    weight: float
    gradient: float
    update: float

    @property
    def ratio(self) -> float | None:
        """Update to weight: by which part of their length the weights moved; None where they were all 0."""
        return self.update / self.weight if self.weight else None


class MovedWeight(NamedTuple):
    """The weight of a layer that moved most: its place in its parameter, and after = before - lr × direction.

    `lr` is that of its parameter group; `direction` is None where it is 0.
    """

    parameter: str
    place: tuple[int, ...]
    before: float
    gradient: float
    lr: float
    direction: float | None
    after: float


@dataclass(frozen=True, eq=False)
class Trace:
    """The record of one step. Tensors are on the CPU; those of the weights are named as the model names them.

    `xb` is the batch as the model saw it (augmented), `preds` its raw scores (a tensor, or a dict or a tuple of them
    where the model gives such), `losses` one a picture (empty where the loss cannot be taken of one picture), `*_after`
    the same batch after the step; `kinds` what each layer is, `without_gradient` the parameters that got none (frozen,
    or not used); `valid` the figures of the validation set before and after. `lrs` are the learning rates of the
    parameters, which parameter groups may scale; `optimizer` made `after` of `before` and `gradients`.
    """

    step: int
    epoch: int
    step_in_epoch: int
    steps_per_epoch: int
    lr: float
    optimizer: str
    loss_name: str
    names: Sequence[str]
    vocab: Sequence[str]
    xb: Tensor
    yb: Tensor
    preds: Any
    preds_after: Any
    loss: float
    loss_after: float
    losses: Tensor
    losses_after: Tensor
    graph: list[Node]
    without_gradient: list[str]
    kinds: dict[str, str]
    before: dict[str, Tensor]
    gradients: dict[str, Tensor]
    after: dict[str, Tensor]
    lrs: dict[str, float]
    valid: tuple[dict[str, float], dict[str, float]]

    # -- the batch ------------------------------------------------------------------------------------------------

    @cached_property
    def pictures(self) -> list[TracedPicture]:
        """A row a picture of the batch, in its order."""
        probs = class_probabilities(self.preds, self.yb)
        rows = []
        for i, name in enumerate(self.names):
            target = float(self.yb.reshape(len(self.yb), -1)[i, 0]) if self.yb.numel() == len(self.yb) else None
            y, true = -1, "" if target is None else f"{target:.4g}"
            called, sure, own = None, None, None
            if probs is not None and target is not None:
                y = int(target)
                true = self._class(y)
                best = int(probs[i].argmax())
                called, sure = self._class(best), float(probs[i, best])
                own = float(probs[i, y]) if 0 <= y < probs.shape[1] else None  # a loss may leave a label out
            losses = [float(column[i]) if len(column) else None for column in (self.losses, self.losses_after)]
            rows.append(TracedPicture(name, true, called, sure, own, *losses))
        return rows

    def _class(self, label: int) -> str:
        return self.vocab[label] if 0 <= label < len(self.vocab) else str(label)

    # -- the weights ----------------------------------------------------------------------------------------------

    @cached_property
    def parameters(self) -> list[TracedPart]:
        """A row a parameter that had a gradient."""
        return [self._part(name, [name]) for name in self.gradients]

    @cached_property
    def layers(self) -> list[TracedPart]:
        """A row a layer: the parameters of one module together."""
        members: dict[str, list[str]] = {}
        for name in self.gradients:
            members.setdefault(layer_of(name), []).append(name)
        return [self._part(layer, names) for layer, names in members.items()]

    def _part(self, name: str, members: list[str]) -> TracedPart:
        def length(tensors: list[Tensor]) -> float:
            return math.hypot(*(float(torch.linalg.vector_norm(one, dtype=torch.float64)) for one in tensors))

        before = [self.before[one] for one in members]
        updates = [self.after[one] - self.before[one] for one in members]
        gradients = [self.gradients[one] for one in members]
        return TracedPart(name, sum(one.numel() for one in before), length(before), length(gradients), length(updates))

    @cached_property
    def moved(self) -> list[MovedWeight]:
        """Of each layer the weight that moved most."""
        rows: dict[str, MovedWeight] = {}
        for name, gradient in self.gradients.items():
            before, after = self.before[name], self.after[name]
            place = int((after - before).abs().argmax())
            values = [float(one.reshape(-1)[place]) for one in (before, gradient, after)]
            where = tuple(int(i) for i in torch.unravel_index(torch.tensor(place), before.shape))
            lr = self.lrs[name]
            direction = (values[0] - values[2]) / lr if lr else None
            row = MovedWeight(name, where, values[0], values[1], lr, direction, values[2])
            known = rows.get(layer_of(name))
            if known is None or abs(row.after - row.before) > abs(known.after - known.before):
                rows[layer_of(name)] = row
        return list(rows.values())

    @property
    def gradient_norm(self) -> float:
        """The length of the whole gradient, calculated as for the record of a run on the CPU."""
        return gradient_norm(list(self.gradients.values()))

    @cached_property
    def is_plain(self) -> bool:
        """Whether the direction is the gradient itself: after = before - lr × gradient, but for rounding."""
        return all(
            torch.allclose(self.after[name], self.before[name] - self.lrs[name] * gradient, rtol=1e-6, atol=1e-9)
            for name, gradient in self.gradients.items()
        )

    # -- as text, as JSON, as a picture ---------------------------------------------------------------------------

    def __str__(self) -> str:
        from .trace_text import trace_text

        return trace_text(self)

    def figure(self) -> Figure:
        """The seven steps as one picture."""
        from .trace_figure import trace_figure

        return trace_figure(self)

    def to_dict(self, *, parameters: bool = False) -> dict[str, Any]:
        """The seven steps, fit for JSON; with `parameters` the lengths for each parameter too."""
        parts = {"layers": self.layers} | ({"parameters": self.parameters} if parameters else {})
        rows = {key: [part._asdict() | {"ratio": part.ratio} for part in rows] for key, rows in parts.items()}
        at = {"step": self.step, "epoch": self.epoch, "step_in_epoch": self.step_in_epoch,
              "steps_per_epoch": self.steps_per_epoch}  # fmt: skip
        seven = {
            "at": at,
            "initialise": {"weights": sum(part.weights for part in self.layers), "norm": _norm(self.layers)},
            "predict": {"batch": list(self.xb.shape), "preds": shapes_of(self.preds),
                        "pictures": [picture._asdict() for picture in self.pictures]},
            "loss": {"function": self.loss_name, "value": self.loss},
            "gradient": {"norm": self.gradient_norm, "without": self.without_gradient,
                         "graph": [node._asdict() for node in self.graph]},
            "step": {"optimizer": self.optimizer, "lr": self.lr, "direction_is_gradient": self.is_plain, **rows,
                     "moved_most": [row._asdict() for row in self.moved]},
            "repeat": {"loss_of_the_same_batch": self.loss_after},
            "stop": {"valid_before": self.valid[0], "valid_after": self.valid[1]},
        }  # fmt: skip
        document: dict[str, Any] = finite(seven)
        return document


def shapes_of(preds: Any) -> Any:
    """The shape of a tensor as a list; of a dict or a tuple the shapes of what it holds; None of anything else.

    >>> shapes_of({"scores": torch.zeros(2, 3), "more": (torch.zeros(4), None)})
    {'scores': [2, 3], 'more': [[4], None]}
    """
    if isinstance(preds, dict):
        return {str(key): shapes_of(part) for key, part in preds.items()}
    if isinstance(preds, list | tuple):
        return [shapes_of(part) for part in preds]
    return list(preds.shape) if isinstance(preds, Tensor) else None


def class_probabilities(preds: Any, yb: Tensor) -> Tensor | None:
    """N×classes from scores of classes (softmax), or of two from one score each (sigmoid); None of anything else.

    >>> class_probabilities(torch.tensor([[0.0], [2.0]]), torch.tensor([[0], [1]])).shape
    torch.Size([2, 2])
    """
    if not isinstance(preds, Tensor):
        return None
    if preds.ndim == 2 and preds.shape[1] > 1 and yb.ndim == 1 and not yb.is_floating_point():
        return preds.double().softmax(1)
    if preds.numel() == len(preds) and yb.numel() == len(yb) and bool(((yb == 0) | (yb == 1)).all()):
        one = preds.double().reshape(-1, 1).sigmoid()
        return torch.cat([1 - one, one], 1)
    return None


def _norm(parts: list[TracedPart]) -> float:
    return math.hypot(*(part.weight for part in parts))
