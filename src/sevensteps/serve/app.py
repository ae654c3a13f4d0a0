"""A model folder behind HTTP: `POST /predict`, `GET /model`, `GET /health`.

```
curl --data-binary @3.png -H "Content-Type: image/png" http://127.0.0.1:8000/predict
{"class": "3", "probability": 0.998, "probabilities": {"3": 0.998, "7": 0.002}}
curl -F picture=@3.png -F picture=@7.png http://127.0.0.1:8000/predict      a list, one answer a picture
```

What cannot be answered gets `{"error": {"reason": …, "message": …}}`: 422 for a picture that is refused (in a list it
stands in the picture's place, and the status is 422 only where all were refused), 400, 404, 405, 408, 413 or 415 for
a request that is wrong. There is no password and no encryption: for more than this machine, put a proxy before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.decode import most_pixels
from ..data.decoders import decode_bytes
from ..data.preprocessing import Preprocessing
from ..errors import RefusedPicture, RequestError
from ..models.model_folder import ModelFolder
from ..models.networks import count_parameters
from ..models.predictor import Predictor
from ..words import visible

try:
    import anyio
    import anyio.to_thread
    import python_multipart  # noqa: F401 - Starlette reads forms with it
    import uvicorn
    from python_multipart.exceptions import FormParserError
    from starlette.applications import Starlette
    from starlette.datastructures import UploadFile
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import Response
    from starlette.routing import Route
    from starlette.types import ASGIApp, Message
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ModuleNotFoundError as missing:
    raise RequestError(
        f"serving needs the package {missing.name}, which is not installed", hint='pip install "sevensteps[serve]"'
    ) from missing

MOST_BYTES = 20_000_000  # of a request's body
MEGAPIXELS = 16.0  # of a picture, unless $SEVENSTEPS_MEGAPIXELS says otherwise: about 50 MB while it is decoded
MOST_PICTURES = 32  # in one form
MOST_SECONDS = 60  # for a body to arrive
MOST_SECONDS_HEAD = 10  # for what stands before it
WORKERS = 4  # predictions at one time; more requests wait
MOST_REQUESTS = 64  # at one time; more get a 503

RAW = {"application/octet-stream", "application/x-www-form-urlencoded"}  # the second is curl's --data-binary
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
REASONS = {
    400: "bad-request", 403: "forbidden", 404: "not-found", 405: "wrong-method", 408: "too-slow", 413: "too-large",
    415: "wrong-type",
}  # fmt: skip


def serve(folder: str | Path, host: str = "127.0.0.1", port: int = 8000, device: str = "auto") -> None:
    """Answer requests with the model in `folder` until Ctrl-C. Port 0 takes any free one.

    Raises `RequestError` where the extra `serve` is missing or the address cannot be had, and `ModelFolderError`.
    """
    app = create_app(folder, device=device)
    listen(app, host, port, f"serving {folder}", "  try: curl -F picture=@FILE {}/predict")


def create_app(folder: str | Path | ModelFolder, *, device: str = "auto") -> Starlette:
    """The application, for any ASGI server. Raises `ModelFolderError`, and `RequestError` for a missing device."""
    api = Api(Predictor(folder, device))
    most_pixels(MEGAPIXELS)  # a wrong number is told now
    app = Starlette(
        routes=[
            Route("/predict", api.predict, methods=["POST"]),
            Route("/model", api.model, methods=["GET"]),
            Route("/health", api.health, methods=["GET"]),
        ],
        exception_handlers=HANDLERS,
    )
    app.router.redirect_slashes = False
    return app


class Api:
    """The answers to the three paths, by one predictor."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.limiter = anyio.CapacityLimiter(WORKERS)

    async def predict(self, request: Request) -> Response:
        """The class of the picture in the body, or a list of those of the pictures in a form."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            answers = await self._answers(await read_form(request))
            return reply(answers, 422 if all("error" in answer for answer in answers) else 200)
        if kind and kind not in RAW and not kind.startswith("image/"):
            raise HTTPException(
                415,
                f"the body is said to be {kind[:80]}; expected image/* or application/octet-stream and the picture's "
                "bytes, or multipart/form-data with fields named 'picture'",
            )
        [answer] = await self._answers([await read_body(request)])
        return reply(answer, 422 if "error" in answer else 200)

    async def model(self, request: Request) -> Response:
        """What the model is, and what it does with a picture."""
        return reply(model_facts(self.predictor))

    async def health(self, request: Request) -> Response:
        """That the server is up."""
        return reply({"status": "ok"})

    async def _answers(self, pictures: list[bytes]) -> list[dict[str, Any]]:
        return [await anyio.to_thread.run_sync(self._answer, picture, limiter=self.limiter) for picture in pictures]

    def _answer(self, picture: bytes) -> dict[str, Any]:
        try:
            pixels = untrusted_pixels(picture, self.predictor.preprocessing)
            name, probabilities = prediction = self.predictor.of_pixels(pixels)
            return {"class": name, "probability": prediction.probability, "probabilities": probabilities}
        except RefusedPicture as refused:
            return error_facts(refused.reason, str(refused))


def model_facts(predictor: Predictor) -> dict[str, Any]:
    """Classes, preprocessing, network and its number of parameters, as JSON has them."""
    preprocessing, architecture = predictor.preprocessing, predictor.model.architecture
    return {
        "classes": predictor.classes,
        "preprocessing": {**preprocessing.to_dict(), "rule": preprocessing.rule},
        "architecture": architecture.name,  # type: ignore[union-attr]
        "parameters": count_parameters(predictor.model),
    }


def error_facts(reason: str, message: str) -> dict[str, Any]:
    """What went wrong, as JSON has it: `reason` is a short code."""
    return {"error": {"reason": reason, "message": message}}


def untrusted_pixels(picture: bytes, preprocessing: Preprocessing) -> Tensor:
    """Pixels (uint8, C×H×W) of a stranger's picture, decoded by another process. Raises `RefusedPicture`."""
    return torch.from_numpy(decode_bytes(picture, preprocessing, most_pixels(MEGAPIXELS)))


