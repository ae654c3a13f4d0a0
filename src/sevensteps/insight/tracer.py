"""The listener that records a step while it is made, and the next step of a Learner, tried and taken back."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ..distributed import world_size
from ..errors import RequestError
from ..models.evaluating import evaluating
from ..randomness import seed_for, seed_torch
from ..training.callbacks import Callback, CancelFitException, CancelTrainException, CancelValidException
from ..training.keepers import LAST
from ..training.machine import in_precision
from ..training.metrics import names_of
from ..training.recorder import EpochTable, Recorder
from ..training.result import Silence, Watcher
from .autograd import graph_of
from .trace import Trace

if TYPE_CHECKING:
    from ..training.learner import Learner


class Tracer(Callback):
    """Records step number `step` of a fit (from 0) in `trace`: `learn.fit(3, cbs=Tracer(100))`.

    In the other steps it does nothing, and what it does in that one changes no bit of the training.
    """

    order: ClassVar[int] = -50  # before those who stop the fit where a loss is not finite

    def __init__(self, step: int) -> None:
        if isinstance(step, bool) or not isinstance(step, int) or step < 0:
            raise RequestError(f"the step is {step!r}", hint="expected a whole number, 0 or more")
        self.step = step
        self.trace: Trace | None = None
        self._noted: dict[str, Any] = {}

    @property
    def _here(self) -> bool:
        return self.learn.training and self.learn.step_in_fit == self.step

    def before_fit(self) -> None:
        """Raise `RequestError` in several processes: each has but a share of the batch."""
        if world_size() > 1:
            raise RequestError(
                "a step is traced by one process alone", hint="leave the Tracer out, or start one process"
            )

    def before_batch(self) -> None:
        """Note how good the model is before the step."""
        if self._here:
            self._noted = {"valid": self._validation()}

    def after_loss(self) -> None:
        """Note the graph before `backward` uses it up."""
        if self._here:
            self._noted["graph"] = graph_of(self.learn.loss, dict(self.learn.model.named_parameters()))

    def before_step(self) -> None:
        """Note the weights, and their gradients."""
        if self._here:
            with_gradients = [(name, p) for name, p in self.learn.model.named_parameters() if p.grad is not None]
            self._noted["before"] = {name: _copy(p) for name, p in with_gradients}
            self._noted["gradients"] = {name: _copy(p.grad) for name, p in with_gradients if p.grad is not None}

    def after_step(self) -> None:
        """Note what the step has made of the weights, and look at the batch and the validation set once more."""
        if not self._here or "before" not in self._noted:
            return
        learn, noted = self.learn, self._noted
        xb, yb, preds, loss = learn.xb, learn.yb, learn.preds.detach(), learn.loss.detach()
        preds_after = self._again()
        with torch.no_grad():
            loss_after = float(learn.loss_func(preds_after, yb))
        weights = dict(learn.model.named_parameters())
        without = [name for name in weights if name not in noted["before"]]
        self.trace = Trace(
            step=self.step, epoch=learn.epoch, step_in_epoch=learn.step_in_epoch,
            steps_per_epoch=learn.steps_per_epoch, lr=learn.lr, optimizer=type(learn.opt).__name__,
            loss_name=getattr(learn.loss_func, "__name__", type(learn.loss_func).__name__), names=self._names(),
            vocab=learn.dls.vocab or (), xb=_copy(xb), yb=_copy(yb), preds=_copy(preds),
            preds_after=_copy(preds_after), loss=float(loss), loss_after=loss_after,
            losses=self._losses(preds, yb), losses_after=self._losses(preds_after, yb), graph=noted["graph"],
            without_gradient=without,
            kinds={name: type(module).__name__ for name, module in learn.model.named_modules()},
            before=noted["before"], gradients=noted["gradients"],
            after={name: _copy(weights[name]) for name in noted["before"]}, lrs=self._rates(),
            valid=(noted["valid"], self._validation()),
        )  # fmt: skip
        self._noted = {}

    def _rates(self) -> dict[str, float]:
        learn = self.learn
        groups = getattr(learn.opt, "param_groups", [])
        scaled = {id(p): float(group["lr"]) for group in groups for p in group["params"]}
        return {name: scaled.get(id(p), learn.lr) for name, p in learn.model.named_parameters()}

    def _again(self) -> Tensor:
        """The scores of the same batch, with the same dropout; batch norm's memory stays as it is."""
        learn = self.learn
        buffers = [(buffer, buffer.clone()) for buffer in learn.model.buffers()]
        seed_torch(seed_for(learn.seed, "model", learn.epoch) + learn.step_in_epoch)
        with torch.no_grad():
            preds: Tensor = in_precision(learn.precision, learn.model, learn.xb)
            for buffer, value in buffers:
                buffer.copy_(value)
        return preds

    def _losses(self, preds: Tensor, yb: Tensor) -> Tensor:
        """The loss of each picture by itself; none where the function takes no single picture."""
        with torch.no_grad():
            try:
                each = [float(self.learn.loss_func(preds[i : i + 1], yb[i : i + 1])) for i in range(len(yb))]
            except (RuntimeError, ValueError, TypeError, IndexError):
                return torch.empty(0)
        return torch.tensor(each)

    def _names(self) -> list[str]:
        train = self.learn.dls.train
        names = getattr(getattr(train, "collection", None), "names", None)
        numbers = getattr(train, "indices", torch.arange(len(self.learn.yb))).tolist()
        return [names[number] if names is not None else f"#{number}" for number in numbers][: len(self.learn.yb)]

    def _validation(self) -> dict[str, float]:
        learn = self.learn
        if learn.dls.valid is None:
            return {}
        return dict(zip(["loss", *names_of(learn.metrics)], learn.validate(), strict=False))


