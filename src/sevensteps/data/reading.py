"""Decode the pictures of a listing into memory, in order, refusing what is no picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from ..errors import RefusedPicture
from .decode import Header, read_header
from .listing import Labelled, Listing, Refused
from .pictures import LabelledData, Part
from .preprocessing import Preprocessing

Progress = Callable[[str, int, int], None]  # what is being done, how many are done, how many in all
T = TypeVar("T")
R = TypeVar("R")
SMALL_PX = 64 * 64  # below this many pixels threads cost more than they bring


def read_listing(
    listing: Listing, preprocessing: Preprocessing | None = None, progress: Progress | None = None
) -> LabelledData:
    """Decode the pictures of a `Listing` into memory; refused ones are listed and the rest goes on.

    `preprocessing` fixes size and channels; where it is None it is chosen from the pictures' headers.
    """
    sizes: dict[str, int] = {}
    if preprocessing is None:
        preprocessing, sizes = choose_preprocessing(listing, progress)
    data = LabelledData(listing.where or str(listing.root), {}, preprocessing, list(listing.refused), sizes=sizes)
    for split in listing.splits:
        items, pixels, refused = read_pictures(listing, split, preprocessing, progress)
        names = [listing.relative(item.path) for item in items]
        data.splits[split] = Part(pixels, [item.label for item in items], names)
        data.refused += refused
    return data


def choose_preprocessing(listing: Listing, progress: Progress | None = None) -> tuple[Preprocessing, dict[str, int]]:
    """The size and channels that fit the listed pictures, from their headers alone, and how many have each size.

    The test pictures have no say in the choice. A picture whose header cannot be read does not count here; reading it
    will refuse it with its reason.
    """
    items = [(split, item.path) for split, items in listing.splits.items() for item in items]
    headers = list(_each(_header_or_none, [path for _, path in items], "looking at", progress, threads=1))
    sizes: dict[str, int] = {}
    for header in filter(None, headers):
        name = f"{header.width}×{header.height} {'grey' if header.grey else 'colour'}"
        sizes[name] = sizes.get(name, 0) + 1
    seen = [header for (split, _), header in zip(items, headers, strict=True) if header and split != "test"]
    return Preprocessing.fitting(seen or [Header(28, 28, True)]), sizes


def read_pictures(
    listing: Listing, split: str, preprocessing: Preprocessing, progress: Progress | None = None
) -> tuple[list[Labelled], Tensor, list[Refused]]:
    """The usable files of one split, their pixels (uint8, N×C×H×W), and the refused ones with their reasons."""
    items = listing.splits.get(split, [])

    def read(item: Labelled) -> Tensor | RefusedPicture:
        try:
            return preprocessing.pixels(item.path)
        except RefusedPicture as refused:
            return refused

    small = preprocessing.height * preprocessing.width <= SMALL_PX
    results = _each(read, items, f"reading {split}", progress, threads=1 if small else os.cpu_count() or 1)
    good: list[Labelled] = []
    refused: list[Refused] = []
    pixels = torch.empty(
        len(items), preprocessing.channels, preprocessing.height, preprocessing.width, dtype=torch.uint8
    )
    for item, result in zip(items, results, strict=True):
        if isinstance(result, RefusedPicture):
            refused.append(Refused(listing.relative(item.path), result.reason, result.message))
        else:
            pixels[len(good)] = result
            good.append(item)
    return good, pixels[: len(good)], refused


def _header_or_none(path: Path) -> Header | None:
    try:
        return read_header(path)
    except RefusedPicture:
        return None


def _each(
    function: Callable[[T], R], items: Sequence[T], what: str, progress: Progress | None, *, threads: int
) -> Iterator[R]:
    """`function` of each item, in order, on `threads` threads, telling `progress` now and then."""
    with ThreadPoolExecutor(threads) as pool:
        results = map(function, items) if threads == 1 else pool.map(function, items)
        for done, result in enumerate(results, start=1):
            yield result
            if progress and (done % 50 == 0 or done == len(items)):
                progress(what, done, len(items))
