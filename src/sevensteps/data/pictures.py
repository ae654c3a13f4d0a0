"""Pictures in memory: uint8 pixels and labels. Decoded once, gathered ever after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..devices import sent
from .columns import Columns, Indices
from .labelled import LabelledData
from .listing import check_known
from .names import Names
from .preprocessing import as_input


@dataclass
class PictureSet:
    """Labelled pictures: `labels` (int64, N) and the pictures' `names` for people.

    `store` (uint8, M×C×H×W) is where their pixels are, in its `rows` (int64, N), or all of it: parts of one set share
    the pixels of the whole.
    """

    store: Tensor
    labels: Tensor
    names: Sequence[str]
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def nbytes(self) -> int:
        """How many bytes of memory their tensors take."""
        return self.store.nbytes + self.labels.nbytes

    def to(self, device: torch.device) -> PictureSet:
        """The same pictures on another device."""
        rows = None if self.rows is None else self.rows.to(device)
        return PictureSet(self.store.to(device), self.labels.to(device), self.names, rows)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        label = int(self.labels[index])
        return as_input(self.pixels_of(torch.tensor([index % len(self)]))[0]), label

    @property
    def pixels(self) -> Tensor:
        """All their pixels: uint8, N×C×H×W."""
        return self.store if self.rows is None else self.store.index_select(0, self.rows)

    def pixels_of(self, indices: Tensor) -> Tensor:
        """The pixels (uint8, N×C×H×W) of the pictures at `indices` (int64, N): one gather."""
        indices = indices.to(self.store.device)
        rows = indices if self.rows is None else self.rows.index_select(0, indices)
        return self.store.index_select(0, rows)

    def take_batch(self, indices: Tensor, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        """`xb` (float32, N×C×H×W, 0 to 1) and `yb` (int64, N) of the pictures at `indices`; bytes go to a device."""
        labels = self.labels.index_select(0, indices.to(self.labels.device))
        return as_input(sent(self.pixels_of(indices), device)), sent(labels, device)

    def take(self, indices: Indices) -> PictureSet:
        """The pictures at `indices`, as a set of their own."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        rows = chosen if self.rows is None else self.rows.index_select(0, chosen)
        names = Names(self.names.__getitem__, chosen.numpy())
        return PictureSet(self.store, self.labels.index_select(0, chosen), names, rows)


def numbered(data: LabelledData, split: str, vocab: Sequence[str]) -> PictureSet | Columns:
    """One split with its class names as indices into `vocab`. Raises `DataError` for a class not in it."""
    x, labels, names, _ = data.splits[split]
    check_known(labels, vocab, split, data.where)
    index = {name: number for number, name in enumerate(vocab)}
    y = torch.from_numpy(np.fromiter(map(index.__getitem__, labels), np.int64, len(labels)))
    inputs = torch.from_numpy(x)
    return PictureSet(inputs, y, names) if inputs.dtype == torch.uint8 else Columns([inputs, y])
