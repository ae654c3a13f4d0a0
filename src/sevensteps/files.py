"""The only writes of sevensteps: every file is written whole or not at all.

A temporary file beside the target, flushed to the disk, renamed over it, and the folder flushed: after a
crash or on a full disk the target holds either the old bytes or the new ones.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from .errors import StorageError
from .words import visible

MANIFEST = "manifest.json"
O_BINARY = getattr(os, "O_BINARY", 0)  # of Windows
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run a cell that begins so
HINTS = {
    errno.ENOSPC: "free some space, or name another place with --out",
    errno.EDQUOT: "free some of your quota, or name another place with --out",
    errno.EACCES: "name a folder that you may write to, with --out",
    errno.EPERM: "name a folder that you may write to, with --out",
    errno.EROFS: "the disk is mounted read-only: name another place with --out",
    errno.EFBIG: "no file may be so large here: raise the limit (ulimit -f), or name another place with --out",
    errno.EEXIST: "a file is in the way: remove it, or name another place with --out",
    errno.ENOTDIR: "a file is in the way: remove it, or name another place with --out",
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
def atomic_writer(path: str | Path, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """A binary file to write into, which becomes `path` when the block ends without an error.

    The folder must exist. Raises `StorageError`; the old file at `path`, if any, is then untouched. What is not
    `durable`, a cache with checksums, is not flushed to the disk: the system does that when it has time.
    """
    path = Path(path)
    with storage_errors(path):
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        try:
            with temporary.open("x+b") as file:  # the system takes the umask off its mode
                yield file
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            temporary.replace(path)  # the one rename of the house
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        if durable:
            _sync_folder(path.parent)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """An empty folder to write into, which becomes `path` when the block ends without an error.

    `path` must not be there, and its parent must. Raises `StorageError`; then nothing is left behind.
    """
    path = Path(path)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with storage_errors(path):
            draft.mkdir()
        yield draft
        with storage_errors(path):
            _sync_folder(draft)
            draft.replace(path)
            _sync_folder(path.parent)
    except BaseException:
        remove_folder(draft)
        raise


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
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, re.sub(r"[^\n -~]", _in_json, text) + "\n")


def json_text(value: Any) -> str:
    """`value` as indented JSON in ASCII, which no terminal obeys. Raises `ValueError` for NaN."""
    return json.dumps(value, indent=2, allow_nan=False).replace("\x7f", "\\u007f")


def make_folder(path: str | Path) -> Path:
    """Make a folder and its parents, where they are not there yet. Raises `StorageError`."""
    with storage_errors(path):
        Path(path).mkdir(parents=True, exist_ok=True)
    return Path(path)


def csv_text(head: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """A CSV with a header line, safe to open in a spreadsheet.

    >>> csv_text(["name"], [["=1+1"], ["3"]])
    "name\\n'=1+1\\n3\\n"
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_safe_cell(cell) for cell in row] for row in (head, *rows))
    return text.getvalue()


def new_folder(path: str | Path, mode: int = 0o777) -> bool:
    """Make a folder whose parent is there; False where something has its name already. Raises `StorageError`."""
    with storage_errors(path):
        try:
            Path(path).mkdir(mode)
        except FileExistsError:
            return False
    return True


def new_file(path: str | Path, mode: int = 0o666) -> IO[bytes]:
    """A new binary file to write into, in a folder that is not whole yet. Raises `StorageError`."""
    with storage_errors(path):
        return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | O_BINARY, mode), "wb")  # noqa: PTH123


def move(path: str | Path, target: str | Path) -> None:
    """Give a file or folder another name on the same disk. Raises `StorageError`."""
    with storage_errors(target):
        Path(path).rename(target)


def remove(path: str | Path) -> None:
    """Remove a file that we made, if it is there. Raises `StorageError`."""
    with storage_errors(path):
        Path(path).unlink(missing_ok=True)