async def read_body(request: Request) -> bytes:
    """The whole body, within its limits of bytes and time. Raises `HTTPException`, 413 or 408."""
    with _in_time():
        return await _limited(request).body()


async def read_form(request: Request) -> list[bytes]:
    """The files of the fields named 'picture', in order. Raises `HTTPException` for any other form."""
    try:
        with _in_time():
            async with _limited(request).form(max_files=MOST_PICTURES, max_fields=MOST_PICTURES) as form:
                fields = [
                    (name, await v.read() if isinstance(v, UploadFile) else None) for name, v in form.multi_items()
                ]
    except (FormParserError, LookupError) as error:
        raise HTTPException(400, "the form cannot be read; expected multipart/form-data") from error
    pictures = [content for name, content in fields if name == "picture" and content is not None]
    if not pictures or len(pictures) < len(fields):
        found = ", ".join(f"{name[:40]!r}" for name, _ in fields[:5]) or "no field"
        raise HTTPException(400, f"the form has {found}; expected one or more files, in fields named 'picture'")
    return pictures


def _limited(request: Request) -> Request:
    """The same request; reading more than `MOST_BYTES` of its body, whatever its length is said to be, is a 413."""
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > MOST_BYTES:
            raise HTTPException(413, too_large)
        return message

    too_large = f"the body has more than {MOST_BYTES:,} bytes, which is the most that is taken"
    if (said := request.headers.get("content-length", "")).isdecimal() and int(said[:20]) > MOST_BYTES:
        raise HTTPException(413, too_large)
    return Request(request.scope, receive)


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    try:
        with anyio.fail_after(MOST_SECONDS):
            yield
    except TimeoutError as error:
        raise HTTPException(408, f"the body did not arrive within {MOST_SECONDS} seconds") from error


def reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value as JSON, with the headers that keep a browser from making anything else of it."""
    body = json.dumps(value, allow_nan=False)  # in ASCII: a class name may be a file name that is no valid Unicode
    return Response(body, status, {**HEADERS, **(headers or {})}, "application/json")


async def on_http(request: Request, error: Exception) -> Response:
    """A request that was wrong: what happened, and what was expected."""
    assert isinstance(error, HTTPException)
    message, asked = error.detail, f"{request.method} {request.url.path[:80]}"
    if error.status_code in (404, 405):
        known = (
            f"{method} {route.path}" for route in request.app.routes for method in sorted(route.methods - {"HEAD"})
        )
        message = f"{asked} is not known here; expected {', '.join(known)}"
    return reply(error_facts(REASONS.get(error.status_code, "failed"), message), error.status_code, error.headers)


async def on_crash(request: Request, error: Exception) -> Response:
    """The client went away, or a mistake of ours: its details go to the server's log, not to the client."""
    if isinstance(error, ClientDisconnect):
        return reply(error_facts("bad-request", "the request ended before its body did"), 400)
    return reply(error_facts("failed", "the server failed at this; its log says why"), 500)


HANDLERS: Any = {HTTPException: on_http, ClientDisconnect: on_crash, Exception: on_crash}


class Protocol(H11Protocol):
    """HTTP that hangs up where the head of a request does not arrive: uvicorn would wait for it forever."""

    due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """From now on the head is awaited."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """This may be the end of a head, or the beginning of the next one."""
        super().data_received(data)
        if self.cycle and not self.cycle.response_complete:
            self._await_nothing()
        elif not self.due:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more comes."""
        super().connection_lost(exc)
        self._await_nothing()

    def _await_head(self) -> None:
        self.due = self.loop.call_later(MOST_SECONDS_HEAD, self.transport.close)

    def _await_nothing(self) -> None:
        if self.due:
            self.due.cancel()
            self.due = None


def listen(app: ASGIApp, host: str, port: int, what: str, hint: str = "") -> None:
    """Run `app` at an address until Ctrl-C, and say where on stderr; `hint` may hold the address as {}.

    Raises `RequestError` where the address cannot be had.
    """
    if not 0 <= port <= 65535:
        raise RequestError(f"the port is {port}", hint="expected a number from 0 to 65535; 0 takes any free one")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        hint = "name another port with --port, or end what listens there"
        raise RequestError(f"cannot listen at {host}, port {port}: {error.strerror}", hint=hint) from error
    with listener:
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{listener.getsockname()[1]}"
        print(f"{visible(what)} at {address} (Ctrl-C ends it)", file=sys.stderr, flush=True)
        if hint:
            print(hint.format(address), file=sys.stderr, flush=True)
        if host not in ("127.0.0.1", "::1", "localhost"):
            print("  anyone who reaches this address may use it: there is no password", file=sys.stderr, flush=True)
        config = uvicorn.Config(
            app, http=Protocol, log_level="warning", access_log=False, server_header=False, proxy_headers=False,
            lifespan="off", ws="none", limit_concurrency=MOST_REQUESTS, timeout_graceful_shutdown=5,
        )  # fmt: skip
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
