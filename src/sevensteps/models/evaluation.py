"""How good the answers are: right and wrong, class by class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import RequestError
from ..interval import Accuracy


@dataclass(frozen=True)
class Evaluation:
    """`confusion[i, j]` pictures of class i were called class j (int64, classes × classes)."""

    vocab: tuple[str, ...]
    confusion: np.ndarray

    @classmethod
    def of(cls, predicted: Tensor, targets: Tensor, vocab: list[str] | tuple[str, ...]) -> Evaluation:
        """From predicted and true labels, int64, shape (N,) each. Raises `RequestError` for a label without a name."""
        k, predicted, targets = len(vocab), predicted.flatten().cpu(), targets.flatten().cpu()
        if len(predicted) != len(targets):
            raise RequestError(f"{len(predicted)} answers for {len(targets)} pictures", hint="expected one a picture")
        for what, labels in (("predicted", predicted), ("true", targets)):
            strange = labels[(labels < 0) | (labels >= k)]
            if len(strange):
                raise RequestError(
                    f"a {what} label is {strange[0]}, and there are {k} class names", hint=f"expected 0 to {k - 1}"
                )
        cells = (targets * k + predicted).to(torch.int64)
        return cls(tuple(vocab), torch.bincount(cells, minlength=k * k).view(k, k).numpy())

    @property
    def accuracy(self) -> Accuracy:
        """Over all pictures, with its interval."""
        return Accuracy(int(self.confusion.trace()), int(self.confusion.sum()))

    @property
    def per_class(self) -> dict[str, Accuracy]:
        """For the pictures of each class (its recall); classes without pictures have n = 0."""
        rows = zip(self.vocab, self.confusion, range(len(self.vocab)), strict=True)
        return {name: Accuracy(int(row[i]), int(row.sum())) for name, row, i in rows}

    @property
    def balanced_accuracy(self) -> float:
        """The mean of the classes' accuracies: each class counts the same, however large; nan for none."""
        scores = [score.value for score in self.per_class.values() if score.n]
        return float(np.mean(scores)) if scores else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Accuracy, interval and n, over all and class by class, and the confusion matrix; None for no pictures."""
        classes = {name: score.to_dict() for name, score in self.per_class.items()}
        balanced = self.balanced_accuracy if self.accuracy.n else None
        rest = {"balanced_accuracy": balanced, "per_class": classes, "confusion": self.confusion.tolist()}
        return self.accuracy.to_dict() | rest

    def __float__(self) -> float:
        return self.accuracy.value

    def __str__(self) -> str:
        return str(self.accuracy)
