"""The listener that records a step while it is made, and the next step of a Learner, tried and taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, overload

import torch
from torch import Tensor

from ..distributed import world_size
from ..errors import RequestError
from ..randomness import seed_for, seed_torch
from ..training.callbacks import Callback, CancelFitException, CancelTrainException, CancelValidException
from ..training.keepers import LAST
from ..training.machine import in_precision
from ..training.metrics import names_of
from ..training.recorder import Recorder
from ..training.result import Silence, Watcher
from .aside import aside
from .autograd import graph_of
from .trace import Trace

if TYPE_CHECKING:
    from ..training.learner import Learner


class Tracer(Callback):
    """Records step number `step` of a fit (from 0) in `trace`: `learn.fit(3, cbs=Tracer(100))`.

    In the other steps it does nothing, and what it does in that one changes no bit of the training: for the figures
    of the validation set, copies of the Learner's callbacks hear of its batches, and of nothing else.
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
            parameters = [(name, p) for name, p in self.learn.model.named_parameters() if p.numel()]
            with_gradients = [(name, p) for name, p in parameters if p.grad is not None]
            self._noted["before"] = {name: _copy(p) for name, p in with_gradients}
            self._noted["gradients"] = {name: _copy(p.grad) for name, p in with_gradients if p.grad is not None}

    def after_step(self) -> None:
        """Note what the step has made of the weights, and look at the batch and the validation set once more."""
        if not self._here or "before" not in self._noted:
            return
        learn, noted = self.learn, self._noted
        xb, yb, preds, loss = learn.xb, learn.yb, learn.preds, learn.loss.detach()
        with aside(learn), torch.no_grad():
            preds_after = self._again()
            loss_after = float(learn.loss_func(preds_after, yb))
            losses, losses_after = self._losses(preds, yb), self._losses(preds_after, yb)
        weights = dict(learn.model.named_parameters())
        without = [name for name, parameter in weights.items() if parameter.grad is None]
        self.trace = Trace(
            step=self.step, epoch=learn.epoch, step_in_epoch=learn.step_in_epoch,
            steps_per_epoch=learn.steps_per_epoch, lr=learn.lr, optimizer=type(learn.opt).__name__,
            loss_name=getattr(learn.loss_func, "__name__", type(learn.loss_func).__name__), names=self._names(),
            vocab=learn.dls.vocab or (), xb=_copy(xb), yb=_copy(yb), preds=_copy(preds),
            preds_after=_copy(preds_after), loss=float(loss), loss_after=loss_after,
            losses=losses, losses_after=losses_after, graph=noted["graph"], without_gradient=without,
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

    def _again(self) -> Any:
        """The scores of the same batch, with the same dropout."""
        learn = self.learn
        seed_torch(seed_for(learn.seed, "model", learn.epoch) + learn.step_in_epoch)
        return in_precision(learn.precision, learn.model, learn.xb)

    def _losses(self, preds: Any, yb: Tensor) -> Tensor:
        """The loss of each picture by itself; none where scores are no tensor, or the function takes no single one."""
        if not isinstance(preds, Tensor):
            return torch.empty(0)
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
        with aside(learn):
            learn.cbs = [_measuring(it) for it in learn.cbs]
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

    Its batch is the first one of the next epoch; its learning rate `lr`, or else that of the last fit (the greatest,
    where a schedule varied it), or the Learner's before the first one. Copies of its callbacks take part, but for the
    library's own that keep a record or stop a fit. Raises `RequestError` while a fit is under way, where a `Tracer`
    among its callbacks records a step; where a callback cancels the step; and for weights that have no shape yet.
    """
    if learn.training:
        raise RequestError("a fit is under way", hint="give it a listener: fit(…, cbs=Tracer(step))")
    tracer = Tracer(0)
    with aside(learn):
        for parameter in learn.model.parameters():
            parameter.grad = None
        learn.recorder = Recorder()  # of this step alone: a callback may read it
        learn.cbs = [learn.recorder, *(it for it in learn.cbs if not isinstance(it, Tracer))]
        learn.fit(1, lr if lr is not None else getattr(learn, "lr_max", None), cbs=[tracer, Until(1)])
    if tracer.trace is None:
        raise RequestError(
            "a listener cancelled the step before it was made", hint="make a Learner without it, and trace that one"
        )
    return tracer.trace


def _measuring(callback: Callback) -> Callback:
    """Of a callback what may change the figures of a batch: it hears of no validation, and can end none."""
    listener = Callback()
    events = [event for event in ("before_batch", "after_pred", "after_loss") if hasattr(callback, event)]
    vars(listener).update({event: getattr(callback, event) for event in events}, order=callback.order)
    return listener


@overload
def _copy(value: Tensor) -> Tensor: ...
@overload
def _copy(value: Any) -> Any: ...
def _copy(value: Any) -> Any:
    """A copy on the CPU, of each tensor that a dict, a list or a tuple holds."""
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, dict):
        return {key: _copy(part) for key, part in value.items()}
    return tuple(map(_copy, value)) if isinstance(value, list | tuple) else value
