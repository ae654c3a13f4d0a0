"""Any Python collection into shuffled mini-batches.

>>> [batch.tolist() for batch in DataLoader(range(7), batch_size=3)]
[[0, 1, 2], [3, 4, 5], [6]]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..errors import RequestError
from ..randomness import generator, permutation
from .augment import Augment
from .columns import Batched, as_batched

PART = 0.4  # of a GPU's free memory that the data may take


class DataLoader:
    """Mini-batches of a collection: a tuple of stacked columns each, or one tensor where items are no tuples.

    `collection` may be anything with a length and items (a list, `range(15)`, `list(zip(x, y))`, a torch
    `Dataset`), or an iterator, which is read once. Items of tensors and numbers become columns once, so that a
    batch is one gather; other items are collated as torch does it. The order of an epoch is a pure function of
    (seed, epoch); each `for` over the loader is the next epoch. `augment` changes `xb` of training batches.
    Raises `RequestError` for a batch size below 1, `DataError` for items that cannot be stacked.
    """

    def __init__(
        self,
        collection: Iterable[Any] | Batched,
        batch_size: int = 64,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        augment: Augment | None = None,
        seed: int = 0,
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise RequestError(f"batch_size is {batch_size!r}", hint="expected a whole number, 1 or more")
        self.collection = as_batched(collection)
        self.batch_size, self.shuffle, self.drop_last = batch_size, shuffle, drop_last
        self.augment, self.seed = augment, seed
        self.epoch = 0
        self._copy: tuple[torch.device, Batched] | None = None  # of the collection, on a GPU
        self.indices = torch.empty(0, dtype=torch.int64)  # of the batch given last

    @property
    def n(self) -> int:
        """How many items the collection has."""
        return len(self.collection)

    def __len__(self) -> int:
        """How many batches an epoch has."""
        return self.n // self.batch_size if self.drop_last else -(-self.n // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        self.epoch += 1
        return self.batches(seed=self.seed, epoch=self.epoch)

    def order(self, *, seed: int, epoch: int) -> Tensor:
        """The items' indices (int64, shape (n,)) in the order in which this epoch gives them."""
        if not self.shuffle:
            return torch.arange(self.n)
        return torch.from_numpy(permutation(self.n, seed, "order", epoch))

    def batches(self, *, seed: int, epoch: int, device: torch.device | None = None) -> Iterator[Any]:
        """The batches of one epoch, the same for the same seed and epoch.

        For a GPU, tensors that take no more than a part of its free memory are copied there once: a batch is then
        gathered and augmented there. Other batches come as they are, and are the caller's to copy.
        """
        order, collection = self.order(seed=seed, epoch=epoch), self.collection
        if device and device.type == "cuda":
            collection = self._resident(device)
            order = order.to(device)  # once an epoch, not a piece of it each step
        for step in range(len(self)):
            self.indices = order[step * self.batch_size : (step + 1) * self.batch_size]
            batch = collection.take_batch(self.indices)
            if self.augment:
                batch = _augmented(batch, self.augment, generator(seed, "augment", epoch, step))
            yield batch

    def _resident(self, device: torch.device) -> Batched:
        """The collection on `device`, where it is tensors and leaves most of the memory free; else as it is."""
        if self._copy is None or self._copy[0] != device:
            collection: Any = self.collection
            fits = hasattr(collection, "nbytes") and collection.nbytes < PART * torch.cuda.mem_get_info(device)[0]
            self._copy = device, collection.to(device) if fits else collection
        return self._copy[1]


def _augmented(batch: Any, augment: Augment, draws: torch.Generator) -> Any:
    """`batch` with its inputs changed: the whole of it, or the first part where it has several."""
    if isinstance(batch, Tensor):
        return augment(batch, draws)
    if not isinstance(batch, tuple):
        raise RequestError(
            f"a batch is a {type(batch).__name__}, which cannot be augmented",
            hint="make each item of the data (input, target), or leave out augment",
        )
    return augment(batch[0], draws), *batch[1:]
