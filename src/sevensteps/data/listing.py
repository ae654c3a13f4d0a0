"""Which file belongs to which split and class, before any picture is opened."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from ..words import plural

SPLITS = ("train", "valid", "test")
SPLIT_NAMES = {"train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid",
               "test": "test", "testing": "test"}  # fmt: skip
MOST_CLASSES, LONGEST_NAME = 10_000, 256  # characters


class Refused(NamedTuple):
    """One file that was not used: its path relative to the data, a reason code, and the details."""

    path: str
    reason: str
    message: str


@dataclass
class Files:
    """Labelled files: the path of each, and the name of its class."""

    paths: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.paths)

    def add(self, path: str, label: str) -> None:
        """One more."""
        self.paths.append(path)
        self.labels.append(sys.intern(label))  # a class's name is one object, however many files have it


@dataclass
class Listing:
    """What a folder or a CSV names: `splits` maps "train", "valid", "test" to labelled files.

    `root` is what paths in messages are relative to; `where` names the source, `root` itself if not given.
    """

    root: Path
    splits: dict[str, Files] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    where: str = ""

    def relative(self, path: str) -> str:
        """`path` as it is shown to people: relative to the data where it lies inside."""
        return path.removeprefix(self._prefix)

    @cached_property
    def _prefix(self) -> str:
        return "" if str(self.root) == "." else os.path.join(self.root, "")  # noqa: PTH118 - with its last slash


def check_classes(labels: dict[str, list[str]], where: str, refused: Sequence[Refused] = ()) -> list[str]:
    """The sorted class names of the training split, after checking that the splits make sense.

    `labels` maps each split to the class names of its usable pictures, one a picture; `refused` tells what was not
    usable. Raises `DataError` for no pictures, one class, or a class in another split that the training split lacks.
    """
    why = f"; {len(refused):,} refused, the first {refused[0].path}: {refused[0].message}" if refused else ""
    if not labels.get("train"):
        raise DataError(
            f"no usable pictures to train on in {where}{why}",
            hint="expected train/<class>/*, or <class>/* alone, with JPEG, PNG, WebP, GIF, BMP, TIFF or PPM files",
        )
    vocab = sorted(set(labels["train"]))
    if len(vocab) < 2:
        raise DataError(
            f"only one class, {vocab[0]!r}, in {where}{why}",
            hint="a classifier needs pictures of at least two classes, each in a folder of its own",
        )
    longest = max(vocab, key=len)
    if len(vocab) > MOST_CLASSES or len(longest) > LONGEST_NAME:
        raise DataError(
            f"{len(vocab):,} classes in {where}, the longest name with {len(longest):,} characters: {longest:.40}",
            hint=f"at most {MOST_CLASSES:,} classes can be told apart, with names of at most {LONGEST_NAME} characters",
        )
    for split in ("valid", "test"):
        check_known(labels.get(split, []), vocab, split, where)
    return vocab


def check_known(labels: Iterable[str], vocab: Sequence[str], split: str, where: str, hint: str = "") -> None:
    """Raise `DataError` where `labels` has classes that are not in `vocab`."""
    known = set(vocab)
    strange = Counter(label for label in labels if label not in known)
    if strange:
        named = ", ".join(f"{name!r} ({plural(count, 'picture')})" for name, count in sorted(strange.items())[:5])
        classes = f"{', '.join(map(repr, vocab[:10]))}{' …' if len(vocab) > 10 else ''}"
        raise DataError(
            f"{split} has classes that training did not have, in {where}: {named}",
            hint=hint
            or f"the classes are {classes}; add pictures of the new class to train and train again, or take it out of "
            f"{split}",
        )