class Until(Callback):
    """Ends a fit after so many steps, leaves validations out, and tells how far it is."""

    order: ClassVar[int] = LAST

    def __init__(self, steps: int, watcher: Watcher | None = None) -> None:
        self.steps, self.watcher, self.is_over = steps, watcher or Silence(), False

    def before_validate(self) -> None:
        """Leave it out."""
        raise CancelValidException

    def after_batch(self) -> None:
        """End the epoch's training with the last step."""
        done = self.learn.step_in_fit + 1
        self.watcher.progress("training again", done, self.steps)
        self.is_over = done >= self.steps
        if self.is_over:
            raise CancelTrainException

    def after_epoch(self) -> None:
        """End the fit, once all have heard of the epoch."""
        if self.is_over:
            raise CancelFitException


def trace_next_step(learn: Learner, lr: float | None = None) -> Trace:
    """The step that `learn` would make next, made and taken back: weights, optimizer and generators stay as they are.

    Its batch is the first one of the next epoch, its learning rate `lr`, or the Learner's. Its callbacks take
    part, but for those that keep a record. Raises `RequestError` while a fit is under way: there a `Tracer` among its
    callbacks records a step.
    """
    if learn.training:
        raise RequestError("a fit is under way", hint="give it a listener: fit(…, cbs=Tracer(step))")
    tracer = Tracer(0)
    with _taken_back(learn):
        learn.recorder = Recorder()  # of this step alone: a callback may read it
        others = [it for it in learn.cbs if not (hasattr(it, "to_state") or isinstance(it, EpochTable))]
        learn.cbs = [learn.recorder, *others]
        learn.fit(1, lr, cbs=[tracer, Until(1)])
    assert tracer.trace is not None
    return tracer.trace


@contextmanager
def _taken_back(learn: Learner) -> Iterator[None]:
    """After the block the Learner, its model and its optimizer are as before."""
    attributes = dict(vars(learn))
    tensors = [*learn.model.parameters(), *learn.model.buffers()]
    values, grads = [tensor.detach().clone() for tensor in tensors], [tensor.grad for tensor in tensors]
    learn.opt = copy.deepcopy(learn.opt, {id(tensor): tensor for tensor in tensors})  # its memory, of the same weights
    try:
        for tensor in tensors:
            tensor.grad = None
        with evaluating(learn.model):
            yield
    finally:
        vars(learn).clear()
        vars(learn).update(attributes)
        with torch.no_grad():
            for tensor, value, grad in zip(tensors, values, grads, strict=True):
                tensor.copy_(value)
                tensor.grad = grad


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone()
