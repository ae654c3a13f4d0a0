"""Labelled data as they were read, before they are tensors: needs no torch, so that torch can be imported meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .copies import Copies, find_copies
from .decode import Header
from .listing import Refused
from .names import Names
from .preprocessing import Preprocessing


class Part(NamedTuple):
    """One split before labels are numbers: inputs (N first), N class names, N names for people; headers of files."""

    x: NDArray[Any]
    labels: list[str]
    names: Sequence[str]
    headers: Sequence[Header] | None = None


@dataclass
class LabelledData:
    """All that was read from one source. `splits` maps "train", "valid", "test" to their parts.

    `preprocessing` is how its pictures became pixels (None where the inputs are no pictures), `refused` the files
    that were not used, `vocab` the classes in their order where that is not the alphabet's, `sizes` how many pictures
    had each size.
    """

    where: str
    splits: dict[str, Part]
    preprocessing: Preprocessing | None = None
    refused: list[Refused] = field(default_factory=list)
    vocab: list[str] | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def copies(self) -> Copies:
        """Pictures that are there more than once, numbered through all splits in their order; of arrays, none."""
        return find_copies([part.x for part in self.splits.values()]) if self.preprocessing else Copies([], [], True)

    def copies_in(self, split: str) -> list[list[int]]:
        """The groups of copies within one split, by their numbers in it."""
        splits = list(self.splits)
        start = sum(len(self.splits[before].x) for before in splits[: splits.index(split)])
        inside = range(start, start + len(self.splits[split].x))
        groups = ([one - start for one in group if one in inside] for group in self.copies.groups)
        return [group for group in groups if len(group) > 1]

    def resized(self, preprocessing: Preprocessing) -> LabelledData:
        """The same pictures in another model's size and channels."""
        if self.preprocessing in (None, preprocessing):
            return self
        parts = {}
        for split, part in self.splits.items():
            pixels = [preprocessing.read(picture)[1] for picture in part.x.transpose(0, 2, 3, 1)]
            parts[split] = part._replace(x=np.stack(pixels) if pixels else part.x)
        return replace(self, splits=parts, preprocessing=preprocessing)


def from_arrays(arrays: dict[str, tuple[Any, Any]], where: str = "the arrays") -> LabelledData:
    """`LabelledData` from arrays or tensors in memory: `arrays` maps each split to (x, y).

    uint8 `x` are pictures: N×H×W, N×H×W×C or N×C×H×W with C 1 or 3. Any other `x` becomes float32 and is given to
    the model as it is. `y` are N labels: numbers or names. Raises `DataError` where the shapes do not fit, within a
    split or between the splits.
    """
    parts, preprocessing = {}, None
    first: NDArray[Any] | None = None
    for split, (x, y) in arrays.items():
        here = f"{where}, {split}"
        inputs, labels = _as_array(x, here), np.asarray(_on_cpu(y))
        if labels.ndim != 1 or not inputs.ndim or len(inputs) != len(labels):
            shapes = f"x has shape {inputs.shape} and y {labels.shape}"
            raise DataError(f"{here}: {shapes}", hint="expected one label a picture: y of shape (N,)")
        inputs = _as_pictures(inputs, here) if inputs.dtype == np.uint8 else inputs.astype(np.float32, copy=False)
        first = inputs if first is None else first
        if len(inputs) and len(first) and (inputs.dtype, inputs.shape[1:]) != (first.dtype, first.shape[1:]):
            raise DataError(
                f"{here}: x is {_kind(inputs)}, but of the split before it {_kind(first)}",
                hint="give all splits in one type and size",
            )
        if inputs.dtype == np.uint8:
            preprocessing = preprocessing or Preprocessing(*inputs.shape[1:])
        names = Names.counted(f"{split} #" if len(arrays) > 1 else "#", len(inputs))
        parts[split] = Part(inputs, [sys.intern(str(label)) for label in labels.tolist()], names)
    labels = np.asarray(_on_cpu(arrays["train"][1])) if "train" in arrays else np.empty(0)
    vocab = [str(number) for number in np.unique(labels)] if labels.dtype.kind in "iu" else None  # 2 before 10
    return LabelledData(where, parts, preprocessing, vocab=vocab)


def _on_cpu(value: Any) -> Any:
    """A tensor as the array that it is (bfloat16, which numpy does not know, as float32); anything else as it is."""
    if not hasattr(value, "detach"):
        return value
    tensor = value.detach().cpu()
    array: NDArray[Any] = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    return array


def _as_array(x: Any, where: str) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.require(_on_cpu(x), requirements=["C", "W"])  # copies what torch could not look into
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: x is no array of numbers: {error}", hint="give arrays of one shape") from error
    if array.dtype.kind not in "buif":
        raise DataError(f"{where}: x is no array of numbers: it holds {array.dtype}", hint="give arrays of one shape")
    return array


def _kind(x: NDArray[Any]) -> str:
    return f"{x.dtype} of {'×'.join(map(str, x.shape[1:]))}"


def _as_pictures(x: NDArray[Any], where: str) -> NDArray[Any]:
    if x.ndim == 3:
        return x[:, None]
    if x.ndim == 4 and x.shape[1] in (1, 3):
        return x
    if x.ndim == 4 and x.shape[3] in (1, 3):
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    raise DataError(f"{where}: x has shape {x.shape}", hint="expected N×H×W, N×H×W×C or N×C×H×W with C 1 or 3")
