"""Callbacks of a run that is kept: the best weights, the step log, the clock, and a clean stop."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from ..distributed import in_any_rank, of_first_rank, world_size
from ..errors import TrainingError
from ..words import visible
from .callbacks import Callback, CancelFitException, CancelTrainException

LAST = 20  # the order of those who stop the fit: all others have heard of the epoch by then


class KeepBest(Callback):
    """Remembers the weights of the epoch with the best first metric on the validation set; later ones win a tie.

    `saved` is called with no argument whenever the weights of the moment are the best so far.
    """

    def __init__(self, saved: Callable[[], object]) -> None:
        self.saved = saved
        self.epoch = 0
        self.score = -math.inf
        self.weights: dict[str, Tensor] = {}

    def after_epoch(self) -> None:
        """Keep the weights where they are the best so far."""
        row = self.learn.recorder.rows[-1]
        score = next(iter(row.metrics.values()), -math.inf)
        finite = all(math.isfinite(loss) for loss in (row.train_loss, row.valid_loss) if loss is not None)
        if score >= self.score and finite:
            self.epoch, self.score = row.epoch, score
            self.weights = {name: tensor.detach().clone() for name, tensor in self.learn.model.state_dict().items()}
            self.saved()

    def to_state(self) -> dict[str, Any]:
        """For a checkpoint: the best epoch, and how good it was; its weights have a checkpoint of their own."""
        return {"epoch": self.epoch, "score": self.score}

    def from_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.epoch, self.score = int(state["epoch"]), float(state["score"])

    def restore(self) -> None:
        """Give the model the best weights back."""
        if self.weights:
            self.learn.model.load_state_dict(self.weights)


class StepRow(NamedTuple):
    """A row of `steps.csv`: what a step found, and at which learning rate; `gradient_norm` is the L2 norm of all."""

    step: int
    epoch: int
    loss: float
    lr: float
    gradient_norm: float


def gradient_norm(grads: list[Tensor]) -> float:
    """The L2 norm of a whole gradient, on the CPU: of each tensor in float32, of all of them in float64."""
    norm = math.hypot(*(each.item() for each in torch._foreach_norm(grads)))
    if not math.isfinite(norm):  # a square may be too large for float32, and nothing else
        norm = math.hypot(*(float(torch.linalg.vector_norm(grad, dtype=torch.float64)) for grad in grads))
    return norm


class StepLog(Callback):
    """Keeps `rows`, a `StepRow` for each step; of a GPU they are fetched once an epoch."""

    def __init__(self) -> None:
        self.rows: list[StepRow] = []
        self._waiting: list[tuple[int, Tensor, float, Tensor, Any]] = []  # epoch, loss, lr, norms, pictures' numbers

    def before_fit(self) -> None:
        """Look the parameters up: in a small network that takes longer than all their norms."""
        self._parameters = list(self.learn.model.parameters())

    def after_step(self) -> None:
        """Note the step that was just made. Raises `TrainingError` on a CPU where it is not finite."""
        learn = self.learn
        grads = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        pictures = getattr(learn.dls.train, "indices", None)
        if learn.device.type != "cpu":
            self._waiting.append(
                (learn.epoch, learn.loss.detach(), learn.lr, torch.stack(torch._foreach_norm(grads)), pictures)
            )
            return
        self._note(learn.epoch, learn.loss.item(), learn.lr, gradient_norm(grads), pictures)

    def to_state(self) -> list[StepRow]:
        """For a checkpoint: all rows so far."""
        self.after_train()
        return self.rows

    def from_state(self, state: list[list[Any]]) -> None:
        """Go on from a checkpoint."""
        self.rows = [StepRow(*row) for row in state]

    def after_train(self) -> None:
        """Fetch the epoch's rows from a GPU. Raises `TrainingError` where a loss or a gradient is not finite."""
        waiting, self._waiting = self._waiting, []
        losses = torch.stack([row[1] for row in waiting]).tolist() if waiting else []
        for (epoch, _, lr, norms, pictures), loss in zip(waiting, losses, strict=True):
            self._note(epoch, loss, lr, math.hypot(*norms.tolist()), pictures)

    def _note(self, epoch: int, loss: float, lr: float, norm: float, pictures: Any) -> None:
        step, is_cpu = len(self.rows), self.learn.device.type == "cpu"
        self.rows.append(StepRow(step, epoch, loss, lr, norm))
        if not math.isfinite(loss) or math.isnan(norm) or (math.isinf(norm) and is_cpu):
            highest = max(row.lr for row in self.rows)
            what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient's norm is {norm}"
            raise TrainingError(
                f"{what} at step {step} (epoch {epoch}), with learning rate {lr:.3g}{self._named(pictures)}",
                hint=f"try a lower learning rate, such as --lr {highest / 10:.2g}, and look at these",
            )

    def _named(self, pictures: Any) -> str:
        """The pictures of a batch, as far as they have names."""
        names = getattr(getattr(self.learn.dls.train, "collection", None), "names", None)
        if names is None or pictures is None:
            return ""
        first = [visible(names[number]) for number in pictures[:3].tolist()]
        return f", on {', '.join(first)}" + (f" and {len(pictures) - 3} more" if len(pictures) > 3 else "")


class TimeLimit(Callback):
    """Stops after so many minutes; the schedule then runs by the clock where that is ahead of the steps.

    The epoch that is cut short is validated and kept like any other; it has at least one batch.
    """

    order: ClassVar[int] = LAST

    def __init__(self, minutes: float) -> None:
        self.seconds = 60 * minutes
        self.started = time.monotonic()

    def to_state(self) -> float:
        """For a checkpoint: the seconds that are used up."""
        return time.monotonic() - self.started

    def from_state(self, state: float) -> None:
        """Go on from a checkpoint."""
        self.started = time.monotonic() - state

    def before_batch(self) -> None:
        """Move the schedule on, or end the epoch's training."""
        if self.learn.training:
            part = self._used / self.seconds
            if part >= 1 and self.learn.step_in_epoch:
                raise CancelTrainException
            self.learn.advance_to(min(part, 1.0))

    def after_epoch(self) -> None:
        """Stop where the time is over."""
        if self._used >= self.seconds:
            raise CancelFitException

    @property
    def _used(self) -> float:
        return of_first_rank(time.monotonic() - self.started)


class StopWhenAsked(Callback):
    """Ends the training after the batch in hand once `asked` is set; then the epoch is validated, and kept, as ever."""

    order: ClassVar[int] = LAST

    def __init__(self) -> None:
        self.asked = self.asked_of_all = False

    @property
    def agreed(self) -> bool:
        """Whether it was asked: of several processes that train together, in any of them before the last step."""
        return self.asked_of_all if world_size() > 1 else self.asked

    def after_step(self) -> None:
        """Hear of the other processes."""
        self.asked_of_all = in_any_rank(self.asked)

    def after_batch(self) -> None:
        """End the epoch's training where it was asked."""
        if self.agreed and self.learn.training:
            raise CancelTrainException

    def after_epoch(self) -> None:
        """Stop where it was asked."""
        if self.agreed:
            raise CancelFitException

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Inside the block Ctrl-C (SIGINT), SIGTERM or SIGHUP asks; a second Ctrl-C interrupts at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: Any) -> None:
            self.asked = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

        stops = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
        heeded = [number for number in stops if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, ask) for number in heeded}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
