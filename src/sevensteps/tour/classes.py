"""All classes of the user's pictures, made small enough for exhibits that train networks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..data.dataloader import DataLoader
from ..data.dataloaders import DataLoaders
from ..randomness import torch_seeded
from ..training.learner import Learner
from .exhibit import collection_of, members_of, plain, shrunk

MOST = 600  # pictures of a split, or a few more


class AllClasses(NamedTuple):
    """Which class is it? For a small network, with a score for each class.

    `x` (float32, N×features) are training pictures, `shrunk`, each feature less its mean and divided by its spread;
    `y` (int64, N) are their labels. `valid_x` and `valid_y` are the same of validation pictures, whose pixels are
    `valid_pixels` (uint8, N×C×H×W).
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
        names = [plain(name) for name in dls.vocab or []]
        pixels, labels = [], []
        for split in ("train", "valid"):
            collection = collection_of(dls, split)
            chosen = torch.cat(members_of(collection, range(len(names)), -(-MOST // len(names))))
            pixels.append(collection.pixels_of(chosen))
            labels.append(collection.labels[chosen])
        x, valid_x = (shrunk(part).flatten(1) for part in pixels)
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
