"""A collection as something that gives many items at once: columns where it can be, item by item where not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import TensorDataset, default_collate

from ..devices import sent
from ..errors import DataError

Indices = Sequence[int] | NDArray[np.int64]


class Batched(Protocol):
    """A collection that can give many items at once."""

    def __len__(self) -> int: ...
    def take_batch(self, indices: Tensor, device: torch.device | None = None) -> Any:
        """The items at `indices` (int64, shape (N,)), collated; tensors on `device`, if one is named."""


class Columns:
    """Tensors of equal length, read side by side; `single` where items are no tuples."""

    def __init__(self, tensors: Sequence[Tensor], *, single: bool = False) -> None:
        self.tensors, self.single = tuple(tensors), single

    def __len__(self) -> int:
        return len(self.tensors[0])

    @property
    def nbytes(self) -> int:
        """How many bytes of memory the tensors take."""
        return sum(column.nbytes for column in self.tensors)

    def to(self, device: torch.device) -> Columns:
        """The same rows on another device."""
        return Columns([column.to(device) for column in self.tensors], single=self.single)

    @property
    def labels(self) -> Tensor:
        """The second column: the targets."""
        return self.tensors[1]

    def take(self, indices: Indices) -> Columns:
        """The rows at `indices`, as columns of their own."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return Columns([column.index_select(0, chosen) for column in self.tensors], single=self.single)

    def take_batch(self, indices: Tensor, device: torch.device | None = None) -> Any:
        """The rows at `indices` of every column."""
        indices = indices.to(self.tensors[0].device)
        rows = [sent(column.index_select(0, indices), device) for column in self.tensors]
        return rows[0] if self.single else tuple(rows)


class Items:
    """Any sequence: its items are taken one by one and collated as torch does it."""

    def __init__(self, items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def take_batch(self, indices: Tensor, device: torch.device | None = None) -> Any:
        """The items at `indices`, stacked; strings and other objects as tuples. They stay where they were made."""
        items = [self.items[i] for i in indices.tolist()]
        try:
            batch = default_collate(items)
        except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
            raise DataError(
                f"items like {type(items[0]).__name__} cannot be stacked into a batch: {error}",
                hint="give tensors, arrays or numbers of one shape; pictures of mixed sizes must be resized first",
            ) from error
        return tuple(batch) if isinstance(batch, list) else batch


def as_batched(collection: Any) -> Batched:
    """`collection` itself where it gives batches; else its columns or items. Raises `DataError` if it is none."""
    if hasattr(collection, "take_batch") and hasattr(collection, "__len__"):
        return collection  # type: ignore[no-any-return]
    if isinstance(collection, TensorDataset):
        return Columns(collection.tensors)
    if isinstance(collection, Tensor) and collection.ndim:
        return Columns([collection], single=True)
    if not hasattr(collection, "__getitem__") or isinstance(collection, dict):
        if not isinstance(collection, Iterable):
            raise _no_collection(collection)
        collection = list(collection)
    try:
        len(collection)
    except TypeError as error:
        raise _no_collection(collection) from error
    return _columns(collection) or Items(collection)


def _no_collection(value: Any) -> DataError:
    hint = "give something with items and a length: a list, a range, a tensor, a torch Dataset"
    return DataError(f"{type(value).__name__} is no collection with a length", hint=hint)


def _columns(collection: Collection[Any]) -> Columns | None:
    """The collection as columns, where it is a list, tuple or range of (tuples of) numbers and equal tensors."""
    if not isinstance(collection, (list, tuple, range)) or not collection:
        return None
    single = not isinstance(collection[0], tuple)
    rows: Any = ((item,) for item in collection) if single else collection
    try:
        columns = list(zip(*rows, strict=True))
        return Columns([_stack(column) for column in columns], single=single)
    except (TypeError, ValueError, RuntimeError):
        return None  # ragged or not numbers: items are collated one by one


def _stack(column: Sequence[Any]) -> Tensor:
    first = column[0]
    if isinstance(first, Tensor):
        if any(item.dtype != first.dtype for item in column):
            raise TypeError("tensors of several types")
        return torch.stack(list(column))
    if isinstance(first, (bool, int, float)) and all(type(item) is type(first) for item in column):
        dtype = torch.float64 if isinstance(first, float) else None  # as torch's default_collate
        return torch.tensor(column, dtype=dtype)
    raise TypeError("not numbers")
