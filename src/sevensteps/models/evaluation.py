"""How good the answers are: right and wrong, class by class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..interval import Accuracy


@dataclass(frozen=True)
class Evaluation:
    """`confusion[i, j]` pictures of class i were called class j (int64, classes × classes)."""

    vocab: tuple[str, ...]
    confusion: np.ndarray

    @classmethod
    def of(cls, predicted: Tensor, targets: Tensor, vocab: list[str] | tuple[str, ...]) -> Evaluation:
        """From predicted and true labels, int64, shape (N,) each."""
        k = len(vocab)
        cells = (targets.flatten().cpu() * k + predicted.flatten().cpu()).to(torch.int64)
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
        """The mean of the classes' accuracies: each class counts the same, however many pictures it has."""
        return float(np.mean([score.value for score in self.per_class.values() if score.n]))

    def __float__(self) -> float:
        return self.accuracy.value

    def __str__(self) -> str:
        return str(self.accuracy)
