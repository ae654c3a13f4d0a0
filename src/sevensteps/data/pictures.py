"""Pictures in memory: uint8 pixels and labels. Decoded once, gathered ever after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .columns import Columns
from .labelled import LabelledData
from .listing import check_known
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

    def take_batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """`xb` (float32, N×C×H×W, 0 to 1) and `yb` (int64, N) of the pictures at `indices`."""
        return as_input(self.pixels_of(indices)), self.labels.index_select(0, indices.to(self.labels.device))

    def take(self, indices: Sequence[int]) -> PictureSet:
        """The pictures at `indices`, as a set of their own."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        rows = chosen if self.rows is None else self.rows[chosen]
        return PictureSet(self.store, self.labels[chosen], Picked(self.names, chosen), rows)


class Picked(Sequence[str]):
    """Some of the names of a whole set, looked up when they are asked for."""

    def __init__(self, names: Sequence[str], chosen: Tensor) -> None:
        self.names, self.chosen = names, chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: Any) -> Any:
        chosen = self.chosen[index].tolist()
        return self.names[chosen] if isinstance(chosen, int) else [self.names[it] for it in chosen]


def numbered(data: LabelledData, split: str, vocab: Sequence[str]) -> PictureSet | Columns:
    """One split with its class names as indices into `vocab`. Raises `DataError` for a class not in it."""
    x, labels, names = data.splits[split]
    check_known(labels, vocab, split, data.where)
    index = {name: number for number, name in enumerate(vocab)}
    y = torch.tensor([index[label] for label in labels], dtype=torch.int64)
    inputs = torch.from_numpy(x)
    return PictureSet(inputs, y, names) if inputs.dtype == torch.uint8 else Columns([inputs, y])
