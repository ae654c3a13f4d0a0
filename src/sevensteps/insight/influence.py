"""Which training pictures pulled an answer most, and which way: a step on them, seen from the last layer alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.dataloader import DataLoader
from ..data.pictures import PictureSet
from ..errors import RequestError
from .features import batch_size, seeing
from .neighbours import Least, check_picture


@dataclass(frozen=True, slots=True)
class Influence:
    """A training picture: `index` is its place in the collection, `true` its class.

    `strength` is how much a step of plain SGD on it, with a learning rate of 1, takes from the loss of the answer, to
    first order: above 0 it speaks for the answer, below 0 against it.
    """

    index: int
    name: str
    true: str
    strength: float


@dataclass(frozen=True)
class Influences:
    """The training pictures that speak most for an answer and most against it, the strongest first."""

    helping: list[Influence]
    opposing: list[Influence]

    def to_dict(self) -> dict[str, Any]:
        """As it stands in JSON."""
        return asdict(self)


def influences(
    model: nn.Module, collection: PictureSet, x: Tensor, label: int, vocab: Sequence[str], k: int = 8
) -> Influences | None:
    """The up to `k` pictures of `collection` that pull most towards class `label` for `x` (float, C×H×W), or away.

    The dot product of the gradients of the cross-entropy of both pictures with regard to the last linear layer, which
    is (p - y)·(p' - y') times f·f' + 1, for probabilities p, classes y and features f (Pruthi et al. 2020, "Estimating
    Training Data Influence by Tracing Gradient Descent", with the weights as they are now). None for a network whose
    scores are not made by a linear layer. Raises `RequestError` as `neighbours` does, and for an unknown class.
    """
    check_picture(collection, x, k)
    if not 0 <= label < len(vocab):
        raise RequestError(f"class {label} of {len(vocab)}", hint=f"expected 0 to {len(vocab) - 1}")
    helping, opposing = Least(k), Least(k)
    with seeing(model) as see:
        preds, features, layer = see(x[None])
        if features is None or layer is None:
            return None
        error, bias = _error(preds, torch.tensor([label])), float(layer.bias is not None)
        for xb, yb in DataLoader(collection, batch_size(x)):
            seen = see(xb)
            assert seen.features is not None
            strength = (_error(seen.preds, yb) * error).sum(1) * ((seen.features * features).sum(1) + bias)
            helping.add(-strength, strength > 0)
            opposing.add(strength, strength < 0)
    return Influences(
        [Influence(index, name, true, -value) for index, name, true, value in helping.rows(collection, vocab)],
        [Influence(*row) for row in opposing.rows(collection, vocab)],
    )


def _error(preds: Tensor, targets: Tensor) -> Tensor:
    """The probabilities less 1 at the true class: the gradient of the cross-entropy with regard to the scores."""
    return preds.softmax(1) - F.one_hot(targets.to(preds.device), preds.shape[1])
