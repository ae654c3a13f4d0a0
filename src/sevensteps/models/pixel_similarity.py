"""Pixel similarity: which class's average picture does this one look most like?

The baseline that any network must beat. fastbook, chapter 4, "First Try: Pixel Similarity".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..data.columns import as_batched
from ..data.dataloader import DataLoader
from ..errors import DataError, RequestError
from .evaluation import Evaluation
from .registry import Architecture, register

DISTANCES = ("l1", "rmse")


class PixelSimilarity(nn.Module):
    """The archetype of each class is the mean of its training pictures; the nearest archetype is the answer.

    `distance` is "l1", the mean absolute difference of pixels, or "rmse", the root of the mean squared one.
    `archetypes` has shape (classes, *input_shape), pixels 0 to 1. As a module it maps `xb` to `preds`: minus the
    distance to each archetype, so that the greatest score is the nearest. (The softmax of such scores, which a
    `Predictor` gives, ranks the classes; it is no calibrated probability.)

    >>> black, white = torch.zeros(3, 1, 2, 2), torch.ones(3, 1, 2, 2)
    >>> pixels, labels = torch.cat([black, white]), torch.tensor([0, 0, 0, 1, 1, 1])
    >>> similarity = PixelSimilarity().fit((pixels, labels))
    >>> similarity.predict(torch.full((1, 1, 2, 2), 0.8)).tolist()
    [1]
    """

    archetypes: Tensor

    def __init__(self, distance: str = "l1") -> None:
        super().__init__()
        if distance not in DISTANCES:
            raise RequestError(f"distance is {distance!r}", hint="expected 'l1' or 'rmse'")
        self.distance = distance
        self.vocab: list[str] | None = None
        self.register_buffer("archetypes", torch.empty(0))

    def fit(self, data: Iterable[Any] | tuple[Tensor, Tensor], vocab: list[str] | None = None) -> PixelSimilarity:
        """Take the mean picture of each class; one pass.

        `data` is a training loader, or (x, y) with x float, N×…, and y int64, N. `vocab` names the classes.
        Raises `DataError` for no pictures, labels that are not whole numbers, or a class without a picture.
        """
        sums, counts = None, torch.zeros(0, dtype=torch.int64)
        for xb, yb in _batches(data):
            labels = _labels(yb)
            if vocab and int(labels.max()) >= len(vocab):
                raise DataError(f"a label is {labels.max()}, and vocab has {len(vocab)} names", hint="name every class")
            classes = max(len(counts), int(labels.max()) + 1, len(vocab or ()))
            if sums is None:
                sums = torch.zeros(classes, *xb.shape[1:], dtype=torch.float64)
            grown = classes - len(counts)
            counts = torch.cat([counts, counts.new_zeros(grown)])
            sums = torch.cat([sums, sums.new_zeros(classes - len(sums), *sums.shape[1:])])
            sums.index_add_(0, labels, xb.cpu().to(sums.dtype))
            counts += torch.bincount(labels, minlength=classes)
        if sums is None:
            raise DataError("no pictures to take the mean of", hint="the training loader is empty")
        empty = (counts == 0).nonzero().flatten().tolist()
        if empty:
            named = [vocab[i] if vocab else str(i) for i in empty[:5]]
            raise DataError(f"no picture of class {', '.join(named)} to take the mean of", hint="add some to train")
        self.archetypes = (sums / counts.view(-1, *[1] * (sums.ndim - 1))).float()
        self.vocab = list(vocab) if vocab else None
        arguments: dict[str, int | float | str | bool] = {"distance": self.distance}
        shape = tuple(self.archetypes.shape[1:])
        self.architecture = Architecture("pixel_similarity", shape, len(counts), arguments)
        return self

    def distances(self, x: Tensor) -> Tensor:
        """The distance of each picture (N×…) to each archetype: float32, N×classes, 0 to 1.

        Every picture is compared with every archetype, as `(x[:, None] - archetypes).abs().mean(…)` would by
        broadcasting; `torch.cdist` does it without making the N × classes × pixels differences.
        """
        if not len(self.archetypes):
            raise RequestError("PixelSimilarity has no archetypes yet", hint="call fit(dls.train) first")
        if x.shape[1:] != self.archetypes.shape[1:]:
            raise RequestError(
                f"pictures of shape {tuple(x.shape)}",
                hint=f"expected (N, {', '.join(map(str, self.archetypes.shape[1:]))})",
            )
        flat, means = x.flatten(1).float(), self.archetypes.flatten(1).to(x.device)
        n = means.shape[1]
        if self.distance == "l1":
            return torch.cdist(flat, means, p=1).div(n)
        return torch.cdist(flat, means, compute_mode="donot_use_mm_for_euclid_dist").div(n**0.5)

    def forward(self, xb: Tensor) -> Tensor:
        """Minus the distances: N×classes."""
        return -self.distances(xb)

    def predict(self, x: Tensor) -> Tensor:
        """The label of the nearest archetype for each picture: int64, shape (N,)."""
        return self.distances(x).argmin(1)

    def evaluate(self, data: Iterable[Any] | tuple[Tensor, Tensor], vocab: list[str] | None = None) -> Evaluation:
        """How many of the pictures of a loader, or of (x, y), it names rightly, with the interval."""
        pairs = [(self.predict(xb).cpu(), _labels(yb)) for xb, yb in _batches(data)]
        if not pairs:
            raise DataError("no pictures to evaluate on", hint="the loader is empty")
        names = vocab or self.vocab or [str(i) for i in range(len(self.archetypes))]
        predicted, targets = (torch.cat(column) for column in zip(*pairs, strict=True))
        return Evaluation.of(predicted, targets, names)


@register
def pixel_similarity(input_shape: tuple[int, ...], classes: int, *, distance: str = "l1") -> nn.Module:
    """The baseline as a module without archetypes yet: for a model folder to load them into."""
    model = PixelSimilarity(distance)
    model.archetypes = torch.zeros(classes, *input_shape)
    return model


def _batches(data: Any) -> Iterable[tuple[Tensor, Tensor]]:
    """Batches as they are, without shuffling or augmentation where it is one of our loaders."""
    if isinstance(data, DataLoader):
        return DataLoader(data.collection, max(data.batch_size, 256))
    if isinstance(data, tuple) and len(data) == 2 and hasattr(data[0], "shape"):
        x, y = map(torch.as_tensor, data)
        if len(x) != len(y):
            raise DataError(f"{len(x)} pictures and {len(y)} labels", hint="expected one label a picture")
        return DataLoader(as_batched(torch.utils.data.TensorDataset(x, y)), 1024)
    return data  # type: ignore[no-any-return]


def _labels(yb: Tensor) -> Tensor:
    labels = yb.flatten().cpu()
    if labels.is_floating_point() or (len(labels) and int(labels.min()) < 0):
        raise DataError(f"labels of type {labels.dtype}", hint="expected whole numbers from 0, one a picture")
    return labels.long()
