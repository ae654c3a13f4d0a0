"""Callbacks of a run that is kept: the best weights, the step log, the clock, and a clean stop."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import TrainingError
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

    def restore(self) -> None:
        """Give the model the best weights back."""
        if self.weights:
            self.learn.model.load_state_dict(self.weights)


class StepLog(Callback):
    """A row a step: (step, epoch, loss, lr, gradient norm); fetched from the device once an epoch."""

    head: ClassVar[tuple[str, ...]] = ("step", "epoch", "loss", "lr", "gradient_norm")

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, float, float, float]] = []
        self._waiting: list[tuple[int, int, Tensor, float, Tensor]] = []

    def after_step(self) -> None:
        """Note the step that was just made."""
        learn = self.learn
        grads = [parameter.grad for parameter in learn.model.parameters() if parameter.grad is not None]
        norm = torch.stack(torch._foreach_norm(grads)).norm()
        step = len(self.rows) + len(self._waiting)
        self._waiting.append((step, learn.epoch, learn.loss.detach(), learn.lr, norm))

    def after_train(self) -> None:
        """Fetch the epoch's rows. Raises `TrainingError` where a loss is not finite."""
        if not self._waiting:
            return
        losses = torch.stack([row[2] for row in self._waiting]).tolist()
        norms = torch.stack([row[4] for row in self._waiting]).tolist()
        for (step, epoch, _, lr, _), loss, norm in zip(self._waiting, losses, norms, strict=True):
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss is {loss} at step {step} (epoch {epoch}), with learning rate {lr:.3g}",
                    hint=f"try a lower learning rate, such as --lr {self.learn.lr_max / 10:.2g}",
                )
            self.rows.append((step, epoch, loss, lr, norm))
        self._waiting = []


class TimeLimit(Callback):
    """Stops after so many minutes; the schedule then runs by the clock where that is ahead of the steps.

    The epoch that is cut short is validated and kept like any other; it has at least one batch.
    """

    order: ClassVar[int] = LAST

    def __init__(self, minutes: float) -> None:
        self.seconds = 60 * minutes
        self.started = time.monotonic()

    def before_batch(self) -> None:
        """Move the schedule on, or end the epoch's training."""
        if self.learn.training:
            part = (time.monotonic() - self.started) / self.seconds
            if part >= 1 and self.learn.step_in_epoch:
                raise CancelTrainException
            self.learn.advance_to(min(part, 1.0))

    def after_epoch(self) -> None:
        """Stop where the time is over."""
        if time.monotonic() - self.started >= self.seconds:
            raise CancelFitException


class StopWhenAsked(Callback):
    """Ends the training after the batch in hand once `asked` is set; then the epoch is validated, and kept, as ever."""

    order: ClassVar[int] = LAST

    def __init__(self) -> None:
        self.asked = False

    def after_batch(self) -> None:
        """End the epoch's training where it was asked."""
        if self.asked and self.learn.training:
            raise CancelTrainException

    def after_epoch(self) -> None:
        """Stop where it was asked."""
        if self.asked:
            raise CancelFitException

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Inside the block Ctrl-C (SIGINT) or SIGTERM asks; a second Ctrl-C interrupts at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: Any) -> None:
            self.asked = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

        heeded = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, ask) for number in heeded}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
