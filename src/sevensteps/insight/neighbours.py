"""The training pictures that are most like one picture: by a network's features, and by their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..data.dataloader import DataLoader
from ..data.pictures import PictureSet
from ..errors import RequestError
from ..models.pixel_similarity import PixelSimilarity
from .features import batch_size, seeing


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A training picture: `index` is its place in the collection, `true` its class."""

    index: int
    name: str
    true: str
    distance: float


@dataclass(frozen=True)
class Neighbours:
    """The training pictures nearest to a picture, nearest first, by features and by pixels.

    `features` is None for a network whose scores are not made by a linear layer. `same` are pictures with the very
    same pixels: the picture itself, or copies of it. They are in neither of the other lists.
    """

    features: list[Neighbour] | None
    pixels: list[Neighbour]
    same: list[Neighbour]

    def to_dict(self) -> dict[str, Any]:
        """As it stands in JSON."""
        return asdict(self)


def neighbours(model: nn.Module, collection: PictureSet, x: Tensor, vocab: Sequence[str], k: int = 8) -> Neighbours:
    """The up to `k` pictures of `collection` (as they are, not augmented) that are nearest to `x` (float, C×H×W).

    By pixels: the mean absolute difference, 0 to 1, as `PixelSimilarity` has it. By features (what the last linear
    layer takes): the Euclidean distance. The scores are linear in the features, so that a small one means nearly the
    same scores; cosine distance would call a faint and a strong feature the same, and has no value for a picture that
    shows no feature. One pass, in batches. Raises `RequestError` for `k` below 1 or a picture of another shape.
    """
    check_picture(collection, x, k)
    by_features, by_pixels, same = Least(k), Least(k), Least(k)
    with seeing(model) as see:
        here = see(x[None]).features
        for xb, _ in DataLoader(collection, batch_size(x)):
            difference = (xb - x.cpu()).abs().flatten(1).mean(1)
            same.add(difference, difference == 0)
            by_pixels.add(difference, difference > 0)
            if here is not None and (there := see(xb).features) is not None:
                by_features.add((there - here).norm(dim=1), difference > 0)
    features, pixels, copies = (
        [Neighbour(*row) for row in least.rows(collection, vocab)] for least in (by_features, by_pixels, same)
    )
    return Neighbours(None if here is None else features, pixels, copies)


def archetype_distances(similarity: PixelSimilarity, x: Tensor) -> dict[str, float]:
    """The distance of `x` (float, C×H×W) to the mean picture of each class, by its name, nearest first."""
    distances = similarity.distances(x[None])[0].tolist()
    names = similarity.vocab or [str(label) for label in range(len(distances))]
    return dict(sorted(zip(names, distances, strict=True), key=lambda pair: pair[1]))


def check_picture(collection: PictureSet, x: Tensor, k: int) -> None:
    """Raise `RequestError` where `k` pictures like `x` cannot be looked for in `collection`."""
    if k < 1:
        raise RequestError(f"k is {k}", hint="expected how many pictures to find, 1 or more")
    shape = tuple(collection.store.shape[1:])
    if x.shape != shape or not x.is_floating_point():
        raise RequestError(f"a picture of shape {tuple(x.shape)} and type {x.dtype}", hint=f"expected float, {shape}")


class Least:
    """The `k` pictures of a collection with the least values so far; of equal ones those that come first."""

    def __init__(self, k: int) -> None:
        self.k, self.looked_at = k, 0
        self.values, self.indices = torch.empty(0), torch.empty(0, dtype=torch.int64)

    def add(self, values: Tensor, wanted: Tensor) -> None:
        """The values (N) of the next N pictures, and which of them count (bool, N)."""
        new = wanted.cpu().nonzero()[:, 0]
        values = torch.cat([self.values, values.cpu()[new]])
        order = values.argsort(stable=True)[: self.k]
        self.values, self.indices = values[order], torch.cat([self.indices, self.looked_at + new])[order]
        self.looked_at += len(wanted)

    def rows(self, collection: PictureSet, vocab: Sequence[str]) -> list[tuple[int, str, str, float]]:
        """Index, name, class and value of each, the least first."""
        pairs = zip(self.indices.tolist(), self.values.tolist(), strict=True)
        return [(index, collection.names[index], vocab[int(collection.labels[index])], value) for index, value in pairs]
