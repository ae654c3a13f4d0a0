from __future__ import annotations

import asyncio
import http.client
import importlib.util
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from PIL import Image
from starlette.testclient import TestClient

from sevensteps.data import decoders
from sevensteps.data.preprocessing import Preprocessing
from sevensteps.errors import ModelFolderError, RequestError
from sevensteps.models import networks
from sevensteps.models.model_folder import ModelFolder
from sevensteps.models.predictor import Predictor
from sevensteps.serve import app as module
from sevensteps.serve.app import create_app, serve

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = ModelFolder(networks.create("linear", (1, 8, 8), 3), ["cat", "dog", "ünïcode"], Preprocessing(1, 8, 8))
    return model.save(tmp_path / "model")


@pytest.fixture
def client(folder: Path) -> TestClient:
    return TestClient(create_app(folder), raise_server_exceptions=False)


def picture(pixels: Any = PIXELS, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("pixels", [PIXELS, PIXELS[:, :, 0]], ids=["colour", "grey"])
def test_a_picture_gets_the_answer_that_the_predictor_gives(
    client: TestClient, folder: Path, pixels: Any, kind: str
) -> None:
    content = picture(pixels, kind)
    response = client.post("/predict", content=content, headers={"Content-Type": f"image/{kind.lower()}"})
    expected = Predictor(folder).predict(content)
    assert response.status_code == 200
    assert response.json() == {
        "class": expected.class_name,
        "probability": expected.probability,
        "probabilities": expected.probabilities,
    }


@pytest.mark.parametrize("kind", [None, "application/octet-stream", "Image/PNG; charset=binary"])
def test_the_body_may_be_said_to_be_any_kind_of_picture_or_nothing(client: TestClient, kind: str | None) -> None:
    response = client.post("/predict", content=picture(), headers={"Content-Type": kind} if kind else None)
    assert response.status_code == 200


def test_a_form_gets_a_list_in_its_order_with_refusals_in_their_places(client: TestClient, folder: Path) -> None:
    pictures = [picture(), b"hello", picture(255 - PIXELS)]
    response = client.post("/predict", files=[("picture", (f"{n}.png", p)) for n, p in enumerate(pictures)])
    first, refused, last = response.json()
    assert response.status_code == 200
    assert first["class"] == Predictor(folder).predict(pictures[0]).class_name
    assert last["probabilities"] == Predictor(folder).predict(pictures[2]).probabilities
    assert refused["error"]["reason"] == "not-a-picture"


def test_a_form_of_refused_pictures_alone_is_a_422(client: TestClient) -> None:
    response = client.post("/predict", files=[("picture", ("a.png", b"hello"))])
    assert response.status_code == 422
    assert [answer["error"]["reason"] for answer in response.json()] == ["not-a-picture"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"hello", "not-a-picture"), (picture()[:300], "truncated"), (b"\x89PNG\r\n\x1a\n", "corrupt")],
)
def test_what_is_no_whole_picture_is_refused_with_a_reason(client: TestClient, content: bytes, reason: str) -> None:
    response = client.post("/predict", content=content, headers={"Content-Type": "image/png"})
    assert response.status_code == 422
    assert response.json()["error"]["reason"] == reason
    assert response.json()["error"]["message"].startswith("the picture: ")


def test_a_picture_of_too_many_pixels_is_refused_by_its_header(client: TestClient) -> None:
    file = io.BytesIO()
    Image.new("1", (4001, 4000)).save(file, "PNG")  # 16,004,000 pixels in two kilobytes
    response = client.post("/predict", content=file.getvalue())
    assert response.status_code == 422
    assert response.json()["error"] == {
        "reason": "too-large",
        "message": "the picture: has 4001 × 4000 pixels, more than 16,000,000 in all",
    }


def test_a_picture_of_the_most_pixels_is_answered(client: TestClient) -> None:
    file = io.BytesIO()
    Image.new("1", (4000, 4000)).save(file, "PNG")
    assert client.post("/predict", content=file.getvalue()).status_code == 200


