from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sevensteps.data import download as module
from sevensteps.data.download import download
from sevensteps.errors import DownloadError, RequestError, StorageError

CONTENT = bytes(range(256)) * 1000
SIZE = len(CONTENT)
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    requests: list[str]
    released: threading.Event

    def do_GET(self) -> None:
        type(self).requests.append(self.path)
        kind, _, rest = self.path.strip("/").partition("/")
        if kind == "redirect":
            hops = int(rest)
            self.answer(302, location=f"/redirect/{hops - 1}" if hops > 1 else "/good")
        elif kind == "away":
            self.answer(302, location="http://example.org/file")
        elif kind == "ftp":
            self.answer(302, location="ftp://127.0.0.1/file")
        elif kind == "missing":
            self.answer(404)
        elif kind == "slow":
            self.answer(200, CONTENT[:1000], length=SIZE)
            self.released.wait(10)
        elif kind == "nonsense":
            self.wfile.write(b"no http at all\r\n\r\n")
        else:
            bodies = {"short": CONTENT[:-1], "long": CONTENT * 50, "other": CONTENT[::-1]}
            self.answer(200, bodies.get(kind, CONTENT))

    def answer(self, code: int, body: bytes = b"", *, location: str = "", length: int | None = None) -> None:
        self.send_response(code)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        try:
            self.wfile.write(body)
            self.wfile.flush()
        except OSError:  # the client has seen enough
            pass

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[str]:
    Handler.requests, Handler.released = [], threading.Event()
    with Server(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        Handler.released.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "files" / "pixels.bin"


def left_behind(target: Path) -> list[Path]:
    return list(target.parent.iterdir()) if target.parent.exists() else []


def test_a_good_file_arrives_whole_and_with_its_name(server: str, target: Path) -> None:
    assert download(f"{server}/good", target, size=SIZE, digest=SHA256) == target
    assert target.read_bytes() == CONTENT
    assert left_behind(target) == [target]


def test_an_md5_is_checked_as_well(server: str, target: Path) -> None:
    digest = "md5:" + hashlib.md5(CONTENT).hexdigest()
    download(f"{server}/good", target, size=SIZE, digest=digest)
    assert target.read_bytes() == CONTENT
    with pytest.raises(DownloadError, match="the md5 of what it sent"):
        download(f"{server}/other", target.with_name("b"), size=SIZE, digest=digest)


def test_a_file_that_is_there_is_not_downloaded_again(server: str, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    download(f"{server}/good", target, size=SIZE, digest=SHA256)
    assert Handler.requests == []


def test_a_wrong_file_that_is_there_is_replaced_only_by_the_right_one(server: str, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"damaged")
    with pytest.raises(DownloadError):
        download(f"{server}/other", target, size=SIZE, digest=SHA256)
    assert target.read_bytes() == b"damaged"
    download(f"{server}/good", target, size=SIZE, digest=SHA256)
    assert target.read_bytes() == CONTENT


def test_progress_counts_up_to_the_size(server: str, target: Path) -> None:
    seen: list[tuple[int, int]] = []
    download(
        f"{server}/good",
        target,
        size=SIZE,
        digest=SHA256,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (SIZE, SIZE)
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("short", f"it sent {SIZE - 1:,} bytes, expected {SIZE:,}"),
        ("long", f"it sends more than the expected {SIZE:,} bytes"),
        ("other", "the sha256 of what it sent is "),
        ("missing", "the server answered 404 Not Found"),
        ("away", "expected an https address, got 'http://example.org/file'"),
        ("ftp", "expected an https address, got 'ftp://127.0.0.1/file'"),
        ("redirect/6", "it redirected more than 5 times"),
        ("nonsense", "the connection failed"),
    ],
)
def test_a_bad_answer_is_explained_and_leaves_nothing(server: str, target: Path, kind: str, message: str) -> None:
    with pytest.raises(DownloadError) as caught:
        download(f"{server}/{kind}", target, size=SIZE, digest=SHA256)
    assert message in caught.value.message
    assert f"{server}/{kind}" in caught.value.message
    assert f"by hand and put it there: {target}" in caught.value.hint
    assert left_behind(target) == []


def test_a_file_that_is_too_long_is_not_read_to_its_end(server: str, target: Path) -> None:
    seen: list[int] = []
    with pytest.raises(DownloadError):
        download(f"{server}/long", target, size=SIZE, digest=SHA256, progress=lambda done, _: seen.append(done))
    assert max(seen) <= SIZE


def test_five_redirects_are_followed(server: str, target: Path) -> None:
    download(f"{server}/redirect/5", target, size=SIZE, digest=SHA256)
    assert len(Handler.requests) == 6


def test_silence_ends_the_download(server: str, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.2)
    with pytest.raises(DownloadError, match=r"nothing came for 0\.2 seconds"):
        download(f"{server}/slow", target, size=SIZE, digest=SHA256)
    assert left_behind(target) == []


def test_a_closed_port_is_a_download_error(target: Path) -> None:
    with Server(("127.0.0.1", 0), Handler) as closed:
        port = closed.server_port
    with pytest.raises(DownloadError, match="the connection failed"):
        download(f"http://127.0.0.1:{port}/good", target, size=SIZE, digest=SHA256)


def test_mirrors_are_tried_in_order_until_one_is_right(server: str, target: Path) -> None:
    urls = [f"{server}/missing", f"{server}/other", f"{server}/good", f"{server}/short"]
    download(urls, target, size=SIZE, digest=SHA256)
    assert Handler.requests == ["/missing", "/other", "/good"]
    assert target.read_bytes() == CONTENT


def test_all_mirrors_and_their_failures_are_named(server: str, target: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        download([f"{server}/missing", f"{server}/short"], target, size=SIZE, digest=SHA256)
    assert f"{server}/missing: the server answered 404" in caught.value.message
    assert f"{server}/short: it sent" in caught.value.message
    assert SHA256 in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/file",
        "http://127.0.0.1.example.org/file",
        "ftp://127.0.0.1/file",
        "file:///etc/hostname",
        "data:,hello",
        "no address",
        "https:///file",
        "http://[::1/file",
    ],
)
def test_only_https_and_loopback_are_asked(target: Path, url: str) -> None:
    with pytest.raises(DownloadError, match=r"expected an https address|connection failed"):
        download(url, target, size=SIZE, digest=SHA256)
    assert left_behind(target) == []


