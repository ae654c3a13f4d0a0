"""What training leaves behind in figures: a row an epoch, a loss and a learning rate a step."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TextIO

import torch
from torch import Tensor

from .callbacks import Callback
from .metrics import Mean, Metric, as_metric, as_number, name_of

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
        self.validation: list[float] = []  # [loss, metric, …] of the last validation

    def before_epoch(self) -> None:
        """Begin the epoch's account."""
        self.train_loss, self.validation = Mean(self.learn.loss_func), []
        self._epoch_losses: list[Tensor] = []
        self.started = time.perf_counter()
        self.train_seconds = 0.0

    def after_batch(self) -> None:
        """Take a batch into the account."""
        learn = self.learn
        if learn.training:
            self.train_loss.add(learn.loss, learn.pictures)
            self._epoch_losses.append(learn.loss.detach())
            self.lrs.append(learn.lr)
        else:
            self.valid_loss.add(learn.loss, learn.pictures)
            for _, metric in self.metrics:
                metric.update(learn.preds, learn.yb)

    def after_train(self) -> None:
        """Fetch the losses of the epoch's steps."""
        if self._epoch_losses:
            self.losses += torch.stack(self._epoch_losses).tolist()
        self._epoch_losses = []
        self.train_seconds = time.perf_counter() - self.started

    def before_validate(self) -> None:
        """Begin the account of the loss and the metrics."""
        self.valid_loss = Mean(self.learn.loss_func)
        self.metrics = [(name_of(metric), as_metric(metric)) for metric in self.learn.metrics]
        for _, metric in self.metrics:
            metric.reset()

    def after_validate(self) -> None:
        """Fetch the loss and the metrics."""
        values = [metric.compute() for _, metric in self.metrics] if self.valid_loss.n else []
        self.validation = [self.valid_loss.compute(), *map(as_number, values)]

    def after_epoch(self) -> None:
        """Add the epoch's row."""
        self.rows.append(
            EpochRow(
                epoch=len(self.rows) + 1,
                train_loss=self.train_loss.compute(),
                valid_loss=self.validation[0] if self.validation else None,
                metrics=dict(zip([name for name, _ in self.metrics], self.validation[1:], strict=False)),
                seconds=time.perf_counter() - self.started,
                pictures_per_second=self.train_loss.n / self.train_seconds if self.train_seconds else 0.0,
            )
        )

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
        axis.plot(
            [steps * row.epoch for row in self.rows],
            [row.valid_loss for row in self.rows],
            "o-",
            label="valid",
        )
        axis.set(xlabel="step", ylabel="loss")
        axis.legend()
        return figure


class EpochTable(Callback):
    """Prints a row an epoch as it ends: what `Learner.fit` shows unless it is told to be quiet."""

    order: ClassVar[int] = 10

    def __init__(self, file: TextIO | None = None) -> None:
        self.file = file

    def before_fit(self) -> None:
        """Print the head of the table."""
        head = [
            "epoch",
            "train_loss",
            "valid_loss",
            *(name_of(metric) for metric in self.learn.metrics),
            "time",
        ]
        self.widths = [max(10, len(name)) for name in head]
        self._line(head)

    def after_epoch(self) -> None:
        """Print the epoch's row."""
        row = self.learn.recorder.rows[-1]
        valid = "" if row.valid_loss is None else f"{row.valid_loss:.6f}"
        cells = [f"{value:.6f}" for value in row.metrics.values()]
        minutes, seconds = divmod(round(row.seconds), 60)
        self._line([str(row.epoch), f"{row.train_loss:.6f}", valid, *cells, f"{minutes:02}:{seconds:02}"])

    def _line(self, cells: list[str]) -> None:
        line = "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, self.widths, strict=False)).rstrip()
        print(line, file=self.file or sys.stdout, flush=True)
