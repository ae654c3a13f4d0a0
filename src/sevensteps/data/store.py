"""The pixel store: pictures decoded once, kept in the user's cache as one file of pixels for each set of data.

A store is found by what was read and the size that was asked for. It serves as long as every picture has the path,
the size and the time of change that it had; of a set that has changed, only the new pictures are decoded. The file is
pixels (uint8, N×C×H×W), then a table in JSON, then the checksums of both; it is written whole or not at all, and
checked whole before it is used. Where the cache has no room for it the pixels are kept in memory only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..devices import available_cores
from .decode import most_pixels
from .decoders import Status, as_status, from_status
from .preprocessing import Preprocessing

Progress = Callable[[str, int, int], None]  # what is being done, how many are done, how many in all
DECODER = 2  # to be raised whenever a picture's pixels may come out otherwise than before
COLUMNS = {"sizes": "<i8", "times": "<i8", "statuses": "<i4"}
BLOCK = 32 << 20  # bytes under one checksum
PIECE = 1 << 18  # bytes that are read at once for it
END = struct.Struct("<8sQQ32s")  # magic, bytes of pixels, bytes of the table, SHA-256 of the blocks' SHA-256
MAGIC = b"7steps.1"


def rules() -> list[int]:
    """What the pixels depend on besides the pictures: the decoder, and how many pixels are too many."""
    return [DECODER, most_pixels()]


@dataclass
class Pixels:
    """`array` (uint8, one C×H×W for each path, blank where it was refused), and what became of each picture."""

    array: NDArray[np.uint8]
    statuses: list[Status]
    preprocessing: Preprocessing
    note: str = ""


@dataclass
class Table:
    """What a store holds; `asked` is the size that was asked for, None for one that fits.

    Of each picture: its name (all in one, each with a zero byte behind it), the size of its file, its time of change,
    and which of the `kinds` of statuses it has.
    """

    where: str
    asked: dict[str, int] | None
    names: bytes
    sizes: NDArray[np.int64]
    times: NDArray[np.int64]
    preprocessing: dict[str, int] = field(default_factory=dict)
    kinds: list[list[Any]] = field(default_factory=list)
    statuses: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    rules: list[int] = field(default_factory=rules)

    def __len__(self) -> int:
        return len(self.sizes)

    def to_bytes(self) -> bytes:
        """As it stands in the file."""
        facts = {name: getattr(self, name) for name in ("where", "asked", "preprocessing", "kinds", "rules")}
        head = json.dumps(facts | {"pictures": len(self)}).encode()
        return b"".join([head, b"\n", *(getattr(self, name).tobytes() for name in COLUMNS), self.names])

    @classmethod
    def from_bytes(cls, content: bytes) -> Table:
        """From a file. Raises `ValueError`, `KeyError` or `TypeError` for what is no table."""
        head, _, rest = content.partition(b"\n")
        facts = json.loads(head)
        count, start = facts.pop("pictures"), 0
        columns: dict[str, Any] = {}
        for name, kind in COLUMNS.items():
            columns[name] = np.frombuffer(rest, kind, count, start)
            start += columns[name].nbytes
        return cls(**facts, **columns, names=rest[start:])

    def as_statuses(self) -> list[Status]:
        """What became of each picture."""
        kinds = [as_status(kind) for kind in self.kinds]
        return [kinds[number] for number in self.statuses.tolist()]

    def with_statuses(self, preprocessing: Preprocessing, statuses: Sequence[Status]) -> Table:
        """The same with what became of each picture at this size."""
        kinds: dict[tuple[Any, ...], int] = {}
        numbers = [kinds.setdefault(tuple(from_status(status)), len(kinds)) for status in statuses]
        return replace(
            self, preprocessing=preprocessing.to_dict(), kinds=[*map(list, kinds)], statuses=np.array(numbers, np.int32)
        )


def stamps(paths: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The files' sizes in bytes and times of change in nanoseconds; -1 and -1 where there is no such file."""
    sizes, times = np.full(len(paths), -1, np.int64), np.full(len(paths), -1, np.int64)
    for index, path in enumerate(paths):
        with contextlib.suppress(OSError, ValueError):
            status = os.stat(path)  # noqa: PTH116 - a Path costs more than the call
            sizes[index], times[index] = status.st_size, status.st_mtime_ns
    return sizes, times


def row_bytes(preprocessing: Preprocessing) -> int:
    """How many bytes the pixels of one picture take."""
    return preprocessing.channels * preprocessing.height * preprocessing.width


