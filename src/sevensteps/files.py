"""The only writes of sevensteps: every file is written whole or not at all.

A temporary file beside the target, flushed to the disk, renamed over it, and the folder flushed: after a
crash or on a full disk the target holds either the old bytes or the new ones.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from .errors import StorageError

HINTS = {
    errno.ENOSPC: "free some space, or name another place with --out",
    errno.EDQUOT: "free some of your quota, or name another place with --out",
    errno.EACCES: "name a folder that you may write to, with --out",
    errno.EPERM: "name a folder that you may write to, with --out",
    errno.EROFS: "the disk is mounted read-only: name another place with --out",
}


@contextmanager
def storage_errors(path: str | Path) -> Iterator[None]:
    """Turn an `OSError` inside the block into a `StorageError` that names `path` and says what to do."""
    try:
        yield
    except OSError as error:
        hint = HINTS.get(error.errno or 0, "")
        raise StorageError(f"cannot write {path}: {error.strerror or error}", hint=hint) from error


@contextmanager
def atomic_writer(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary file to write into, which becomes `path` when the block ends without an error.

    The folder must exist. Raises `StorageError`; the old file at `path`, if any, is then untouched.
    """
    path = Path(path)
    with storage_errors(path):
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o666 & ~_umask())
            os.replace(temporary, path)  # noqa: PTH105 - the one rename of the house
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
        _sync_folder(path.parent)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all. Raises `StorageError`."""
    with atomic_writer(path) as file:
        file.write(content)


def write_text(path: str | Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, whole or not at all. Raises `StorageError`.

    A file name that is no valid Unicode (a lone surrogate) is written with backslash escapes.
    """
    write_bytes(path, content.encode("utf-8", "backslashreplace"))


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, whole or not at all. Raises `StorageError`."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def make_folder(path: str | Path) -> Path:
    """Make a folder and its parents, where they are not there yet. Raises `StorageError`."""
    with storage_errors(path):
        Path(path).mkdir(parents=True, exist_ok=True)
    return Path(path)


def file_hash(path: str | Path, algorithm: str = "sha256") -> str:
    """The hexadecimal digest of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def cache_folder() -> Path:
    """Where downloads are kept: `$SEVENSTEPS_CACHE`, or the user's cache folder of this system."""
    import platformdirs

    return Path(os.environ.get("SEVENSTEPS_CACHE") or platformdirs.user_cache_dir("sevensteps", appauthor=False))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
