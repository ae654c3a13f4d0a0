"""A Learner tried out, and put back: nothing that is done inside the block is left in it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from ..errors import RequestError
from ..randomness import torch_seeded
from ..training.checkpoint import Checkpoints
from ..training.keepers import KeepBest, StepLog, StopWhenAsked, TimeLimit
from ..training.layer_log import LayerLog
from ..training.recorder import EpochTable, Recorder

if TYPE_CHECKING:
    from ..training.learner import Learner

# the library's own callbacks that keep a record or stop a fit
KEEPERS = (Recorder, EpochTable, StepLog, LayerLog, KeepBest, Checkpoints, TimeLimit, StopWhenAsked)


@contextmanager
def aside(learn: Learner) -> Iterator[None]:
    """After the block the Learner, its model, its optimizer and torch's global generators are as before.

    Inside it optimizer, loss, metrics and callbacks are copies, which share nothing with their originals but the
    Learner, its model and its data; `KEEPERS` are left out. Where a part of a copy cannot be copied (an open file), it
    is the original's, and nobody takes back what a callback does outside itself. Raises `RequestError` for a model
    whose weights have no shape yet.
    """
    modules = list(learn.model.modules())
    inner = [vars(module)[name] for module in modules for name in ("_parameters", "_buffers")]
    attributes = [(them, dict(them)) for them in (vars(learn), *map(vars, modules), *inner)]
    tensors = [*learn.model.parameters(), *learn.model.buffers()]
    if any(is_lazy(tensor) for tensor in tensors):
        raise RequestError("the model has weights without a shape yet", hint="show it one batch first: model(xb)")
    held = [(tensor, tensor.detach().clone(), tensor.grad, tensor.requires_grad) for tensor in tensors]
    known = [learn, learn._trained, *modules, *tensors, *_data(learn.dls)]
    memo: dict[int, Any] = {id(it): it for it in known}
    try:
        with torch_seeded(learn.seed, "look"):
            learn.opt = copy.deepcopy(learn.opt, memo)
            learn.cbs = _copies([it for it in learn.cbs if not isinstance(it, KEEPERS)], memo)
            learn.loss_func, learn.metrics = _copied(learn.loss_func, memo), [_copied(it, memo) for it in learn.metrics]
            yield
    finally:
        for them, before in attributes:
            them.clear()
            them.update(before)
        with torch.no_grad():
            for tensor, value, grad, requires_grad in held:
                tensor.copy_(value)
                tensor.grad = grad
                tensor.requires_grad_(requires_grad)


def _data(dls: Any) -> list[Any]:
    """What holds the pictures, and need not be copied."""
    loaders = [dls.train, dls.valid]
    return [dls, *loaders, *(getattr(dl, name, None) for dl in loaders for name in ("collection", "dataset"))]


def _copied(thing: Any, memo: dict[int, Any]) -> Any:
    """A deep copy, but for what is in `memo`; of what cannot be copied so, each part by itself, as far as it can be."""
    attempt = dict(memo)  # one that fails leaves half-made copies behind
    try:
        made = copy.deepcopy(thing, attempt)
    except Exception:
        return thing.clone() if isinstance(thing, Tensor) else _copies([thing], memo)[0]
    memo.update(attempt)
    return made


def _copies(things: Iterable[Any], memo: dict[int, Any]) -> list[Any]:
    """Copies whose parts are copied one by one; those that know each other know each other's copies."""
    pairs = [(thing, _shell(thing)) for thing in things]
    memo.update((id(thing), shell) for thing, shell in pairs)
    for thing, shell in pairs:
        if shell is not thing:
            parts = getattr(shell, "__dict__", {})
            parts.update({name: _copied(part, memo) for name, part in parts.items()})
    return [shell for _, shell in pairs]


def _shell(thing: Any) -> Any:
    """A second object with the same parts; or `thing` itself where there is none, or where its end would end theirs."""
    try:
        return thing if hasattr(type(thing), "__del__") else copy.copy(thing)
    except Exception:
        return thing
