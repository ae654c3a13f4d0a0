"""What a model's answers to one split say: which classes it confuses, which pictures it gets most wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import RequestError
from ..models.evaluation import Evaluation
from ..training.result import Scored


class Confused(NamedTuple):
    """So many pictures of the class `true` were called `predicted`."""

    true: str
    predicted: str
    times: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one picture: `index` is its place in the split, `probability` that of the predicted class."""

    name: str
    index: int
    true: str
    predicted: str
    probability: float
    loss: float

    @property
    def right(self) -> bool:
        """Whether the predicted class is the true one."""
        return self.true == self.predicted


class ClassScore(NamedTuple):
    """`precision`: of the pictures called so, the part that are; `recall`: of those that are, the part called so.

    `f1` is their harmonic mean, `n` how many pictures the class has. Not a number where it would divide by 0.
    """

    name: str
    precision: float
    recall: float
    f1: float
    n: int


@dataclass(frozen=True, eq=False)
class Interpretation:
    """The answers for one split: `preds` (raw scores, N×classes), `targets` (int64, N), class names, picture names.

    Raises `RequestError` where these do not fit together.

    >>> preds, targets = torch.tensor([[4.0, 0.0], [3.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 1, 1])
    >>> interpretation = Interpretation(preds, targets, ("cat", "dog"), ("a.png", "b.png", "c.png"))
    >>> interpretation.most_confused()
    [Confused(true='dog', predicted='cat', times=1)]
    >>> [answer.name for answer in interpretation.top_losses(2)]
    ['b.png', 'c.png']
    """

    preds: Tensor
    targets: Tensor
    vocab: Sequence[str]
    names: Sequence[str]

    def __post_init__(self) -> None:
        n, classes = len(self.names), len(self.vocab)
        if self.preds.shape != (n, classes) or self.targets.shape != (n,):
            raise RequestError(
                f"preds have shape {tuple(self.preds.shape)} and targets {tuple(self.targets.shape)}, "
                f"with {n} names and {classes} classes",
                hint=f"expected preds of shape ({n}, {classes}) and targets of shape ({n},)",
            )

    @classmethod
    def of(cls, scored: Scored, vocab: Sequence[str], names: Sequence[str]) -> Interpretation:
        """From what the main job scored: `result.scored["valid"]`."""
        return cls(scored.preds, scored.targets, vocab, names)

    @cached_property
    def probs(self) -> Tensor:
        """The probability of each class: float32, N×classes, on the CPU."""
        return self.preds.detach().cpu().float().softmax(1)

    @cached_property
    def predicted(self) -> Tensor:
        """The class with the greatest score, for each picture: int64, shape (N,)."""
        return self.preds.detach().cpu().argmax(1)

    @cached_property
    def losses(self) -> Tensor:
        """The cross-entropy of each picture: float32, shape (N,)."""
        return F.cross_entropy(self.preds.detach().cpu().float(), self.targets.cpu(), reduction="none")

    @cached_property
    def right(self) -> Tensor:
        """Whether each answer is right: bool, shape (N,)."""
        return self.predicted == self.targets.cpu()

    @cached_property
    def evaluation(self) -> Evaluation:
        """The same answers as counts, with the accuracy and its interval."""
        return Evaluation.of(self.predicted, self.targets, tuple(self.vocab))

    @property
    def confusion(self) -> np.ndarray:
        """`confusion[i, j]` pictures of class i were called class j: int64, classes × classes."""
        return self.evaluation.confusion

    def most_confused(self, minimum: int = 1) -> list[Confused]:
        """Pairs of different classes confused at least `minimum` times, most often first, else in the vocab's order."""
        wrong = self.confusion * ~np.eye(len(self.vocab), dtype=bool)
        pairs = [(int(i), int(j)) for i, j in np.argwhere(wrong >= max(minimum, 1))]
        found = [Confused(self.vocab[i], self.vocab[j], int(wrong[i, j])) for i, j in pairs]
        return sorted(found, key=lambda pair: -pair.times)

    def top_losses(self, k: int, *, right: bool | None = None) -> list[Answer]:
        """The `k` answers with the greatest loss, greatest first; of right or wrong answers only, if `right` is given.

        Raises `RequestError` for a negative `k`.
        """
        if k < 0:
            raise RequestError(f"k is {k}", hint="expected how many answers to give, 0 or more")
        order = self.losses.argsort(descending=True, stable=True)
        if right is not None:
            order = order[self.right[order] == right]
        return self.answers(order[:k])

    def surest(self) -> list[Answer]:
        """The right answer with the least loss of each class, in the vocab's order; none for a class without one."""
        least = self.losses.masked_fill(~self.right, torch.inf)
        chosen = []
        for label in range(len(self.vocab)):
            of_class = least.masked_fill(self.targets.cpu() != label, torch.inf)
            if len(of_class) and torch.isfinite(of_class.min()):
                chosen.append(int(of_class.argmin()))
        return self.answers(chosen)

    def answers(self, indices: Sequence[int] | Tensor) -> list[Answer]:
        """The answers to the pictures at `indices`, as rows for people."""
        return [
            Answer(
                name=self.names[i],
                index=i,
                true=self.vocab[int(self.targets[i])],
                predicted=self.vocab[int(self.predicted[i])],
                probability=float(self.probs[i, self.predicted[i]]),
                loss=float(self.losses[i]),
            )
            for i in map(int, indices)
        ]

    def per_class(self) -> list[ClassScore]:
        """Precision, recall, F1 and number of pictures of each class, in the vocab's order."""
        hits, called, n = self.confusion.diagonal(), self.confusion.sum(0), self.confusion.sum(1)
        columns = (_ratio(hits, called), _ratio(hits, n), _ratio(2 * hits, called + n), n)
        rows = zip(self.vocab, *(column.tolist() for column in columns), strict=True)
        return [ClassScore(*row) for row in rows]


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return ratio
