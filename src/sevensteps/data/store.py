"""The pixel store: pictures decoded once, kept in the user's cache as one file of pixels for each set of data.

A store is found by what was read and the size that was asked for. It serves as long as every picture has the path,
the size and the time of change that it had; of a set that has changed, only the new pictures are decoded. The file is
pixels (uint8, N×C×H×W), then a table in JSON, then the checksums of both; it is written whole or not at all, and
checked whole before it is used. Where the cache has no room for it the pixels are kept in memory only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import mmap
import os
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..devices import available_cores
from ..errors import ModelFolderError
from ..files import cache_folder, storage_errors
from .decoders import Status, as_status, as_statuses
from .preprocessing import Preprocessing

Progress = Callable[[str, int, int], None]  # what is being done, how many are done, how many in all
DECODER = 1  # to be raised whenever a picture's pixels may come out otherwise than before
SUFFIX = ".pixels"
BUDGET_GB = 10.0  # unless $SEVENSTEPS_CACHE_GB says otherwise
SPARE_BYTES = 1 << 30  # that are left free on the disk
BLOCK = 32 << 20  # bytes under one checksum
END = struct.Struct("<8sQQ32s")  # magic, bytes of pixels, bytes of the table, SHA-256 of the blocks' SHA-256
MAGIC = b"7steps.1"


@dataclass
class Pixels:
    """`array` (uint8, one C×H×W for each path, blank where it was refused), and what became of each picture."""

    array: NDArray[np.uint8]
    statuses: list[Status]
    preprocessing: Preprocessing
    note: str = ""


@dataclass
class Table:
    """What a store holds, column by column; `asked` is the size that was asked for, None for one that fits."""

    where: str
    asked: dict[str, int] | None
    preprocessing: dict[str, int]
    names: list[str]
    sizes: list[int]
    times: list[int]
    statuses: list[list[Any]]
    decoder: int = DECODER


# -- one store's file ---------------------------------------------------------------------------------------------


def store_file(where: str, preprocessing: Preprocessing | None) -> Path:
    """Where the pixels of `where` are kept, of this size or, where it is None, of the size that fits."""
    key = json.dumps([where, preprocessing.to_dict() if preprocessing else None])
    return stores_folder() / (hashlib.sha256(key.encode()).hexdigest()[:32] + SUFFIX)


def stamp(path: str) -> tuple[int, int]:
    """A file's size in bytes and its time of change in nanoseconds; -1 and -1 where there is no such file."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path costs more than the call
    except (OSError, ValueError):
        return -1, -1
    return status.st_size, status.st_mtime_ns


def row_bytes(preprocessing: Preprocessing) -> int:
    """How many bytes the pixels of one picture take."""
    return preprocessing.channels * preprocessing.height * preprocessing.width


def finish(descriptor: int, table: Table) -> None:
    """Write the table behind the pixels, and the checksums behind that."""
    length = len(table.names) * row_bytes(Preprocessing.from_dict(table.preprocessing))
    text = json.dumps(asdict(table)).encode()
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
        return Table(**json.loads(_read(descriptor, text_length, length)))
    except (ValueError, TypeError):
        return None


def find_store(file: Path, wanted: Table) -> Pixels | None:
    """What the store `file` holds, where that is just what is wanted."""
    try:
        with file.open("rb") as stored:
            table = read_table(stored.fileno())
            if table is None or table.decoder != DECODER or table.where != wanted.where:
                return None
            same = (table.names, table.sizes, table.times) == (wanted.names, wanted.sizes, wanted.times)
            if not same or wanted.asked not in (table.asked, table.preprocessing):
                return None
            os.utime(stored.fileno())  # used now: those that were not used for longest make room
            return as_pixels(stored.fileno(), table)
    except OSError:
        return None


def as_pixels(descriptor: int, table: Table, note: str = "") -> Pixels:
    """A file's pixels as an array: read from the disk when they are looked at, never written back to it."""
    preprocessing = Preprocessing.from_dict(table.preprocessing)
    shape = (len(table.names), preprocessing.channels, preprocessing.height, preprocessing.width)
    array = np.empty(shape, np.uint8)
    if array.size:
        view = mmap.mmap(descriptor, array.size, access=mmap.ACCESS_COPY)
        array = np.frombuffer(view, np.uint8).reshape(shape)
    return Pixels(array, as_statuses(table.statuses), preprocessing, note)


