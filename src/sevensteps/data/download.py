"""Download a file whole and as published, or not at all.

Comes in: addresses, the published size and digest. Goes out: the file, at the place that was asked for.
The bytes go to a temporary file beside the target, are counted and hashed on the way, and get their name
only when both are right. Only https; plain http is for loopback hosts, so that a local server can be tested.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ..errors import DownloadError, RequestError
from ..files import atomic_writer, file_hash, make_folder

SILENCE_SECONDS = 30.0
MAX_REDIRECTS = 5
CHUNK_BYTES = 1 << 16
ALGORITHMS = ("sha256", "md5")


class Progress(Protocol):
    """A callable that is told how far it is."""

    def __call__(self, done_bytes: int, total_bytes: int, /) -> None:
        """Told now and then the bytes that are done and the bytes in all."""


def download(
    urls: str | Sequence[str], target: Path, *, size: int, digest: str, progress: Progress | None = None
) -> Path:
    """Download a file of `size` bytes with this `digest` ("sha256:…", "md5:…") to `target`; return `target`.

    Several addresses are mirrors, tried in order. Where `target` is there with the right bytes, nothing is
    downloaded; where it has other bytes, it is replaced once the right ones have come. A server that sends
    nothing for 30 seconds has failed. Whatever goes wrong, Ctrl-C included, leaves no partial file behind.

    Raises `DownloadError` when no mirror gave the file, `StorageError` when it cannot be written,
    `RequestError` for a digest of an unknown form.
    """
    algorithm, _, expected = digest.partition(":")
    if algorithm not in ALGORITHMS or not expected:
        raise RequestError(f"unknown digest {digest!r}", hint="write it as sha256:… or md5:…")
    if is_whole(target, size, digest):
        return target
    make_folder(target.parent)
    mirrors = [urls] if isinstance(urls, str) else list(urls)
    failures = []
    for url in mirrors:
        try:
            _stream(url, target, size, digest, progress)
        except DownloadError as error:
            failures.append(f"  {url}: {error.message}")
        else:
            return target
    raise DownloadError(
        "\n".join([f"cannot download {target.name} ({size:,} bytes, {digest})", *failures]),
        hint=f"try again later, or fetch it by hand and put it there: {target}",
    )


def is_whole(target: Path, size: int, digest: str) -> bool:
    """Whether `target` is there, with `size` bytes and this `digest`."""
    algorithm, _, expected = digest.partition(":")
    try:
        return target.stat().st_size == size and file_hash(target, algorithm) == expected
    except OSError:
        return False


def _stream(url: str, target: Path, size: int, digest: str, progress: Progress | None) -> None:
    algorithm, _, expected = digest.partition(":")
    hasher = hashlib.new(algorithm, usedforsecurity=False)
    done = 0
    with _open(url) as response, atomic_writer(target) as file:
        while chunk := _read(response):
            done += len(chunk)
            if done > size:
                raise DownloadError(f"it sends more than the expected {size:,} bytes")
            hasher.update(chunk)
            file.write(chunk)
            if progress is not None:
                progress(done, size)
        if done < size:
            raise DownloadError(f"it sent {done:,} bytes, expected {size:,}")
        if hasher.hexdigest() != expected:
            raise DownloadError(f"the {algorithm} of what it sent is {hasher.hexdigest()}, expected {expected}")


def _open(url: str) -> HTTPResponse:
    with _network_errors():
        _check_address(url)
        response = build_opener(_CheckedRedirects()).open(url, timeout=SILENCE_SECONDS)
    assert isinstance(response, HTTPResponse)  # any other scheme was refused above
    return response


def _read(response: HTTPResponse) -> bytes:
    # apart from the writing: inside `atomic_writer`, an OSError would be taken for a full disk
    with _network_errors():
        return response.read1(CHUNK_BYTES)


@contextmanager
def _network_errors() -> Iterator[None]:
    """Turn what urllib, http.client and the socket raise into a `DownloadError`."""
    try:
        yield
    except HTTPError as error:
        error.close()
        raise DownloadError(f"the server answered {error.code} {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, URLError) else error
        if isinstance(cause, TimeoutError):
            raise DownloadError(f"nothing came for {SILENCE_SECONDS:g} seconds") from error
        raise DownloadError(f"the connection failed: {cause or type(cause).__name__}") from error


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))):
        raise DownloadError(f"expected an https address, got {url!r}")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _CheckedRedirects(HTTPRedirectHandler):
    """Follows at most 5 redirects, and none that leaves https."""

    def __init__(self) -> None:
        self.followed = 0

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        try:
            self.followed += 1
            if self.followed > MAX_REDIRECTS:
                raise DownloadError(f"it redirected more than {MAX_REDIRECTS} times")
            if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
                raise DownloadError(f"it redirected from https to {newurl!r}")
            _check_address(newurl)
        except BaseException:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)
