"""What strangers may hand over, by name and by content: nothing is obeyed, waited for, or written elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from PIL import Image

from sevensteps import Predictor, train
from sevensteps.cli.main import run
from sevensteps.data.cifar import is_cifar10
from sevensteps.data.preprocessing import Preprocessing
from sevensteps.errors import ModelFolderError, RequestError
from sevensteps.files import MANIFEST, damages, seal
from sevensteps.models import networks
from sevensteps.models.model_folder import ModelFolder
from sevensteps.training.checkpoint import checkpoints
from sevensteps.training.train import resume
from sevensteps.words import visible

pytestmark = pytest.mark.slow  # as a whole: a hundred folders from strangers

NASTY = (
    "\x1b[31mred\x1b]0;pwned\x07", "<img src=x onerror=alert(1)>", "=1+1", "+x", "-x", "@x", "a\u202egpj", "a\u2028b",
    "a`b", 'a"b', "tab\there", "c\x9bd", "e\x7ff", os.fsdecode(b"\xff"), "\u00e9", "e\u0301", "[red]x", "%s{}",
)  # fmt: skip


def unsafe(text: str) -> list[str]:
    """The characters that a terminal may obey, or that hide."""
    return [c for c in text if c not in "\n" and visible(c) != c]


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of pictures with nasty names, trained on."""
    place = tmp_path_factory.mktemp("nasty")
    for number, name in enumerate(NASTY):
        folder = place / "data" / name
        folder.mkdir(parents=True)
        for picture in range(4):
            file = folder / f"{picture}{name.replace('/', '')}.png"
            Image.new("L", (6, 6), (number * 13 + picture * 40) % 256).save(file, "PNG")
        (folder / f"broken{name}.png").write_bytes(b"x")
    command = [sys.executable, "-m", "sevensteps", "train", str(place / "data"), "--model", "linear", "--epochs", "1",
               "--threads", "1", "--out", str(place / "runs")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    (place / "told").write_bytes(done.stdout + done.stderr)
    return place


def test_names_come_out_escaped_in_the_terminal_and_in_every_file(nasty: Path) -> None:
    assert unsafe((nasty / "told").read_text("utf-8")) == []
    files = [path for path in (nasty / "runs/data").rglob("*") if path.suffix in (".json", ".csv", ".html", ".md")]
    assert len(files) > 10
    for path in files:
        text = path.read_text("utf-8")
        assert unsafe(text) == [], path
        assert path.suffix != ".html" or "<img src=x" not in text
        if path.suffix == ".json":
            json.loads(text)
        if path.suffix == ".csv":
            cells = [cell.strip('"') for line in text.splitlines()[1:] for cell in line.split(",")]
            assert not [cell for cell in cells if cell[:1] in "=+@\t\r" and cell[:1]], path
    card = (nasty / "runs/data/model/README.md").read_text("utf-8")
    assert "<img" in card  # in a span of code, which no name can close
    assert card.splitlines()[next(n for n, line in enumerate(card.splitlines()) if "Classes" in line)].count("`") == 36


@pytest.mark.parametrize(
    "command",
    [["evaluate", "runs/data", "data"], ["predict", "runs/data", "data"], ["check", "data"]],
)
def test_documents_on_stdout_are_ascii(
    nasty: Path, command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(nasty)
    assert run([*command, "--json"]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert unsafe(out) == []
    json.loads(out)


def test_errors_come_out_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data/a").mkdir(parents=True)
    (tmp_path / "data/a/\x1b]0;pwned\x07\x1b[2J.png").write_text("x")
    (tmp_path / "a.csv").write_text("path,\x1b[31mlabl\u202e\n")
    (tmp_path / "m\x1b[31m").mkdir()
    for words in (["train", "data"], ["train", "a.csv"], ["predict", "m\x1b[31m", "x"], ["verify", "m\x1b[31m"]):
        assert run([words[0], *(str(tmp_path / word) for word in words[1:])]) == 2
        told = capsys.readouterr().err
        assert unsafe(told) == []
        assert "\\x1b" in told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    network = networks.create("linear", (1, 6, 6), 2)
    return ModelFolder(network, ["a", "b"], Preprocessing(1, 6, 6)).save(tmp_path / "model")


def soon(seconds: float, work: Callable[[], Any]) -> Any:
    started = time.perf_counter()
    result = work()
    assert time.perf_counter() - started < seconds
    return result


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", MANIFEST])
def test_nobody_waits_for_a_pipe_in_a_folder(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    if name == MANIFEST:
        assert "cannot be read" in soon(1, lambda: damages(folder))[0]
    else:
        with pytest.raises(ModelFolderError):
            soon(1, lambda: ModelFolder.load(folder))


def test_deep_json_is_a_damage(folder: Path) -> None:
    (folder / MANIFEST).write_text("[" * 200_000)
    assert damages(folder) == [f"{MANIFEST} cannot be read: it is nested too deeply"]


def test_a_header_of_a_million_tensors_is_refused_at_once(folder: Path) -> None:
    header = json.dumps(
        {str(n): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(30_000)}
    ).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ModelFolderError, match=r"has a header of 1,[0-9,]+ bytes"):
        soon(1, lambda: ModelFolder.load(folder))


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.uint8, torch.complex64, torch.float8_e4m3fn])
def test_weights_of_another_kind_are_refused(folder: Path, kind: torch.dtype) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    changed = {name: tensor.to(kind) for name, tensor in tensors.items()}
    safetensors.torch.save_file(changed, folder / "model.safetensors")
    with pytest.raises(ModelFolderError, match=r"should be torch.float32, and is"):
        ModelFolder.load(folder)


def test_weights_that_are_finite_only_before_they_are_taken_are_refused(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    changed = {name: torch.full_like(tensor, 1e300, dtype=torch.float64) for name, tensor in tensors.items()}
    safetensors.torch.save_file(changed, folder / "model.safetensors")
    with pytest.raises(ModelFolderError, match="not finite"):
        ModelFolder.load(folder)


def test_scores_that_are_not_finite_are_told(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    changed = {name: torch.full_like(tensor, 3e38) for name, tensor in tensors.items()}
    safetensors.torch.save_file(changed, folder / "model.safetensors")
    with pytest.raises(ModelFolderError, match="scores that are not finite"):
        Predictor(folder).predict(Image.new("L", (6, 6), 200))


def test_one_file_of_cifar_does_not_hide_the_pictures(tmp_path: Path) -> None:
    (tmp_path / "test_batch.bin").write_bytes(b"x")
    assert not is_cifar10(tmp_path)
    (tmp_path / "data_batch_1.bin").write_bytes(b"x")
    assert is_cifar10(tmp_path)


@pytest.fixture(scope="module")
def a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(model="linear", epochs=2, out=tmp_path_factory.mktemp("a")).run.path


@pytest.mark.parametrize("name", [".lock", "model", "baseline", "checkpoints"])
def test_a_run_folder_with_links_writes_nowhere_else(a_run: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.toml").write_bytes((a_run / "config.toml").read_bytes())
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "run" / name).symlink_to(tmp_path / "victim")
    with pytest.raises(RequestError, match="is a symbolic link"):
        resume(tmp_path / "run")
    assert (tmp_path / "victim").read_text() == "mine"


ODD: list[Any] = [[], "x", 3, None, {}, {"versions": []}, {"counts": []}, {"counts": {"train": 3}}, {"precision": []}]


@pytest.mark.parametrize("name", ["environment.json", "data.json"])
@pytest.mark.parametrize("value", ODD, ids=repr)
def test_odd_files_in_a_run_folder_are_told(a_run: Path, tmp_path: Path, name: str, value: Any) -> None:
    before = (a_run / name).read_bytes()
    try:
        (a_run / name).write_text(json.dumps(value))
        with contextlib.suppress(RequestError):  # or it goes on, where what it needs is there
            resume(a_run, accept_changed_data=True)
    finally:
        (a_run / name).write_bytes(before)


@pytest.mark.parametrize("text", ["", "data = 5", 'data = ["a"]', 'seed = "x"', "device = 3", "a = " + "[" * 5000])
def test_odd_options_in_a_run_folder_are_told(a_run: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    if text:
        with pytest.raises(RequestError):
            resume(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("listeners", []), ("listeners", {"Recorder": 3}), ("listeners", {"StepLog": [[1]]}), ("schedule", "x"),
     ("listeners", {"KeepBest": {"epoch": "x"}}), ("steps_done", -5), ("seed", "x"), ("epochs", None)],
)  # fmt: skip
def test_odd_checkpoints_are_told(a_run: Path, key: str, value: Any) -> None:
    kept = {path / "state.json": (path / "state.json").read_bytes() for path in checkpoints(a_run / "checkpoints")}
    try:
        for path, content in kept.items():
            path.write_text(json.dumps(json.loads(content) | {key: value}))
            seal(path.parent)
        with pytest.raises(RequestError):
            resume(a_run)
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
            seal(path.parent)
