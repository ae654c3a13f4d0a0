"""The local page: draw a picture, or bring one, and see what the network sees and what it answers.

`studio("runs/digits")` shows it at http://127.0.0.1:7777 until Ctrl-C. It listens to this machine alone, takes
requests from its own page alone, and the page loads nothing from elsewhere: a picture never leaves the machine.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..errors import RefusedPicture, RequestError
from ..models.model_folder import find_model_folder
from ..models.pixel_similarity import PixelSimilarity
from ..models.predictor import Predictor
from ..serve.app import HANDLERS, error_facts, listen, model_facts, read_body, reply, untrusted_pixels

try:
    import anyio
    import anyio.to_thread
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import FileResponse, Response
    from starlette.routing import Route
    from starlette.types import ASGIApp, Receive, Scope, Send
except ModuleNotFoundError as missing:
    raise RequestError(
        f"the studio needs the package {missing.name}, which is not installed", hint='pip install "sevensteps[serve]"'
    ) from missing

HERE = Path(__file__).parent
MOST_BARS = 10  # classes that the page shows
HOSTS = ("localhost", "127.0.0.1", "[::1]")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# A run folder may come from a stranger: its report runs in a world of its own, and reaches nothing.
REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def studio(folder: str | Path, port: int = 7777) -> None:
    """Show the page for a model or run folder, to this machine alone, until Ctrl-C. Port 0 takes any free one.

    Raises `RequestError` where the extra `serve` is missing or the port cannot be had, and `ModelFolderError`.
    """
    listen(create_studio(folder), "127.0.0.1", port, f"the studio of {folder} is")


def create_studio(folder: str | Path) -> Starlette:
    """The page as an application. Raises `ModelFolderError`, and `RequestError` for a damaged `result.json`.

    In a run folder, `result.json` gives the figures in the page's head, `report.html` a link, and `baseline/`, a model
    folder of a pixel similarity, the baseline's answer beside the network's.
    """
    page = Page(Path(folder))
    routes = [Route("/", page.file("page.html", PAGE_POLICY)), Route("/facts", page.facts)]
    routes += [Route(f"/{name}", page.file(name, PAGE_POLICY)) for name in ("page.css", "page.js")]
    routes += [Route("/look", page.look, methods=["POST"])]
    if page.report.is_file():
        routes += [Route("/report.html", page.file(page.report, REPORT_POLICY))]
    app = Starlette(routes=routes, middleware=[Middleware(OnlyThisMachine)], exception_handlers=HANDLERS)
    app.router.redirect_slashes = False
    return app


class Page:
    """What the page asks for: its files, the facts of its head, and a look at a picture."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.report = folder / "report.html"
        self.predictor = Predictor(find_model_folder(folder))
        self.scores = read_scores(folder / "result.json")
        self.baseline = _baseline(folder / "baseline", self.predictor)
        self.limiter = anyio.CapacityLimiter(2)

    def file(self, name: str | Path, policy: str) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint that gives one file."""

        async def give(request: Request) -> Response:
            return FileResponse(HERE / name, headers={**HEADERS, "Content-Security-Policy": policy})

        return give

    async def facts(self, request: Request) -> Response:
        """What the page's head says."""
        name = self.folder.resolve().name
        own = {"name": name, "scores": self.scores, "report": self.report.is_file(), "baseline": bool(self.baseline)}
        return reply(model_facts(self.predictor) | own)

    async def look(self, request: Request) -> Response:
        """A picture as the network sees it, and the answers; `?invert=1` turns black to white first."""
        picture, invert = await read_body(request), request.query_params.get("invert") == "1"
        try:
            return reply(await anyio.to_thread.run_sync(self._look, picture, invert, limiter=self.limiter))
        except RefusedPicture as refused:
            return reply(error_facts(refused.reason, str(refused)), 422)

    def _look(self, picture: bytes, invert: bool) -> dict[str, Any]:
        pixels = untrusted_pixels(picture, self.predictor.preprocessing)
        pixels = 255 - pixels if invert else pixels
        probabilities = self.predictor.probabilities(pixels[None])[0]
        top = probabilities.topk(min(MOST_BARS, len(probabilities)))
        classes = [self.predictor.classes[i] for i in top.indices.tolist()]
        similar = None
        if self.baseline:
            label = int(self.baseline.probabilities(pixels[None])[0].argmax())
            mean = self.baseline.model.archetypes[label]  # type: ignore[index]
            similar = {"class": self.baseline.classes[label], "mean": png((mean * 255).round().to(torch.uint8))}
        return {"seen": png(pixels), "top": list(zip(classes, top.values.tolist(), strict=True)), "similar": similar}


class OnlyThisMachine:
    """Refuses what another site could make a browser send: foreign host names, and POSTs that our page did not make."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with a 403."""
        answer: ASGIApp = self.app
        if scope["type"] == "http":
            request = Request(scope)
            host, origin = request.headers.get("host", ""), request.headers.get("origin")
            if not re.fullmatch(rf"({'|'.join(map(re.escape, HOSTS))})(:\d{{1,5}})?", host):
                answer = _forbidden(f"the host is {host[:80]!r}; expected {', '.join(HOSTS)}")
            elif request.method not in ("GET", "HEAD") and origin != f"http://{host}":
                answer = _forbidden("only the studio's own page may ask this; for programs there is `sevensteps serve`")
        await answer(scope, receive, send)


def _forbidden(message: str) -> Response:
    return reply(error_facts("forbidden", message), 403)


def png(pixels: Tensor) -> str:
    """Pixels (uint8, C×H×W) as a PNG in a data URI."""
    array = pixels.permute(1, 2, 0).cpu().numpy()
    file = io.BytesIO()
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def read_scores(path: Path) -> dict[str, Any] | None:
    """The network's and the baseline's accuracy from `result.json`: on the test pictures, or else the validation ones.

    None where there is no such file. Raises `RequestError` where it is not what a training run writes.
    """
    if not path.is_file():
        return None
    try:
        result = json.loads(path.read_text("utf-8"))
        split = "test" if result.get("test") else "valid"
        baseline = result["baseline"]["test"] if split == "test" else result["baseline"]
        figures = {"network": _figures(result[split]), "baseline": _figures(baseline)}
        return {"split": split, **figures} if result[split]["n"] else None
    except (OSError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise RequestError(
            f"{path} is no result of a training run: {error!r}", hint="was it edited by hand?"
        ) from error


def _figures(scores: dict[str, Any]) -> dict[str, Any]:
    low, high = scores["interval"]
    if not 0 <= scores["accuracy"] <= 1 and scores["n"]:
        raise ValueError(f"accuracy is {scores['accuracy']}")
    return {"accuracy": scores["accuracy"], "interval": [float(low), float(high)], "n": int(scores["n"])}


def _baseline(folder: Path, network: Predictor) -> Predictor | None:
    if not (folder / "config.json").is_file():
        return None
    baseline = Predictor(folder)
    if not isinstance(baseline.model, PixelSimilarity) or baseline.preprocessing != network.preprocessing:
        raise RequestError(f"{folder} is no pixel similarity for this network", hint="remove it, or train again")
    return baseline
