"""Does "90 % sure" mean right nine times of ten? Temperature, calibration error, and when to say "none of these"."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import RequestError
from ..interval import Accuracy
from ..randomness import seed_for

BINS = 15
CURVE = 100  # points of a coverage curve
TRIALS = 1000  # of a classifier without calibration error, to see what it shows by luck alone
HALVINGS = 32  # of the range in which the temperature is looked for: it is then exact to eight digits
MOST_SCORES = 2_000_000  # that a temperature is fitted to: of more, every so many pictures
TOGETHER = 4096  # pictures whose probabilities are calculated at once
WIDEST = 1e4  # the range: the mean spread of a picture's scores, divided and multiplied by this


def probabilities(preds: Tensor, temperature: float = 1.0) -> Tensor:
    """The softmax of raw scores (N×classes) divided by a temperature: float64, N×classes, on the CPU.

    >>> probabilities(torch.tensor([[2.0, 0.0]]), temperature=2.0)
    tensor([[0.7311, 0.2689]], dtype=torch.float64)
    """
    return (preds.detach().cpu().double() / temperature).softmax(1)


class Temperature(NamedTuple):
    """What scores are divided by: above 1 for a network that was too sure. `note` says so where it is not the fit."""

    value: float
    note: str = ""


def fit_temperature(preds: Tensor, targets: Tensor) -> Temperature:
    """The temperature that makes `targets` (int64, N) likeliest, given raw scores `preds` (N×classes).

    It changes no answer, only how sure each is (Guo, Pleiss, Sun, Weinberger 2017, "On Calibration of Modern Neural
    Networks", section 4.2). The negative log-likelihood is convex in 1/temperature: its slope is followed to 0. Where
    every answer is right it falls for ever, and answers become as sure, in the mean, as Laplace's rule of succession
    allows: (N + 1)/(N + 2). Fit it on validation pictures: the network is too sure of those it was trained on.
    Raises `RequestError` for shapes that do not fit, scores that are not finite, or no answers.

    >>> preds, targets = torch.tensor([[2.0, 0.0]]).repeat(4, 1), torch.tensor([0, 0, 0, 1])
    >>> temperature = fit_temperature(preds, targets).value  # right 3 times of 4, and now as sure as that
    >>> round(temperature, 6), round(probabilities(preds, temperature)[0, 0].item(), 6)
    (1.820478, 0.75)
    """
    preds, targets = _checked(preds, targets)
    every = -(-preds.numel() // MOST_SCORES)
    preds, targets = preds[::every].double(), targets[::every]
    spread = float((preds - preds.mean(1, keepdim=True)).abs().mean())
    if spread == 0:
        return Temperature(1.0, "every class has the same score")
    scores = preds / spread
    true = scores.gather(1, targets[:, None])[:, 0]
    all_right = bool((true == scores.max(1).values).all())
    goal = (len(scores) + 1) / (len(scores) + 2)

    def slope(inverse: float) -> float:
        """Of the loss by the inverse temperature; or how much surer than allowed. Neither ever falls."""
        probs = probabilities(scores, 1 / inverse)
        return float(probs.max(1).values.mean() - goal if all_right else ((probs * scores).sum(1) - true).mean())

    inverse = _crossing(slope, 1 / WIDEST, WIDEST)
    note = f"every answer is right: the mean confidence is taken to be {goal:.4f}" if all_right else ""
    if not 2 / WIDEST < inverse < WIDEST / 2:
        note = "no temperature in reason makes these targets likeliest: the last one tried is taken"
    return Temperature(spread / inverse, note)


class Bin(NamedTuple):
    """Answers with a confidence above `low` up to `high`; `confidence` is their mean one, None for no answers."""

    low: float
    high: float
    confidence: float | None
    accuracy: Accuracy

    def to_dict(self) -> dict[str, Any]:
        """As it stands in JSON."""
        return {"low": self.low, "high": self.high, "confidence": self.confidence} | self.accuracy.to_dict()


@dataclass(frozen=True)
class Reliability:
    """Accuracy against confidence (the probability of the predicted class), in bins of equal width.

    `nll` is the mean negative log-likelihood of the true classes.
    """

    bins: tuple[Bin, ...]
    nll: float

    @classmethod
    def of(cls, preds: Tensor, targets: Tensor, temperature: float = 1.0, bins: int = BINS) -> Reliability:
        """From raw scores (N×classes) and targets (int64, N). Raises `RequestError`, also for fewer than one bin."""
        preds, targets = _checked(preds, targets)
        if bins < 1:
            raise RequestError(f"bins is {bins}", hint="expected 1 or more")
        confidence, right, losses = _answers(preds, targets, temperature)
        edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
        place = torch.bucketize(confidence, edges[1:-1])
        n = torch.bincount(place, minlength=bins)
        mean = torch.bincount(place, weights=confidence, minlength=bins) / n
        columns = (edges[:-1], edges[1:], mean, torch.bincount(place[right], minlength=bins), n)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        filled = tuple(Bin(low, high, sure if n else None, Accuracy(right, n)) for low, high, sure, right, n in rows)
        return cls(filled, float(losses.mean()))

    @property
    def ece(self) -> float:
        """Expected calibration error: the mean gap between confidence and accuracy, weighted by the bins' answers."""
        n, right, confidence = self._filled
        return float(np.abs(n * confidence - right).sum() / n.sum())

    @cached_property
    def ece_by_luck(self) -> float:
        """The ECE that a classifier with these confidences and no calibration error exceeds one time in twenty.

        It is not 0, since a bin of few answers is never right just as often as it should be (Bröcker, Smith 2007,
        "Increasing the Reliability of Reliability Diagrams": here the answers of a bin share their mean confidence).
        """
        n, _, confidence = self._filled
        right = np.random.default_rng(seed_for(0, "reliability")).binomial(n, confidence, (TRIALS, len(n)))
        return float(np.quantile(np.abs(n * confidence - right).sum(1) / n.sum(), 0.95))

    @property
    def _filled(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Answers, right ones and mean confidence of the bins that have any."""
        rows = [(it.accuracy.n, it.accuracy.correct, it.confidence) for it in self.bins if it.accuracy.n]
        n, right, confidence = map(np.array, zip(*rows, strict=True))
        return n, right, confidence.clip(0, 1)

    def to_dict(self) -> dict[str, Any]:
        """As it stands in JSON."""
        bins = [each.to_dict() for each in self.bins]
        return {"ece": self.ece, "ece_by_luck": self.ece_by_luck, "nll": self.nll, "bins": bins}


class Answered(NamedTuple):
    """What comes of answering only where the confidence is `threshold` or more: `accuracy` on the answered pictures.

    `coverage` is the part of the pictures that is answered, 0 to 1.
    """

    threshold: float
    coverage: float
    accuracy: Accuracy

    def to_dict(self) -> dict[str, Any]:
        """As it stands in JSON."""
        return {"threshold": self.threshold, "coverage": self.coverage} | self.accuracy.to_dict()


@dataclass(frozen=True, eq=False)
class Coverage:
    """For each threshold of confidence below which a picture is "none of these": how many are answered, how well.

    `confidence` (float64, N, rising) are the probabilities of the predicted classes, `right` (bool, N) whether those
    are the true ones.

    >>> coverage = Coverage.of(torch.tensor([[0.0, 3.0], [0.0, 2.0], [1.0, 0.0]]), torch.tensor([1, 1, 1]))
    >>> print(coverage.at(0.8).coverage, coverage.at(0.8).accuracy)
    0.6666666666666666 100.00 % (95 % interval 34.24 to 100.00 %, n = 2)
    """

    confidence: Tensor
    right: Tensor

    @classmethod
    def of(cls, preds: Tensor, targets: Tensor, temperature: float = 1.0) -> Coverage:
        """From raw scores (N×classes) and targets (int64, N). Raises `RequestError`."""
        confidence, right, _ = _answers(*_checked(preds, targets), temperature)
        order = confidence.argsort(stable=True)
        return cls(confidence[order], right[order])

    @cached_property
    def _right_from(self) -> list[int]:
        """How many answers are right from each place on."""
        return [*self.right.flip(0).cumsum(0).flip(0).tolist(), 0]

    def at(self, threshold: float) -> Answered:
        """What comes of one threshold."""
        total, below = len(self.confidence), int(torch.searchsorted(self.confidence, threshold))
        accuracy = Accuracy(self._right_from[below], total - below)
        return Answered(threshold, accuracy.n / total, accuracy)

    def curve(self) -> list[Answered]:
        """At most 100 thresholds from 0 up, evenly spaced in coverage."""
        total = len(self.confidence)
        some = self.confidence[[total * step // CURVE for step in range(1, CURVE)]].tolist()
        return [self.at(threshold) for threshold in dict.fromkeys([0.0, *some])]

    def reaching(self, goal: float) -> Answered | None:
        """The least threshold for which the 95 % interval of the accuracy begins at `goal` or above, if any does.

        The first that reaches it is a little lucky: look at the same threshold on pictures it was not chosen by.
        Raises `RequestError` for a goal that is not between 0 and 1.
        """
        if not 0 < goal < 1:
            raise RequestError(f"the goal is an accuracy of {goal!r}", hint="expected a number between 0 and 1")
        thresholds = dict.fromkeys([0.0, *self.confidence.tolist()])
        tried = (self.at(threshold) for threshold in thresholds)
        return next((answered for answered in tried if answered.accuracy.interval[0] >= goal), None)

    def to_dict(self) -> dict[str, Any]:
        """As it stands in JSON."""
        return {"curve": [answered.to_dict() for answered in self.curve()]}


@dataclass(frozen=True, eq=False)
class Calibration:
    """How sure a network is against how right, before and after its scores are divided by a temperature.

    >>> preds, targets = torch.tensor([[2.0, 0.0]]).repeat(4, 1), torch.tensor([0, 0, 0, 1])
    >>> calibration = Calibration.of(preds, targets)
    >>> round(calibration.before.ece, 3), round(calibration.after.ece, 3)
    (0.131, 0.0)
    """

    temperature: Temperature
    before: Reliability
    after: Reliability

    @classmethod
    def of(cls, preds: Tensor, targets: Tensor, temperature: Temperature | None = None) -> Calibration:
        """From raw scores (N×classes) and targets (int64, N); the temperature is fitted to them unless it is given.

        Give the one that was fitted on valid for the figures on test. Raises `RequestError`.
        """
        temperature = temperature or fit_temperature(preds, targets)
        value = temperature.value
        before, after = Reliability.of(preds, targets), Reliability.of(preds, targets, value)
        return cls(temperature, before, after)

    def to_dict(self) -> dict[str, Any]:
        """As it stands in JSON."""
        before, after = self.before.to_dict(), self.after.to_dict()
        return {"temperature": self.temperature._asdict(), "before": before, "after": after}


def _answers(preds: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """The probability of each predicted class, whether that is the true one, and the true one's cross-entropy.

    Some pictures at a time: of many classes a copy of all scores in float64 takes much memory.
    """
    parts = []
    for scores, labels in zip(preds.split(TOGETHER), targets.split(TOGETHER), strict=True):
        log_probs = (scores.double() / temperature).log_softmax(1)
        called = log_probs.max(1)
        parts.append((called.values.exp(), called.indices == labels, F.nll_loss(log_probs, labels, reduction="none")))
    confidence, right, losses = (torch.cat(column) for column in zip(*parts, strict=True))
    return confidence, right, losses


def _crossing(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that never falls crosses 0 between two positive numbers; else the end next to it."""
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return math.sqrt(low * high)


def _checked(preds: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The scores and the targets, on the CPU."""
    preds, targets = preds.detach().cpu(), targets.detach().cpu()
    if preds.ndim != 2 or preds.shape[1] < 2 or not len(preds) or targets.shape != preds.shape[:1]:
        raise RequestError(
            f"preds have shape {tuple(preds.shape)} and targets {tuple(targets.shape)}",
            hint="expected preds of shape (N, classes) and targets of shape (N,), with 1 picture and 2 classes or more",
        )
    if not bool(preds.isfinite().all()):
        raise RequestError("some preds are not finite", hint="the network's weights are no good: train again")
    if targets.is_floating_point() or not 0 <= int(targets.min()) <= int(targets.max()) < preds.shape[1]:
        raise RequestError(
            f"targets of type {targets.dtype} from {targets.min()} to {targets.max()}",
            hint=f"expected whole numbers from 0 to {preds.shape[1] - 1}",
        )
    return preds, targets.long()
