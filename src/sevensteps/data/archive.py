"""Unpack a tar or zip archive from a stranger, whole or not at all.

Comes in: an archive. Goes out: a folder of plain files. Nothing in the archive is believed: names, kinds and
sizes are checked member by member, bytes are counted as they come out, and all goes into a temporary folder
beside the target, which gets its name when everything is there. The archive's permissions are not restored:
files get 0644 and folders 0755, less the umask.
"""

from __future__ import annotations

import lzma
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from bz2 import BZ2File
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import GzipFile
from pathlib import Path, PureWindowsPath
from typing import IO, BinaryIO, Protocol, cast

from ..errors import DownloadError, StorageError
from ..files import atomic_folder, flush_disks, make_folder, new_file, new_folder, storage_errors
from .download import Progress

MAX_FILES = 500_000
MAX_BYTES = 32 << 30
MAX_RATIO = 100  # pictures hardly shrink; text shrinks tenfold; a bomb a thousandfold
RATIO_FREE_BYTES = 16 << 20  # the ratio says nothing about a small archive
HEADER_BYTES = 1 << 20  # the most that one tar header, with its extensions, may take
CHUNK_BYTES = 1 << 20
PLAIN_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE)
PLAIN_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
HINT = "delete the archive; if it comes from a publisher you trust, tell them"
DAMAGED: tuple[type[Exception], ...] = (  # what their readers raise for archives made to break them
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, ValueError, OverflowError, RuntimeError),
)


def unpack(
    archive: Path,
    folder: Path,
    *,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
    progress: Progress | None = None,
) -> Path:
    """Unpack a tar (plain, gzip, bzip2, xz) or zip `archive` as the new `folder`; return `folder`.

    Refused, with the member named: links, devices and other special files, absolute paths, `..`, backslashes
    and drives, two names that are the same (also when only their case differs), more than `max_files` files
    and folders, more than `max_bytes` bytes unpacked, or more than a hundred times the archive's own size.
    `progress` is told the bytes of the archive that are done, and its size in bytes.

    Raises `DownloadError` for an archive that is refused or damaged, `StorageError` when `folder` is there
    already or cannot be written. After an error nothing is left behind.
    """
    if folder.exists():
        raise StorageError(
            f"cannot unpack into {folder}: it is there already", hint="remove it, or name another folder"
        )
    make_folder(folder.parent)
    with atomic_folder(folder) as draft, storage_errors(folder):
        _Unpacking(archive, draft, max_files, max_bytes, progress).run()
        flush_disks()
    return folder


