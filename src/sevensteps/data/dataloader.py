"""Any Python collection into shuffled mini-batches.

>>> [batch.tolist() for batch in DataLoader(range(7), batch_size=3)]
[[0, 1, 2], [3, 4, 5], [6]]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.utils.data
from torch import Tensor

from ..errors import DataError, RequestError
from ..randomness import generator, permutation, seed_for
from .augment import Augment
from .columns import Batched, Items, as_batched

PART = 0.4  # of a GPU's free memory that the data may take


class DataLoader:
    """Mini-batches of a collection: a tuple of stacked columns each, or one tensor where items are no tuples.

    `collection` may be anything with a length and items (a list, `range(15)`, `list(zip(x, y))`, a torch
    `Dataset`), or an iterator, which is read once. Items of tensors and numbers become columns once, so that a
    batch is one gather; other items are collated as torch does it. The order of an epoch is a pure function of
    (seed, epoch); each `for` over the loader is the next epoch. `augment` changes `xb` of training batches.
    Items that are no columns are made by torch's own loader, in so many `workers` (processes; 0 is this one).
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
        workers: int = 0,
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise RequestError(f"batch_size is {batch_size!r}", hint="expected a whole number, 1 or more")
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
            raise RequestError(f"workers is {workers!r}", hint="expected a whole number, 0 or more")
        self.collection = as_batched(collection)
        self.batch_size, self.shuffle, self.drop_last = batch_size, shuffle, drop_last
        self.augment, self.seed, self.workers = augment, seed, workers
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

    def batches(self, *, seed: int, epoch: int, device: torch.device | None = None, first: int = 0) -> Iterator[Any]:
        """The batches of one epoch from the one numbered `first` on, the same for the same seed and epoch.

        For a GPU, tensors that take no more than a part of its free memory are copied there once: a batch is then
        gathered and augmented there. Batches of larger tensors go to the device as they are made; what is stacked from
        other items is the caller's to copy.
        """
        order, collection = self.order(seed=seed, epoch=epoch), self.collection
        if device and device.type == "cuda":
            collection = self._resident(device)
            if collection is not self.collection:
                order = order.to(device)  # once an epoch, not a piece of it each step
        chosen = order.split(self.batch_size)[: len(self)]
        made = None
        if isinstance(collection, Items):
            pinned = bool(device and device.type == "cuda")
            made = _made(
                _Steps(collection, chosen, seed, epoch),
                sampler=range(first, len(chosen)), num_workers=self.workers, pin_memory=pinned,
            )  # fmt: skip
        for step in range(first, len(chosen)):
            self.indices = indices = chosen[step]
            batch = next(made) if made else collection.take_batch(indices, device)
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


def _made(steps: _Steps, **options: Any) -> Iterator[Any]:
    """The batches of `steps`, made by torch's own loader."""
    draws = generator(steps.seed, "workers", steps.epoch)  # else it draws from the global one
    loader = torch.utils.data.DataLoader(steps, batch_size=None, collate_fn=_as_it_is, generator=draws, **options)
    for batch in loader:
        if isinstance(batch, DataError):
            raise batch
        yield batch


class _Steps(torch.utils.data.Dataset[Any]):
    """The batches of an epoch by their step: whichever process makes one, it draws the same random numbers."""

    def __init__(self, items: Items, chosen: Sequence[Tensor], seed: int, epoch: int) -> None:
        self.items, self.chosen, self.seed, self.epoch = items, chosen, seed, epoch

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, step: int) -> Any:
        with torch.random.fork_rng(devices=()):  # a worker must not touch the GPU
            torch.default_generator.manual_seed(seed_for(self.seed, "items", self.epoch, step))
            try:
                return self.items.take_batch(self.chosen[step])
            except DataError as error:  # torch would make another of it on its way from a worker
                return error


def _as_it_is(batch: Any) -> Any:
    return batch


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