def test_how_many_pixels_are_too_many_can_be_said(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEVENSTEPS_MEGAPIXELS", str(PIXELS.shape[0] * PIXELS.shape[1] / 1e6 - 1e-6))
    assert client.post("/predict", content=picture()).json()["error"]["reason"] == "too-large"
    monkeypatch.setenv("SEVENSTEPS_MEGAPIXELS", str(PIXELS.shape[0] * PIXELS.shape[1] / 1e6))
    assert client.post("/predict", content=picture()).status_code == 200


def test_a_picture_that_kills_its_decoder_is_refused_and_the_server_lives(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, PIL.Image\nreal = PIL.Image.open\n"
        "def sabotage(*a, **k):\n"
        "    image = real(*a, **k)\n"
        "    if image.size == (7, 7): os.abort()\n"
        "    return image\n"
        "PIL.Image.open = sabotage\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(decoders._Decoder, "resting", [])
    response = client.post("/predict", content=picture(np.zeros((7, 7), np.uint8)))
    assert response.status_code == 422
    assert response.json()["error"]["reason"] == "crashed"
    assert client.post("/predict", content=picture()).status_code == 200
    for decoder in decoders._Decoder.resting:
        decoder.end()


def test_a_body_that_is_too_large_is_a_413(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 5000)
    bodies: list[dict[str, Any]] = [{"content": bytes(5001)}, {"files": [("picture", ("a.png", bytes(5001)))]}]
    for body in bodies:
        response = client.post("/predict", **body)
        assert response.status_code == 413
        assert response.json()["error"]["reason"] == "too-large"
        assert "more than 5,000 bytes" in response.json()["error"]["message"]
    assert client.post("/predict", content=bytes(5000)).json()["error"]["reason"] == "not-a-picture"


def test_a_body_without_end_is_stopped_while_it_arrives(folder: Path) -> None:
    pulled, sent = 0, []

    async def receive() -> dict[str, Any]:
        nonlocal pulled
        pulled += 1_000_000
        return {"type": "http.request", "body": bytes(1_000_000), "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [(b"content-length", b"10")]}
    scope |= {"query_string": b"", "http_version": "1.1", "scheme": "http", "server": ("x", 1), "root_path": ""}
    asyncio.run(create_app(folder)(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 413
    assert pulled == 21_000_000


def test_a_body_that_does_not_arrive_is_a_408(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SECONDS", 0.05)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError

    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [], "query_string": b"", "root_path": ""}
    asyncio.run(create_app(folder)(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 408
    assert b"too-slow" in sent[1]["body"]


def test_a_body_of_another_type_is_a_415_that_says_what_is_expected(client: TestClient) -> None:
    response = client.post("/predict", content=picture(), headers={"Content-Type": "text/html"})
    assert response.status_code == 415
    assert "expected image/*" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "form",
    [
        {"files": [("photo", ("a.png", picture()))]},
        {"files": [("picture", ("a.png", picture()))], "data": {"more": "text"}},
        {"files": [("picture", ("a.png", picture()))] * 33},
        {"content": b"--x\r\nrubbish", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": b"rubbish", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": b"rubbish", "headers": {"Content-Type": "multipart/form-data"}},
        {"content": b"--x--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
    ],
    ids=["other name", "more fields", "too many", "broken", "no boundary in it", "no boundary", "empty"],
)
def test_a_form_that_is_wrong_is_a_400(client: TestClient, form: dict[str, Any]) -> None:
    response = client.post("/predict", **form)
    assert response.status_code == 400
    assert response.json()["error"]["reason"] == "bad-request"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("POST", "/predict/", 404), ("GET", "/predict", 405), ("DELETE", "/model", 405)],
)
def test_an_unknown_path_or_method_is_told_the_known_ones(
    client: TestClient, method: str, path: str, status: int
) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.json()["error"]["message"] == (
        f"{method} {path} is not known here; expected POST /predict, GET /model, GET /health"
    )


def test_health_and_model_say_what_there_is(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    model = client.get("/model").json()
    assert model["preprocessing"].pop("rule") == Preprocessing(1, 8, 8).rule
    assert model == {
        "classes": ["cat", "dog", "ünïcode"],
        "preprocessing": {"channels": 1, "height": 8, "width": 8},
        "architecture": "linear",
        "parameters": 3 * 64 + 3,
    }


def test_every_answer_has_the_security_headers_and_no_cors(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, picture: Any) -> None:
        raise ValueError("a secret of the server")

    monkeypatch.setattr(Predictor, "of_pixels", broken)
    client.headers["Origin"] = "https://elsewhere.example"
    responses = [client.get(path) for path in ("/health", "/nowhere", "/predict")]
    responses += [client.post("/predict", content=content) for content in (b"", picture())]
    assert [response.status_code for response in responses] == [200, 404, 405, 422, 500]
    for response in responses:
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert not [name for name in response.headers if name.startswith("access-control")]
    assert "secret" not in responses[-1].text
    assert responses[-1].json()["error"]["reason"] == "failed"


def test_a_folder_that_is_no_model_folder_is_refused_before_anything_listens(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="is not a model folder"):
        serve(tmp_path)


def test_a_port_in_use_is_told(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RequestError, match=f"cannot listen at 127.0.0.1, port {port}: .*in use"):
            serve(folder, port=port)
    with pytest.raises(RequestError, match="the port is 70000"):
        serve(folder, port=70000)


def test_a_missing_extra_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    spec = importlib.util.spec_from_file_location("sevensteps.serve.again", module.__file__)
    assert spec
    assert spec.loader
    with pytest.raises(RequestError, match=r'needs the package uvicorn(.|\n)*pip install "sevensteps\[serve\]"'):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.fixture
def server(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    code = f"from sevensteps.serve.app import serve; serve({str(folder)!r}, port=0)"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        line = process.stderr.readline()
        assert " at http://127.0.0.1:" in line, line + process.stderr.read()
        yield process, int(line.split("127.0.0.1:")[1].split()[0])
        process.kill()


def test_a_real_server_answers_stops_a_large_body_and_ends_with_ctrl_c(
    server: tuple[subprocess.Popen[str], int], folder: Path
) -> None:
    process, port = server
    url = f"http://127.0.0.1:{port}/predict"
    request = urllib.request.Request(url, picture(), {"Content-Type": "image/png"})
    with urllib.request.urlopen(request, timeout=30) as response:
        assert json.load(response)["class"] == Predictor(folder).predict(picture()).class_name
        assert response.headers["Server"] is None
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/predict", body=(bytes(1_000_000) for _ in range(30)), encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})  # fmt: skip
    assert connection.getresponse().status == 413
    connection.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    assert process.stderr
    assert process.stderr.read().strip() == f"try: curl -F picture=@FILE {url}"


def test_who_sends_the_head_of_a_request_slowly_is_hung_up_on(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_SECONDS_HEAD", 0.5)
    config = uvicorn.Config(client.app, http=module.Protocol, lifespan="off", ws="none", log_level="warning")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        slow = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(3)]
        slow[1].sendall(b"GET /health HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        slow[2].sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        answered = b""
        while not answered.endswith(b"}"):
            answered += slow[2].recv(1000)
        assert answered.startswith(b"HTTP/1.1 200")
        slow[2].sendall(b"GET /health HT")
        assert [connection.recv(1000) for connection in slow] == [b"", b"", b""]
        lasting = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for _ in range(4):
            lasting.request("GET", "/health")
            assert lasting.getresponse().read() == b'{"status": "ok"}'
            time.sleep(0.2)
        for connection in (*slow, lasting):
            connection.close()
        server.should_exit = True
        thread.join(10)