class _Unpacking:
    """One archive on its way into one folder: what may still pass, and the names that have."""

    def __init__(self, archive: Path, folder: Path, max_files: int, max_bytes: int, progress: Progress | None) -> None:
        self.archive, self.folder, self.max_files = archive, folder, max_files
        self.progress = progress or (lambda done_bytes, total_bytes: None)
        with _damage(archive, OSError):
            self.size = archive.stat().st_size
        self.bytes_left = min(max_bytes, max(RATIO_FREE_BYTES, MAX_RATIO * self.size))
        self.names: dict[str, str] = {}  # what a case-blind disk would call it → its own spelling

    def run(self) -> None:
        with _damage(self.archive, OSError):
            file = self.archive.open("rb")
        with file:
            start = file.read(6)
            file.seek(0)
            if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
                self._unzip(file)
            else:
                with _decompressed(file, start) as stream:
                    self._untar(file, stream)

    def _untar(self, file: BinaryIO, stream: _Readable) -> None:
        metered = _Metered(stream, self.archive)
        with _damage(self.archive), tarfile.open(fileobj=metered, mode="r|") as tar:  # type: ignore[call-overload]
            while True:
                metered.allow(HEADER_BYTES)
                if (member := tar.next()) is None:
                    self._check_end(cast(_Readable, tar.fileobj))
                    return
                if member.issparse() or member.type not in PLAIN_TYPES:
                    raise self._refuse(member.name, "is a link, a device or another special file")
                target = self._admit(member.name, member.isdir(), member.size)
                try:
                    tarfile.data_filter(member, str(self.folder))
                except tarfile.FilterError as error:
                    raise self._refuse(member.name, str(error)) from error
                if not member.isdir():
                    metered.allow(member.size + HEADER_BYTES)
                    source = tar.extractfile(member)
                    assert source is not None  # it is a regular file
                    self._write(source, target, member.name, member.size)
                tar.members.clear()  # else every member of a huge archive is kept
                self.progress(file.tell(), self.size)

    def _check_end(self, stream: _Readable) -> None:
        # tarfile stops without a word at a damaged header; and a checksum comes after the last byte
        if stream.read(HEADER_BYTES).strip(b"\0"):
            raise tarfile.ReadError("it goes on after its end")

    def _unzip(self, file: BinaryIO) -> None:
        done = 0
        with _damage(self.archive, OSError):  # a seek to nowhere is an OSError
            zipped = zipfile.ZipFile(file)
        for member in zipped.infolist():
            name = member.orig_filename
            is_folder = name.endswith("/")
            if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise self._refuse(name, "is a link, a device or another special file")
            if member.flag_bits & 1 or member.compress_type not in PLAIN_METHODS:
                raise self._refuse(name, "is encrypted, or packed in an uncommon way")
            target = self._admit(name, is_folder, member.file_size)
            if not is_folder:
                with _damage(self.archive, OSError):
                    source = zipped.open(member)
                with source, _damage(self.archive):
                    self._write(source, target, name, member.file_size)
            done += member.compress_size
            self.progress(min(done, self.size), self.size)

    def _admit(self, name: str, is_folder: bool, size: int) -> Path:
        """The path for a member, its folders made; raises when it may not pass."""
        if "\0" in name or "\\" in name or name.startswith("/") or PureWindowsPath(name).drive:
            raise self._refuse(name, "is an absolute path, or not a portable one")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise self._refuse(name, "leads out of the folder")
        if not parts and not is_folder:
            raise self._refuse(name, "has no name")
        if not 0 <= size <= self.bytes_left:
            raise self._refuse(name, "is too large, or the archive as a whole is")
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            is_file = depth == len(parts) and not is_folder
            spelling = path if is_file else path + "/"
            key = unicodedata.normalize("NFC", path).casefold()
            if key in self.names:
                if is_file or self.names[key] != spelling:
                    raise self._refuse(name, f"is there twice, or collides with {self.names[key]!r}")
                continue
            if len(self.names) >= self.max_files:
                raise self._refuse(name, f"is one too many: expected at most {self.max_files:,} files and folders")
            self.names[key] = spelling
            if not is_file:
                new_folder(self.folder / path, 0o755)
        return self.folder.joinpath(*parts)

    def _write(self, source: IO[bytes], target: Path, name: str, size: int) -> None:
        written = 0
        with new_file(target, 0o644) as file:
            while chunk := source.read(CHUNK_BYTES):
                written += len(chunk)
                self.bytes_left -= len(chunk)
                if written > size or self.bytes_left < 0:
                    raise self._refuse(name, "holds more bytes than it says")
                file.write(chunk)
        if written < size:
            raise self._refuse(name, f"is cut short: expected {size:,} bytes, found {written:,}")

    def _refuse(self, name: str, why: str) -> DownloadError:
        return DownloadError(f"refused to unpack {self.archive}: member {name!r} {why}", hint=HINT)


class _Readable(Protocol):
    def read(self, count: int, /) -> bytes: ...


class _Metered:
    """A stream that ends in an error once more is read from it than was allowed: no header is a bomb."""

    def __init__(self, stream: _Readable, archive: Path) -> None:
        self.stream, self.archive, self.left = stream, archive, HEADER_BYTES

    def allow(self, count: int) -> None:
        self.left = count

    def read(self, count: int) -> bytes:
        with _damage(self.archive, OSError):  # gzip and bz2 report damage as an OSError
            chunk = self.stream.read(count)
        self.left -= len(chunk)
        if self.left < 0:
            raise DownloadError(f"refused to unpack {self.archive}: a header is too large", hint=HINT)
        return chunk


def _decompressed(file: BinaryIO, start: bytes) -> GzipFile | BZ2File | lzma.LZMAFile | BinaryIO:
    if start.startswith(b"\x1f\x8b"):
        return GzipFile(fileobj=file)
    if start.startswith(b"BZh"):
        return BZ2File(file)
    return lzma.LZMAFile(file) if start == b"\xfd7zXZ\x00" else file


@contextmanager
def _damage(archive: Path, *also: type[Exception]) -> Iterator[None]:
    """Turn what the readers of archives raise into a `DownloadError`."""
    try:
        yield
    except DAMAGED + also as error:
        raise DownloadError(
            f"cannot read the archive {archive}: {error or type(error).__name__}",
            hint="it is damaged, or not a tar or zip archive: delete it and download it again",
        ) from error
