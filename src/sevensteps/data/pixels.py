"""Pictures by their paths as pixels: decoded, or taken from the store."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import StorageError
from ..files import atomic_writer, make_folder, remove
from .decode import Header
from .decoders import Status, decode_all
from .names import pack
from .preprocessing import Preprocessing
from .store import Older, Pixels, Progress, Table, as_pixels, find_store, finish, row_bytes, rules, stamps, write_at
from .stores import locked, room_for, store_file

SAMPLE = 64  # headers by which the size is guessed, before all have been seen


def read_pixels(
    where: str,
    paths: Sequence[str],
    preprocessing: Preprocessing | None = None,
    *,
    names: bytes | None = None,
    choosing: NDArray[np.int64] | None = None,
    progress: Progress | None = None,
) -> Pixels:
    """The pixels of the pictures at `paths`, from the store of `where` as far as it has them.

    `names` are what they are called there, packed, from wherever they are looked at. `preprocessing` fixes size and
    channels; where it is None they fit the pictures at the indices `choosing` (by default all). Where another process
    is just reading the same, its work is waited for and shared.
    """
    asked = preprocessing.to_dict() if preprocessing else None
    wanted = Table(where, asked, pack(paths) if names is None else names, *stamps(paths))
    job = _Job(wanted, paths, preprocessing, np.arange(len(paths)) if choosing is None else choosing)
    file = store_file(where, preprocessing)
    try:
        make_folder(file.parent)
        with locked(file, progress) as tell:
            found = find_store(file, wanted)
            if found is None and preprocessing:  # perhaps the size that fits is the size that is asked for
                found = find_store(store_file(where, None), wanted)
            if found is not None:
                return found
            for leftover in file.parent.glob(f".{file.name}.*.tmp"):  # of a process that was killed
                remove(leftover)
            older = Older(file, wanted)
            guess = job.guess(older)
            if room_for(len(paths) * row_bytes(guess)):
                with atomic_writer(file, durable=False) as out:
                    table = job.fill(out.fileno(), guess, older, tell)
                    finish(out.fileno(), table)
                    return as_pixels(out.fileno(), table)
            note = "there is no room for them in the cache"
    except StorageError as error:
        note = error.message
    with _memory() as memory:
        table = job.fill(memory, job.guess(None), None, progress or silent)
        return as_pixels(memory, table, f"the decoded pictures are not kept for the next time: {note}")


@dataclass
class _Job:
    """What is to be decoded; `deciding` are the indices of the pictures that choose the size."""

    wanted: Table
    paths: Sequence[str]
    preprocessing: Preprocessing | None
    deciding: NDArray[np.int64]

    def guess(self, older: Older | None) -> Preprocessing:
        """The size that was asked for; or that of an older store; or the one that fits some of the pictures."""
        if self.preprocessing:
            return self.preprocessing
        if older and older.table and older.table.rules == rules():
            return Preprocessing.from_dict(older.table.preprocessing)
        some = self.deciding[:: max(1, len(self.deciding) // SAMPLE)]
        headers = decode_all([self.paths[i] for i in some], self.wanted.sizes[some].tolist())
        return _fitting([status for decoded in headers for status in decoded.statuses])

    def fill(self, out: int, guess: Preprocessing, older: Older | None, progress: Progress) -> Table:
        """Decode all pictures into the file `out`, or take them over from `older`; again if `guess` was wrong."""
        while True:
            statuses = _decode(out, self.wanted, self.paths, guess, older, progress)
            fits = self.preprocessing or _fitting([statuses[index] for index in self.deciding])
            if fits == guess:
                return self.wanted.with_statuses(guess, statuses)
            guess, older = fits, None


def _decode(
    out: int,
    wanted: Table,
    paths: Sequence[str],
    preprocessing: Preprocessing,
    older: Older | None,
    progress: Progress,
) -> list[Status]:
    row, total = row_bytes(preprocessing), len(paths)
    statuses: list[Status | None] = [None] * total
    for index, status, pixels in older.rows(preprocessing) if older else ():
        statuses[index] = status
        write_at(out, pixels, index * row)
    new = [index for index, status in enumerate(statuses) if status is None]
    done = total - len(new)
    for first, decoded, pixels in decode_all(
        [paths[index] for index in new], wanted.sizes[new].tolist(), preprocessing
    ):
        for number, status in enumerate(decoded):
            statuses[new[first + number]] = status
        if new[first + len(decoded) - 1] - new[first] == len(decoded) - 1:  # neighbours
            write_at(out, pixels, new[first] * row)
        else:
            for number in range(len(decoded)):
                write_at(out, pixels[number * row : (number + 1) * row], new[first + number] * row)
        done += len(decoded)
        progress("reading pictures", done, total)
    os.truncate(out, total * row)
    return [status for status in statuses if status is not None]


def _fitting(statuses: Sequence[Status]) -> Preprocessing:
    """The size that fits the pictures that can be read; of none at all, any."""
    headers = [status for status in statuses if isinstance(status, Header)]
    return Preprocessing.fitting(headers or [Header(28, 28, True)])


@contextmanager
def _memory() -> Iterator[int]:
    """A file that is nowhere but in memory, or where a system has no such thing, one without a name."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("sevensteps")
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    else:
        with tempfile.TemporaryFile() as file:
            yield file.fileno()


def silent(what: str, done: int, total: int) -> None:
    """Tells nobody."""