def finish(descriptor: int, table: Table) -> None:
    """Write the table behind the pixels, and the checksums behind that."""
    length = len(table) * row_bytes(Preprocessing.from_dict(table.preprocessing))
    text = table.to_bytes()
    write_at(descriptor, text, length)
    digest = _checksum(descriptor, length + len(text))
    write_at(descriptor, END.pack(MAGIC, length, len(text), digest), length + len(text))


def read_table(descriptor: int, *, check: bool = True) -> Table | None:
    """The table of a store, None of any other file; with `check` only of one that is whole to the last bit."""
    size = os.fstat(descriptor).st_size - END.size
    if size < 0:
        return None
    magic, length, text_length, digest = END.unpack(os.pread(descriptor, END.size, size))
    if magic != MAGIC or length + text_length != size or (check and _checksum(descriptor, size) != digest):
        return None
    try:
        return Table.from_bytes(_read(descriptor, text_length, length))
    except (ValueError, TypeError, KeyError):
        return None


def find_store(file: Path, wanted: Table) -> Pixels | None:
    """What the store `file` holds, where that is just what is wanted."""
    try:
        with file.open("rb") as stored:
            table = read_table(stored.fileno())
            if table is None or table.rules != rules() or table.where != wanted.where:
                return None
            same = table.names == wanted.names and np.array_equal(table.sizes, wanted.sizes)
            if (
                not same
                or not np.array_equal(table.times, wanted.times)
                or wanted.asked not in (table.asked, table.preprocessing)
            ):
                return None
            os.utime(stored.fileno())  # used now: those that were not used for longest make room
            return as_pixels(stored.fileno(), table)
    except OSError:
        return None


def as_pixels(descriptor: int, table: Table, note: str = "") -> Pixels:
    """A file's pixels as an array: read from the disk when they are looked at, never written back to it."""
    preprocessing = Preprocessing.from_dict(table.preprocessing)
    shape = (len(table), preprocessing.channels, preprocessing.height, preprocessing.width)
    array = np.empty(shape, np.uint8)
    if array.size:
        view = mmap.mmap(descriptor, array.size, access=mmap.ACCESS_COPY)
        array = np.frombuffer(view, np.uint8).reshape(shape)
    return Pixels(array, table.as_statuses(), preprocessing, note)


def _checksum(descriptor: int, length: int) -> bytes:
    """The SHA-256 of the SHA-256 of each block, several blocks at once."""
    blocks = range(0, length, BLOCK)

    def digest(start: int) -> bytes:
        block, end = hashlib.sha256(), min(start + BLOCK, length)
        for piece in range(start, end, PIECE):
            block.update(_read(descriptor, min(PIECE, end - piece), piece))
        return block.digest()

    with ThreadPoolExecutor(available_cores()) as pool:
        return hashlib.sha256(b"".join(pool.map(digest, blocks))).digest()


def _read(descriptor: int, length: int, start: int) -> bytes:
    parts = []
    while length and (part := os.pread(descriptor, length, start)):
        parts.append(part)
        length, start = length - len(part), start + len(part)
    return b"".join(parts)


def write_at(descriptor: int, content: bytes, start: int) -> None:
    """Write all of `content` at a place in an open file."""
    left = memoryview(content)
    while left:
        written = os.pwrite(descriptor, left, start)
        left, start = left[written:], start + written


class Older:
    """An older store of the same data: what it has of the pictures that are wanted now."""

    def __init__(self, file: Path, wanted: Table) -> None:
        self.table, self.file, self.wanted = None, file, wanted
        try:
            with file.open("rb") as stored:
                self.table = read_table(stored.fileno())
        except OSError:
            pass

    def rows(self, preprocessing: Preprocessing) -> Iterator[tuple[int, Status, bytes]]:
        """Index, status and pixels of each wanted picture that is in the old store, unchanged."""
        table = self.table
        if not table or table.rules != rules() or table.preprocessing != preprocessing.to_dict():
            return
        statuses, row = table.as_statuses(), row_bytes(preprocessing)
        places = {picture: place for place, picture in enumerate(_each_picture(table))}
        with self.file.open("rb") as stored:
            for index, picture in enumerate(_each_picture(self.wanted)):
                place = places.get(picture)
                if place is not None and picture[1] >= 0:
                    yield index, statuses[place], _read(stored.fileno(), row, place * row)


def _each_picture(table: Table) -> Iterator[tuple[bytes, int, int]]:
    """Name, size and time of each picture."""
    return zip(table.names.split(b"\0")[:-1], table.sizes.tolist(), table.times.tolist(), strict=True)