def _checksum(descriptor: int, length: int) -> bytes:
    """The SHA-256 of the SHA-256 of each block, several blocks at once."""
    blocks = range(0, length, BLOCK)

    def digest(start: int) -> bytes:
        return hashlib.sha256(_read(descriptor, min(BLOCK, length - start), start)).digest()

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
        if not table or table.decoder != DECODER or table.preprocessing != preprocessing.to_dict():
            return
        stamps = zip(table.names, table.sizes, table.times, strict=True)
        places = {stamp: place for place, stamp in enumerate(stamps)}
        row = row_bytes(preprocessing)
        with self.file.open("rb") as stored:
            wanted = zip(self.wanted.names, self.wanted.sizes, self.wanted.times, strict=True)
            for index, stamp in enumerate(wanted):
                place = places.get(stamp)
                if place is not None and stamp[1] >= 0:
                    yield index, as_status(table.statuses[place]), _read(stored.fileno(), row, place * row)


# -- all stores together --------------------------------------------------------------------------------------------


def stores_folder() -> Path:
    """Where the stores are."""
    return cache_folder() / "pixels"


def budget() -> int:
    """How many bytes all stores together may take: `$SEVENSTEPS_CACHE_GB`, by default 10."""
    try:
        return int(float(os.environ.get("SEVENSTEPS_CACHE_GB") or BUDGET_GB) * 1e9)
    except ValueError:
        return int(BUDGET_GB * 1e9)


class Stored(NamedTuple):
    """One store: what it was read from, how many pictures of which size, its bytes, and when it was last used."""

    file: Path
    where: str
    pictures: int
    preprocessing: Preprocessing
    bytes: int
    used: float  # seconds since 1970


def stores() -> list[Stored]:
    """All stores, those used last first. Their pixels are not looked at."""
    found = []
    for file in stores_folder().glob("*" + SUFFIX):
        with contextlib.suppress(OSError, ModelFolderError), file.open("rb") as stored:
            status, table = os.fstat(stored.fileno()), read_table(stored.fileno(), check=False)
            if table:
                size = Preprocessing.from_dict(table.preprocessing)
                found.append(Stored(file, table.where, len(table.names), size, status.st_size, status.st_mtime))
    return sorted(found, key=lambda store: -store.used)


def place(data: str) -> str:
    """What a folder or a CSV is called in its store, from wherever it is looked at."""
    return os.path.realpath(data)


def clear(where: str | None = None) -> int:
    """Remove the stores of `where`, or all; how many bytes that freed. They are made again when they are needed."""
    files = [store.file for store in stores() if where is not None and store.where == place(where)]
    if where is None:
        files = [*stores_folder().glob("*" + SUFFIX), *stores_folder().glob(".*.tmp")]
    freed = sum(file.stat().st_size for file in files)
    for file in files:
        file.unlink(missing_ok=True)
    return freed


def room_for(size: int) -> bool:
    """Whether a store of `size` bytes may be added, after those that were not used for longest have made room."""
    files = sorted(stores_folder().glob("*" + SUFFIX), key=lambda file: file.stat().st_mtime)
    total = sum(file.stat().st_size for file in files)
    while files and total + size > budget():
        total -= files[0].stat().st_size
        files.pop(0).unlink(missing_ok=True)
    return total + size <= budget() and shutil.disk_usage(stores_folder()).free > size + SPARE_BYTES


@contextmanager
def locked(file: Path, progress: Progress | None) -> Iterator[Progress]:
    """Waits until no other process is filling `file`, telling how far it is; gives what is to be told of our own."""
    with storage_errors(file):
        lock = os.open(file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, whatever ends that
                break
            except BlockingIOError:
                far = os.pread(lock, 64, 0).split()
                if progress and len(far) == 2:
                    progress("reading pictures", int(far[0]), int(far[1]))
                time.sleep(0.02)

        def tell(what: str, done: int, total: int) -> None:
            os.pwrite(lock, b"%12d %12d" % (done, total), 0)
            if progress:
                progress(what, done, total)

        yield tell
    finally:
        os.close(lock)
