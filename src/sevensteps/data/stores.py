"""All pixel stores together: where they are, what they hold, how much they may take, and who is filling which."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ..errors import ModelFolderError
from ..files import cache_folder, lock_file, remove
from .preprocessing import Preprocessing
from .store import Progress, read_table

SPARE_BYTES = 1 << 30  # that are left free on the disk
BUDGET_GB = 10.0  # unless $SEVENSTEPS_CACHE_GB says otherwise
SUFFIX = ".pixels"


def store_file(where: str, preprocessing: Preprocessing | None) -> Path:
    """Where the pixels of `where` are kept, of this size or, where it is None, of the size that fits."""
    key = json.dumps([where, preprocessing.to_dict() if preprocessing else None])
    return stores_folder() / (hashlib.sha256(key.encode()).hexdigest()[:32] + SUFFIX)


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
                found.append(Stored(file, table.where, len(table), size, status.st_size, status.st_mtime))
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
        remove(file)
    return freed


def room_for(size: int) -> bool:
    """Whether a store of `size` bytes may be added, after those that were not used for longest have made room."""
    files = sorted(stores_folder().glob("*" + SUFFIX), key=lambda file: file.stat().st_mtime)
    total = sum(file.stat().st_size for file in files)
    while files and total + size > budget():
        total -= files[0].stat().st_size
        remove(files.pop(0))
    return total + size <= budget() and shutil.disk_usage(stores_folder()).free > size + SPARE_BYTES


@contextmanager
def locked(file: Path, progress: Progress | None) -> Iterator[Progress]:
    """Waits until no other process is filling `file`, telling how far it is; gives what is to be told of our own."""
    with lock_file(file.with_suffix(".lock")) as lock:
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
