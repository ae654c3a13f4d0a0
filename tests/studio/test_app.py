from __future__ import annotations

import base64
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from sevensteps.data.preprocessing import Preprocessing
from sevensteps.errors import ModelFolderError, RequestError
from sevensteps.models import networks
from sevensteps.models.model_folder import ModelFolder
from sevensteps.models.pixel_similarity import PixelSimilarity
from sevensteps.models.predictor import Predictor
from sevensteps.serve import app as serving
from sevensteps.studio import app as module
from sevensteps.studio.app import create_studio, read_scores

HOME = "http://127.0.0.1:7777"
OURS = {"Origin": HOME}
CLASSES = ["cat", "dog", "<b>"]
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
SCORE = {"accuracy": 0.75, "interval": [0.3, 0.95], "n": 4}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with everything that the page can show."""
    rule = Preprocessing(1, 8, 8)
    ModelFolder(networks.create("linear", (1, 8, 8), 3), CLASSES, rule).save(tmp_path / "model")
    means = torch.stack([torch.full((1, 8, 8), value) for value in (0.0, 0.5, 1.0)])
    similarity = PixelSimilarity().fit((means, torch.arange(3)), CLASSES)
    ModelFolder(similarity, CLASSES, rule).save(tmp_path / "baseline")
    (tmp_path / "result.json").write_text(json.dumps({"valid": SCORE, "baseline": {**SCORE, "accuracy": 0.5}}))
    (tmp_path / "report.html").write_text("<script>steal()</script>")
    return tmp_path


@pytest.fixture
def client(run: Path) -> TestClient:
    return TestClient(create_studio(run), base_url=HOME)


def picture(pixels: Any = PIXELS) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pixels_of(uri: str) -> Any:
    kind, content = uri.split(",")
    assert kind == "data:image/png;base64"
    return np.array(Image.open(io.BytesIO(base64.b64decode(content))))


def test_a_look_shows_the_pixels_that_the_network_gets_and_its_answer(client: TestClient, run: Path) -> None:
    look = client.post("/look", content=picture(), headers=OURS).json()
    predictor = Predictor(run)
    answer = predictor.predict(picture())
    assert (pixels_of(look["seen"]) == predictor.preprocessing.pixels(picture())[0].numpy()).all()
    assert look["top"][0][0] == answer.class_name
    assert {name: p for name, p in look["top"]} == answer.probabilities


def test_an_inverted_look_shows_black_for_white(client: TestClient) -> None:
    plain, inverted = (client.post(f"/look?invert={n}", content=picture(), headers=OURS).json() for n in (0, 1))
    assert (pixels_of(inverted["seen"]) == 255 - pixels_of(plain["seen"])).all()


@pytest.mark.parametrize(("level", "nearest"), [(10, "cat"), (120, "dog"), (250, "<b>")])
def test_the_baseline_of_a_run_answers_beside_the_network(client: TestClient, level: int, nearest: str) -> None:
    grey = np.full((8, 8), level, np.uint8)
    similar = client.post("/look", content=picture(grey), headers=OURS).json()["similar"]
    assert similar["class"] == nearest
    assert pixels_of(similar["mean"]).mean() == [0, 128, 255][CLASSES.index(nearest)]


def test_a_colour_network_is_shown_colour_and_ten_bars_at_the_most(tmp_path: Path) -> None:
    names = [f"class {n}" for n in range(12)]
    ModelFolder(networks.create("linear", (3, 6, 9), 12), names, Preprocessing(3, 6, 9)).save(tmp_path)
    look = TestClient(create_studio(tmp_path), base_url=HOME).post("/look", content=picture(), headers=OURS).json()
    assert pixels_of(look["seen"]).shape == (6, 9, 3)
    chances = [p for _, p in look["top"]]
    assert len(chances) == 10
    assert chances == sorted(chances, reverse=True)
    assert look["similar"] is None


def test_a_refused_picture_says_why(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    response = client.post("/look", content=b"hello", headers=OURS)
    assert response.status_code == 422
    assert response.json()["error"]["reason"] == "not-a-picture"
    monkeypatch.setattr(serving, "MEGAPIXELS", 599e-6)
    assert client.post("/look", content=picture(), headers=OURS).json()["error"]["reason"] == "too-large"
    monkeypatch.setattr(serving, "MOST_BYTES", 100)
    assert client.post("/look", content=picture(), headers=OURS).status_code == 413


def test_the_head_has_the_figures_of_the_run_with_their_intervals(client: TestClient) -> None:
    facts = client.get("/facts").json()
    assert facts["scores"] == {"split": "valid", "network": SCORE, "baseline": {**SCORE, "accuracy": 0.5}}
    assert facts["classes"] == CLASSES
    assert facts["report"] is True
    assert facts["baseline"] is True


def test_the_test_pictures_count_before_the_validation_ones(tmp_path: Path) -> None:
    other = {"accuracy": 0.1, "interval": [0.0, 0.2], "n": 9}
    result = {"valid": SCORE, "test": other, "baseline": {**SCORE, "test": other}}
    (tmp_path / "result.json").write_text(json.dumps(result))
    assert read_scores(tmp_path / "result.json") == {"split": "test", "network": other, "baseline": other}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"valid": 3}', '{"valid": {"n": 1}, "baseline": {}}'])
def test_a_damaged_result_is_told(run: Path, text: str) -> None:
    (run / "result.json").write_text(text)
    with pytest.raises(RequestError, match="is no result of a training run"):
        create_studio(run)


def test_a_baseline_for_other_pictures_is_told(run: Path) -> None:
    shutil.copytree(run / "model", run / "baseline", dirs_exist_ok=True)
    with pytest.raises(RequestError, match="is no pixel similarity for this network"):
        create_studio(run)


def test_a_model_folder_alone_is_enough(run: Path) -> None:
    client = TestClient(create_studio(run / "model"), base_url=HOME)
    facts = client.get("/facts").json()
    assert (facts["scores"], facts["report"], facts["baseline"]) == (None, False, False)
    assert client.get("/report.html").status_code == 404
    with pytest.raises(ModelFolderError):
        create_studio(run / "nowhere")


def test_the_page_names_nothing_from_elsewhere_and_has_no_inline_code() -> None:
    for name in ("page.html", "page.css", "page.js"):
        text = (module.HERE / name).read_text("utf-8")
        assert not re.findall(r"https?:|//\w|@import|url\(", re.sub(r"^\s*//.*|\s// .*", "", text, flags=re.M)), name
    page = (module.HERE / "page.html").read_text("utf-8")
    assert not re.findall(r"\son\w+=|\sstyle=|<style|<script(?! src=\"page.js\")", page)
    assert "innerHTML" not in (module.HERE / "page.js").read_text("utf-8")


def test_every_part_that_the_script_uses_is_in_the_page_and_every_field_is_labelled() -> None:
    page, script = ((module.HERE / name).read_text("utf-8") for name in ("page.html", "page.js"))
    ids = re.findall(r'id="([\w-]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'\$\("([\w-]+)"\)', script)) <= set(ids)
    for field in re.findall(r'<input id="([\w-]+)"', page):
        assert f'for="{field}"' in page or re.search(rf'<label[^>]*>[^<]*<input id="{field}"', page), field


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js", "/facts", "/report.html", "/nowhere"])
def test_every_answer_has_a_strict_policy(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert not [name for name in headers if name.startswith("access-control")]


def test_the_report_of_a_run_is_kept_in_a_sandbox(client: TestClient) -> None:
    policy = client.get("/report.html").headers["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "allow-same-origin" not in policy
    assert "connect-src" not in policy


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7777", "127.0.0.1.evil.example", "localhost@evil", ""])
def test_a_foreign_host_name_is_refused(client: TestClient, host: str) -> None:
    for path in ("/", "/facts", "/report.html"):
        response = client.get(path, headers={"Host": host})
        assert response.status_code == 403
        assert response.json()["error"]["reason"] == "forbidden"


@pytest.mark.parametrize("host", ["localhost:7777", "127.0.0.1:1", "[::1]:7777", "localhost", "[::1]"])
def test_the_names_of_this_machine_are_answered(client: TestClient, host: str) -> None:
    headers = {"Host": host, "Origin": f"http://{host}"}
    assert client.get("/", headers=headers).status_code == 200
    assert client.post("/look", content=picture(), headers=headers).status_code == 200


@pytest.mark.parametrize("origin", [None, "null", "https://127.0.0.1:7777", "http://127.0.0.1:8888", "http://evil"])
def test_a_post_that_our_page_did_not_make_is_refused(client: TestClient, origin: str | None) -> None:
    response = client.post("/look", content=picture(), headers={"Origin": origin} if origin else None)
    assert response.status_code == 403
    assert "only the studio's own page" in response.json()["error"]["message"]


def test_an_unknown_path_or_method_is_told(client: TestClient) -> None:
    assert client.get("/nowhere").status_code == 404
    assert client.get("/look").status_code == 405
    assert client.get("/../app.py").status_code == 404


@pytest.mark.parametrize(
    "host", ["127.0.0.1:x.evil.com", "localhost:80@evil", "localhost:123456", "127.0.0.1.evil.com"]
)
def test_a_host_that_only_begins_like_this_machine_is_another(client: TestClient, host: str) -> None:
    assert client.get("/facts", headers={"Host": host}).status_code == 403
