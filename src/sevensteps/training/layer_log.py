"""The health of each layer, once an epoch: how large its weights, their gradient and their update are, what is silent.

Looked at in the middle step of an epoch, where the learning rate is not yet at its end; in the other steps it does
nothing at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from .callbacks import Callback

RECTIFIERS = (nn.ReLU, nn.ReLU6)


class LayerRow(NamedTuple):
    """One layer in one step: the lengths (L2 norms) of its weights, their gradient and their update.

    For a ReLU `silent` is the part of its units that gave 0 for every one of the `pictures`; for layers with weights
    None, as the lengths are for a ReLU.
    """

    epoch: int
    step: int
    layer: str
    kind: str
    weights: float | None
    gradient: float | None
    update: float | None
    silent: float | None
    pictures: int


class LayerLog(Callback):
    """Keeps `rows`, a `LayerRow` for each layer with weights and each ReLU, of one step an epoch."""

    order: ClassVar[int] = -5  # before those who stop where a gradient is not finite

    def __init__(self) -> None:
        self.rows: list[LayerRow] = []
        self._hooks: dict[str, Any] = {}
        self._silent: dict[str, Tensor] = {}
        self._before: dict[str, Tensor] = {}

    @property
    def _here(self) -> bool:
        learn = self.learn
        return learn.training and learn.step_in_epoch == learn.steps_per_epoch // 2

    def before_batch(self) -> None:
        """Listen to the ReLUs in this step."""
        if self._here:
            rectifiers = [(name, it) for name, it in self.learn.model.named_modules() if isinstance(it, RECTIFIERS)]
            self._hooks = {name: module.register_forward_hook(self._hear(name)) for name, module in rectifiers}

    def _hear(self, name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self._hooks.pop(name).remove()
            others = [axis for axis in range(output.ndim) if axis != 1]
            self._silent[name] = (output.detach().amax(others) <= 0).float().mean()

        return hook

    def before_step(self) -> None:
        """Note the weights before the step."""
        if self._here:
            self._before = {name: p.detach().clone() for name, p in self._with_gradient()}

    def after_step(self) -> None:
        """Note the layers of this step."""
        if not self._before:
            return
        learn = self.learn
        members: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {}
        for name, p in self._with_gradient():
            members.setdefault(layer_of(name), []).append((p.detach(), p.grad, p.detach() - self._before[name]))
        kinds = {name: type(module).__name__ for name, module in learn.model.named_modules()}
        epoch, step, n = learn.epoch, learn.step_in_fit, learn.pictures
        for layer, tensors in members.items():
            weights, gradient, update = (_length(each) for each in zip(*tensors, strict=True))
            self.rows.append(LayerRow(epoch, step, layer, kinds.get(layer, ""), weights, gradient, update, None, n))
        for layer, part in self._silent.items():
            self.rows.append(LayerRow(epoch, step, layer, kinds[layer], None, None, None, float(part), n))

    def after_batch(self) -> None:
        """Stop listening, also where the batch was cancelled."""
        for hook in self._hooks.values():
            hook.remove()
        self._hooks, self._silent, self._before = {}, {}, {}

    def _with_gradient(self) -> list[tuple[str, Any]]:
        return [(name, p) for name, p in self.learn.model.named_parameters() if p.grad is not None]

    def to_state(self) -> list[LayerRow]:
        """For a checkpoint: all rows so far."""
        return self.rows

    def from_state(self, state: list[list[Any]]) -> None:
        """Go on from a checkpoint."""
        self.rows = [LayerRow(*row) for row in state]


def _length(tensors: Sequence[Tensor]) -> float:
    return float(torch.stack(torch._foreach_norm(list(tensors))).norm())


def layer_of(parameter: str) -> str:
    """The module that a parameter belongs to: "2.conv" of "2.conv.weight"; a tensor by itself is one."""
    return parameter.rpartition(".")[0] or parameter