def test_a_redirect_from_https_to_http_is_refused() -> None:
    class Body:
        closed = False

        def close(self) -> None:
            self.closed = True

    body = Body()
    request = module.Request("https://example.org/file")
    with pytest.raises(DownloadError, match=r"redirected from https to 'http://127\.0\.0\.1/file'"):
        module._CheckedRedirects().redirect_request(
            request, body, 302, "Found", module.HTTPMessage(), "http://127.0.0.1/file"
        )
    assert body.closed


def test_ctrl_c_leaves_nothing_behind(server: str, target: Path) -> None:
    def interrupt(done_bytes: int, total_bytes: int) -> None:
        assert len(left_behind(target)) == 1  # the temporary file
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download([f"{server}/good", f"{server}/good"], target, size=SIZE, digest=SHA256, progress=interrupt)
    assert left_behind(target) == []
    assert Handler.requests == ["/good"]


def test_a_place_that_cannot_be_written_is_a_storage_error(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write"):
        download(f"{server}/good", tmp_path / "file" / "pixels.bin", size=SIZE, digest=SHA256)


def test_an_unknown_digest_is_refused(target: Path) -> None:
    for digest in ("crc32:1234", "sha256:", "1234"):
        with pytest.raises(RequestError, match=f"unknown digest '{digest}'"):
            download("https://example.org/file", target, size=SIZE, digest=digest)
