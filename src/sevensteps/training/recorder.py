"""What training leaves behind in figures: a row an epoch, a loss and a learning rate a step."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TextIO

import torch
from torch import Tensor, nn

from ..distributed import rank
from .callbacks import Callback
from .metrics import Mean, Metric, as_metric, as_numbers, names_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class EpochRow(NamedTuple):
    """One epoch: losses are means over its pictures; metrics are of the validation set, by name."""

    epoch: int
    train_loss: float
    valid_loss: float | None
    metrics: dict[str, float]
    seconds: float
    pictures_per_second: float


class Recorder(Callback):
    """Keeps `rows` (an `EpochRow` each), `values` (the same as plain lists) and the losses and rates of all steps.

    `values[i]` is [train loss, valid loss, metric, …] of epoch i, so `values[-1][2]` is the last first metric. In a
    step nothing is read from the device; the figures are fetched once an epoch.
    """

    order: ClassVar[int] = -10

    def __init__(self) -> None:
        self.rows: list[EpochRow] = []
        self.losses: list[float] = []
        self.lrs: list[float] = []
        self.metrics: list[tuple[str, Metric]] = []
        self.validation: list[float] = []  # [loss, metric, …] of the last validation; empty where it was left out
        self.names: list[str] = []  # of the metrics' values in it
        self._waiting: list[tuple[Tensor, float, int]] = []  # loss, learning rate, pictures of steps not fetched yet
        self._fetched: list[tuple[float, float, int]] = []  # the same of the epoch's steps that are
        self._before = 0.0  # seconds of the epoch's steps that an earlier sitting made

    def before_epoch(self) -> None:
        """Begin the epoch's account."""
        self.train_loss, self.pictures, self.validation = math.nan, 0, []
        self.started, self._before = time.perf_counter() - self._before, 0.0
        self.train_seconds = 0.0

    def after_batch(self) -> None:
        """Take a batch into the account, unless it was cancelled before it had a loss."""
        learn = self.learn
        if learn.loss is None:
            return
        if learn.training:
            self._waiting.append((learn.loss.detach(), learn.lr, learn.pictures))
        else:
            self.valid_loss.add(learn.loss, learn.pictures)
            for _, metric in self.metrics:
                metric.update(learn.preds, learn.yb)

    def after_train(self) -> None:
        """Fetch the losses of the epoch's steps."""
        self._fetch()
        self.train_seconds = time.perf_counter() - self.started

    def before_validate(self) -> None:
        """Begin the account of the loss and the metrics."""
        self.valid_loss = Mean(self.learn.loss_func)
        names, metrics = names_of(self.learn.metrics), map(as_metric, self.learn.metrics)
        self.metrics = list(zip(names, metrics, strict=True))
        for _, metric in self.metrics:
            if isinstance(metric, nn.Module):  # torchmetrics' have tensors of their own
                metric.to(self.learn.device)
            metric.reset()

    def after_validate(self) -> None:
        """Fetch the loss and the metrics."""
        self.validation = [self.valid_loss.compute()] if self.valid_loss.n else []
        self.names = []
        for name, metric in self.metrics if self.valid_loss.n else ():
            for column, value in as_numbers(name, metric.compute()).items():
                self.names.append(column)
                self.validation.append(value)

    def after_epoch(self) -> None:
        """Add the epoch's row."""
        self.rows.append(
            EpochRow(
                epoch=len(self.rows) + 1,
                train_loss=self.train_loss,
                valid_loss=self.validation[0] if self.validation else None,
                metrics=dict(zip(self.names, self.validation[1:], strict=False)),
                seconds=time.perf_counter() - self.started,
                pictures_per_second=self.pictures / self.train_seconds if self.train_seconds else 0.0,
            )
        )

    def after_cancel_fit(self) -> None:
        """Fetch the losses of an epoch that ends here."""
        self._fetch()

    def _fetch(self) -> None:
        self._read()
        if self._fetched:
            losses, lrs, pictures = zip(*self._fetched, strict=True)
            self.pictures = sum(pictures)
            self.train_loss = sum(loss * n for loss, n in zip(losses, pictures, strict=True)) / max(1, self.pictures)
            self.losses += losses
            self.lrs += lrs
        self._fetched = []

    def _read(self) -> None:
        """Read from the device what waits there."""
        if self._waiting:
            losses = torch.stack([loss for loss, _, _ in self._waiting]).tolist()
            self._fetched += [(loss, lr, n) for loss, (_, lr, n) in zip(losses, self._waiting, strict=True)]
        self._waiting = []

    def to_state(self) -> dict[str, Any]:
        """For a checkpoint: all rows, and the steps of an epoch that is not over."""
        self._read()
        seconds = time.perf_counter() - self.started if self._fetched else 0.0
        state = {"rows": self.rows, "losses": self.losses, "lrs": self.lrs}
        return state | {"epoch": self._fetched, "seconds": seconds}

    def from_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.rows = [EpochRow(*row) for row in state["rows"]]
        self.losses, self.lrs = state["losses"], state["lrs"]
        self._fetched = [(loss, lr, n) for loss, lr, n in state["epoch"]]
        self._before = float(state.get("seconds", 0.0))

    @property
    def values(self) -> list[list[float | None]]:
        """[train loss, valid loss, metric, …] of each epoch."""
        return [[row.train_loss, row.valid_loss, *row.metrics.values()] for row in self.rows]

    def plot_loss(self) -> Figure:
        """A figure of the loss of every step, and of the validation loss at the end of each epoch."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 4), layout="tight")
        axis = figure.subplots()
        axis.plot(self.losses, linewidth=0.8, label="train, each step")
        steps = len(self.losses) / max(len(self.rows), 1)
        losses = enumerate((row.valid_loss for row in self.rows), start=1)
        valid = [(steps * number, loss) for number, loss in losses if loss is not None]
        axis.plot([at for at, _ in valid], [loss for _, loss in valid], "o-", label="valid")
        axis.set(xlabel="step", ylabel="loss")
        axis.legend()
        return figure


class EpochTable(Callback):
    """Prints a row an epoch as it ends: what `Learner.fit` shows unless it is told to be quiet."""

    order: ClassVar[int] = 10

    def __init__(self, file: TextIO | None = None) -> None:
        self.file = file

    def before_fit(self) -> None:
        """Begin a table."""
        self.widths: list[int] = []

    def after_epoch(self) -> None:
        """Print the epoch's row, and before the first one the head: only then a collection's metrics have names."""
        row = self.learn.recorder.rows[-1]
        if not self.widths:
            self.metrics = list(row.metrics) or names_of(self.learn.metrics)
            head = ["epoch", "train_loss", "valid_loss", *self.metrics, "time"]
            self.widths = [max(10, len(name)) for name in head]
            self._line(head)
        figures = [row.train_loss, row.valid_loss, *map(row.metrics.get, self.metrics)]
        cells = ["" if figure is None else f"{figure:.6f}" for figure in figures]
        minutes, seconds = divmod(round(row.seconds), 60)
        self._line([str(row.epoch), *cells, f"{minutes:02}:{seconds:02}"])

    def _line(self, cells: list[str]) -> None:
        if rank():  # one process of several prints
            return
        line = "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, self.widths, strict=True)).rstrip()
        print(line, file=self.file or sys.stdout, flush=True)