@contextmanager
def lock_file(path: str | Path) -> Iterator[int]:
    """The descriptor of a file to lock by, made where it is not there. Raises `StorageError`.

    A lock is the system's and ends with the process, whatever ends that.
    """
    with storage_errors(path):
        descriptor = _regular(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def flush_disks() -> None:
    """Get all that was written onto the disk: one call, as one for each of many files would take ages."""
    if hasattr(os, "sync"):  # not on Windows
        os.sync()


def open_regular(path: str | Path | os.PathLike[str]) -> io.FileIO:
    """A file to read from, not buffered. Raises `OSError`, also for a pipe or a device, for which nobody waits."""
    return io.FileIO(_regular(path, os.O_RDONLY), "rb")


def read_small(path: str | Path, most: int = 1 << 28) -> bytes:
    """The bytes of a file of at most `most` bytes. Raises `OSError` as `open_regular`, and `ValueError` for more."""
    with open_regular(path) as raw, io.BufferedReader(raw) as file:
        size = os.fstat(raw.fileno()).st_size
        if size > most:
            raise ValueError(f"it has more than {most:,} bytes")
        return file.read(size)


def read_json(path: str | Path, most: int = 1 << 28) -> Any:
    """What a file of JSON holds. Raises `OSError`, and `ValueError` for what is no JSON, or nested too deeply."""
    try:
        return json.loads(read_small(path, most))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_csv(path: str | Path) -> list[dict[str, str]]:
    """The rows of a file that `csv_text` made, by column, without the apostrophes before formulas.

    Raises `OSError`, and `ValueError` for what is no such table.
    """
    text = io.StringIO(read_small(path).decode("utf-8"), newline="")
    try:
        rows = list(csv.DictReader(text, restkey="", restval="", strict=True))
    except csv.Error as error:
        raise ValueError(str(error)) from error
    if any("" in row for row in rows):
        raise ValueError("a row has more cells than there are columns")
    return [{name: _plain_cell(cell) for name, cell in row.items()} for row in rows]


def remove_folder(path: str | Path) -> None:
    """Remove a folder that we made, with all that is in it, as far as that can be done."""
    shutil.rmtree(path, ignore_errors=True)


def file_hash(path: str | Path, algorithm: str = "sha256") -> str:
    """The hexadecimal digest of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def seal(folder: str | Path, leave: Sequence[str] = ()) -> None:
    """Write `manifest.json`: the SHA-256 of every file in `folder` and below, but for the names to `leave` out."""
    write_json(Path(folder) / MANIFEST, {name: file_hash(Path(folder) / name) for name in _files(folder, leave)})


def damages(folder: str | Path, leave: Sequence[str] = ()) -> list[str]:
    """What is other in a folder than when it was sealed: a sentence for each file. None where it is whole."""
    try:
        manifest = read_json(Path(folder) / MANIFEST)
        sealed = {str(name): str(digest) for name, digest in manifest.items()}
    except (OSError, ValueError, AttributeError) as error:
        return [f"{MANIFEST} cannot be read: {getattr(error, 'strerror', None) or error}"]
    there, found = _files(folder, leave), []
    for name, digest in sealed.items():
        if name not in there:
            found.append(f"{name} is missing")
        elif file_hash(Path(folder) / name) != digest:
            found.append(f"{name} has other bytes than were written")
    return found + [f"{name} was not there when the folder was sealed" for name in there if name not in sealed]


def _files(folder: str | Path, leave: Sequence[str]) -> list[str]:
    """The files in a folder and below, by their names in it; without the manifest, and what is not whole yet."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file() and not path.name.endswith(".tmp"))
    names = [path.relative_to(folder).as_posix() for path in paths]
    return [name for name in names if name != MANIFEST and name.partition("/")[0] not in leave]


def cache_folder() -> Path:
    """Where downloads are kept: `$SEVENSTEPS_CACHE`, or the user's cache folder of this system."""
    import platformdirs

    return Path(os.environ.get("SEVENSTEPS_CACHE") or platformdirs.user_cache_dir("sevensteps", appauthor=False))


def _safe_cell(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    return visible(f"'{cell}" if cell.startswith(FORMULA) else cell)


def _plain_cell(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA) else cell


def _regular(path: str | Path | os.PathLike[str], flags: int) -> int:
    """The descriptor of a file. Raises `OSError` also for a pipe, a device or a folder."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | O_BINARY, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is a pipe, a device or a folder", str(path))
    return descriptor


def _in_json(found: re.Match[str]) -> str:
    """A character that is not ASCII as it stands in a file of JSON: escaped where it hides or reorders others."""
    if visible(found[0]) == found[0]:
        return found[0]
    return "\\u007f" if found[0] == "\x7f" else json.dumps(found[0])[1:-1]


def _sync_folder(folder: Path) -> None:
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with contextlib.suppress(OSError):  # some network file systems know no fsync of a folder
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
