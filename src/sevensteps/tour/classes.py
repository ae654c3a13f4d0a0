"""The user's pictures by their classes, two or all of them, small enough for exhibits that train on them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.dataloader import DataLoader
from ..data.dataloaders import DataLoaders
from ..data.pictures import PictureSet
from ..errors import RequestError
from ..insight.drawing import plain
from ..randomness import generator, torch_seeded
from ..training.learner import Learner
from .exhibit import collection_of

SIDE_GREY, SIDE_COLOUR, MOST_PICTURES = 10, 6, 150  # of each class; so little that torch needs one core only
MOST_LETTERS = 10  # of a class's name: figures say two of them in a line
MOST = 600  # pictures of all classes, or a few more


class TwoClasses(NamedTuple):
    """Is it the first class or the second? For a linear model: one score and a sigmoid decide between two.

    `x` (float64, N×features) are pictures averaged down to 10 × 10, in colour 6 × 6, none longer than 1; `y`
    (float64, N) is 1 for the first class and 0 for the second.
    """

    x: Tensor
    y: Tensor
    names: list[str]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, dls: DataLoaders, split: str = "train") -> TwoClasses:
        """The first two that train and valid have; of many pictures, every so many. Raises `RequestError` for fewer."""
        parts = [collection_of(dls, name) for name in {"train": 0, split: 0, **dls.splits} if name != "test"]
        present = set.intersection(*(set(part.labels.tolist()) for part in parts))
        if len(present) < 2:
            raise RequestError(
                "this exhibit tells two classes apart, and train and valid do not share two",
                hint="add pictures, so that two classes have some in both",
            )
        collection, both = collection_of(dls, split), sorted(present)[:2]
        chosen = torch.cat(_members(collection, both, MOST_PICTURES))
        x = _shrunk(collection.pixels_of(chosen)).double()
        names = [plain((dls.vocab or [])[label], MOST_LETTERS) for label in both]
        flat = (2 * x - 1).flatten(1) / x[0].numel() ** 0.5
        return cls(flat, (collection.labels[chosen] == both[0]).double(), names, tuple(x.shape[1:]))

    def random(self, columns: int = 1, seed: int = 0) -> Tensor:
        """Random weights, features × columns, the same ones every time."""
        return torch.randn(self.x.shape[1], columns, generator=generator(seed, "tour"), dtype=torch.float64)

    def loss(self, weights: Tensor) -> Any:  # a tensor, whose backward torch gives no types
        """`mnist_loss` of each column of `weights` (features × columns) by itself."""
        probs = (self.x @ weights).sigmoid()
        return torch.where(self.y[:, None] == 1, 1 - probs, probs).mean(0)

    def squared_error(self, weights: Tensor) -> Any:
        """The mean of (score - y)² of each column of `weights`; it curves by `curvatures` everywhere."""
        return (self.x @ weights - self.y[:, None]).square().mean(0)

    @property
    def curvatures(self) -> tuple[Tensor, Tensor]:
        """Of the squared error: how much it curves, least first, and the directions in which it does, as columns."""
        values, directions = torch.linalg.eigh(2 * self.x.T @ self.x / len(self.x))
        return values, directions

    def accuracy(self, weights: Tensor) -> Tensor:
        """The fraction of pictures that each column of `weights` (features × columns) names rightly."""
        return ((self.x @ weights > 0) == (self.y[:, None] == 1)).double().mean(0)


class AllClasses(NamedTuple):
    """Which class is it? For a small network, with a score for each class.

    `x` (float32, N×features) are training pictures, averaged down as for two classes, each feature less its mean and
    divided by its spread; `y` (int64, N) are their labels. `valid_x` and `valid_y` are the same of validation pictures,
    whose pixels are `valid_pixels` (uint8, N×C×H×W).
    """

    x: Tensor
    y: Tensor
    valid_x: Tensor
    valid_y: Tensor
    valid_pixels: Tensor
    names: list[str]

    @classmethod
    def of(cls, dls: DataLoaders) -> AllClasses:
        """Of each class about as many pictures, evenly chosen. Raises `RequestError` where there are none in memory."""
        names = [plain(name, MOST_LETTERS) for name in dls.vocab or []]
        pixels, labels = [], []
        for split in ("train", "valid"):
            collection = collection_of(dls, split)
            chosen = torch.cat(_members(collection, range(len(names)), -(-MOST // len(names))))
            pixels.append(collection.pixels_of(chosen))
            labels.append(collection.labels[chosen])
        x, valid_x = (_shrunk(part).flatten(1) for part in pixels)
        mean, spread = x.mean(0), x.std(0) + 0.1  # a pixel that is the same in all pictures has no spread
        return cls((x - mean) / spread, labels[0], (valid_x - mean) / spread, labels[1], pixels[1], names)

    def network(self, *hidden: int, seed: int = 0) -> nn.Sequential:
        """Linear layers with ReLU between them, `hidden` units wide; for one seed always of the same first weights."""
        sizes = [self.x.shape[1], *hidden, len(self.names)]
        with torch_seeded(seed, "tour"):
            layers = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
        return nn.Sequential(*layers[:-1])

    def loaders(self) -> DataLoaders:
        """The training pictures in shuffled batches of 64, and the validation pictures."""
        train, valid = (list(zip(x, y, strict=True)) for x, y in ((self.x, self.y), (self.valid_x, self.valid_y)))
        return DataLoaders(DataLoader(train, 64, shuffle=True), DataLoader(valid, 64))

    def learner(self, model: nn.Module, **options: Any) -> Learner:
        """A `Learner` of the `loaders` that prints nothing, and uses as many threads as the rest of the exhibit."""
        return Learner(self.loaders(), model, device="cpu", threads=torch.get_num_threads(), quiet=True, **options)


def _members(collection: PictureSet, classes: Iterable[int], most: int) -> list[Tensor]:
    """The indices of each class's pictures; of many, every so many."""
    members = [(collection.labels == label).nonzero().flatten() for label in classes]
    return [mine[:: max(1, -(-len(mine) // most))] for mine in members]


def _shrunk(pixels: Tensor) -> Tensor:
    """Pictures (uint8, N×C×H×W) averaged down to 10 × 10 at most, in colour 6 × 6: float32, 0 to 1."""
    side = min(SIDE_GREY if pixels.shape[1] == 1 else SIDE_COLOUR, *pixels.shape[2:])
    return F.adaptive_avg_pool2d(pixels.float(), side) / 255
