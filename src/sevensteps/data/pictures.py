"""Pictures in memory: uint8 pixels and labels. Decoded once, gathered ever after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from .columns import Columns
from .listing import Refused, check_known
from .preprocessing import Preprocessing, as_input


@dataclass
class PictureSet:
    """`pixels` (uint8, N×C×H×W), `labels` (int64, N) and the pictures' `names` for people."""

    pixels: Tensor
    labels: Tensor
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return as_input(self.pixels[index]), int(self.labels[index])

    def take_batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """One gather: `xb` (float32, N×C×H×W, 0 to 1) and `yb` (int64, N) of the pictures at `indices`."""
        pixels = self.pixels.index_select(0, indices.to(self.pixels.device))
        return as_input(pixels), self.labels.index_select(0, indices.to(self.labels.device))

    def take(self, indices: Sequence[int]) -> PictureSet:
        """The pictures at `indices`, as a set of their own."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return PictureSet(self.pixels[chosen], self.labels[chosen], [self.names[i] for i in chosen.tolist()])


class Part(NamedTuple):
    """One split before labels are numbers: inputs (N first), N class names, N names for people."""

    x: Tensor
    labels: list[str]
    names: list[str]


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

    def numbered(self, split: str, vocab: Sequence[str]) -> PictureSet | Columns:
        """One split with its class names as indices into `vocab`. Raises `DataError` for a class not in it."""
        x, labels, names = self.splits[split]
        check_known(labels, vocab, split, self.where)
        index = {name: number for number, name in enumerate(vocab)}
        y = torch.tensor([index[label] for label in labels], dtype=torch.int64)
        return PictureSet(x, y, names) if x.dtype == torch.uint8 else Columns([x, y])

    def resized(self, preprocessing: Preprocessing) -> LabelledData:
        """The same pictures in another model's size and channels."""
        if self.preprocessing in (None, preprocessing):
            return self
        parts = {}
        for split, (x, labels, names) in self.splits.items():
            pictures = x.permute(0, 2, 3, 1).numpy()
            pixels = [preprocessing.pixels(picture) for picture in pictures]
            parts[split] = Part(torch.stack(pixels) if pixels else x, labels, names)
        return replace(self, splits=parts, preprocessing=preprocessing)


def from_arrays(arrays: dict[str, tuple[Any, Any]], where: str = "the arrays") -> LabelledData:
    """`LabelledData` from arrays or tensors in memory: `arrays` maps each split to (x, y).

    uint8 `x` are pictures: N×H×W, N×H×W×C or N×C×H×W with C 1 or 3. Any other `x` becomes float32 and is given to
    the model as it is. `y` are N labels: numbers or names. Raises `DataError` where the shapes do not fit, within a
    split or between the splits.
    """
    parts, preprocessing = {}, None
    first: Tensor | None = None
    for split, (x, y) in arrays.items():
        here = f"{where}, {split}"
        inputs, labels = _as_tensor(x, here), np.asarray(_on_cpu(y))
        if labels.ndim != 1 or not inputs.ndim or len(inputs) != len(labels):
            shapes = f"x has shape {tuple(inputs.shape)} and y {labels.shape}"
            raise DataError(f"{here}: {shapes}", hint="expected one label a picture: y of shape (N,)")
        inputs = _as_pictures(inputs, here) if inputs.dtype == torch.uint8 else inputs.float()
        first = inputs if first is None else first
        if len(inputs) and len(first) and (inputs.dtype, inputs.shape[1:]) != (first.dtype, first.shape[1:]):
            raise DataError(
                f"{here}: x is {_kind(inputs)}, but of the split before it {_kind(first)}",
                hint="give all splits in one type and size",
            )
        if inputs.dtype == torch.uint8:
            preprocessing = preprocessing or Preprocessing(*inputs.shape[1:])
        names = [f"{split} #{number}" if len(arrays) > 1 else f"#{number}" for number in range(len(inputs))]
        parts[split] = Part(inputs, [str(label) for label in labels], names)
    labels = np.asarray(_on_cpu(arrays["train"][1])) if "train" in arrays else np.empty(0)
    vocab = [str(number) for number in np.unique(labels)] if labels.dtype.kind in "iu" else None  # 2 before 10
    return LabelledData(where, parts, preprocessing, vocab=vocab)


def _on_cpu(y: Any) -> Any:
    return y.cpu() if isinstance(y, Tensor) else y


def _as_tensor(x: Any, where: str) -> Tensor:
    if isinstance(x, Tensor):
        return x.detach().cpu()
    try:
        return torch.from_numpy(np.require(x, requirements=["C", "W"]))  # copies what torch cannot look into
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: x is no array of numbers: {error}", hint="give arrays of one shape") from error


def _kind(x: Tensor) -> str:
    return f"{str(x.dtype).removeprefix('torch.')} of {'×'.join(map(str, x.shape[1:]))}"


def _as_pictures(x: Tensor, where: str) -> Tensor:
    if x.ndim == 3:
        return x.unsqueeze(1)
    if x.ndim == 4 and x.shape[1] in (1, 3):
        return x
    if x.ndim == 4 and x.shape[3] in (1, 3):
        return x.permute(0, 3, 1, 2).contiguous()
    raise DataError(f"{where}: x has shape {tuple(x.shape)}", hint="expected N×H×W, N×H×W×C or N×C×H×W with C 1 or 3")
