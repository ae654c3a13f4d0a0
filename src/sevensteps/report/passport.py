"""What is needed to make a run again, and to know what its figures depend on."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import Any

from ..errors import RequestError
from ..training.run_folder import RunFolder
from ..words import in_bytes

FILES = {
    "config.toml": "the options of this run, and what was chosen where none was given",
    "environment.json": "versions, processor, threads",
    "data.json": "fingerprint of the pictures, classes, counts, refused files",
    "history.csv": "losses and accuracy, a row an epoch",
    "steps.csv": "loss, learning rate and gradient norm, a row a step",
    "layers.csv": "size of weights, gradient and update of each layer, silent units: a row a layer, once an epoch",
    "predictions.csv": "the answer to every validation and test picture",
    "result.json": "the figures of this page, for programs",
    "baseline": "the model folder of pixel similarity: the mean picture of each class",
    "model": "the model folder: weights, classes, preprocessing, model card",
    "checkpoints": "where training can go on from",
    "manifest.json": "the checksums of the others: `sevensteps verify` looks whether all is whole",
}


class Passport:
    """The passport of the run in `run`; `config` holds the options that it was asked for."""

    def __init__(self, run: RunFolder, config: dict[str, Any]) -> None:
        self.run, self.config = run, config

    @property
    def begun(self) -> str:
        """When the run began: when its config.toml was written."""
        config = self.run.path / "config.toml"
        return f"{datetime.fromtimestamp(config.stat().st_mtime):%d %B %Y, %H:%M}" if config.is_file() else ""

    @property
    def command(self) -> str:
        """The command that makes this run again."""
        asked = {key: value for key, value in self.config.items() if value is not None}
        data = [str(asked.pop("data"))] if "data" in asked else []
        options: list[str] = []
        for key, value in asked.items():
            if value is not False and value != "auto":
                options += [f"--{key.replace('_', '-')}", *([] if value is True else [str(value)])]
        return shlex.join(["sevensteps", "train", *data, *options])

    @property
    def recipe(self) -> dict[str, Any]:
        """How it was trained, from config.toml."""
        try:
            recipe = self.run.read_recipe()
        except RequestError:
            return {}
        return {key.replace("_", " "): value for key, value in recipe.items() if key not in ("model", "preprocessing")}

    @property
    def environment(self) -> dict[str, Any]:
        """Versions and machine, from environment.json."""
        try:
            return dict(self.run.read_json("environment.json"))
        except RequestError:
            return {}

    @property
    def files(self) -> list[tuple[str, str, str]]:
        """What is in the run folder: name, size and meaning."""
        rows = []
        for path in sorted(self.run.path.iterdir()):
            if path.name.startswith(".") or path.name == "report.html":
                continue
            inside = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
            size = sum(file.stat().st_size for file in inside)
            rows.append((path.name + "/" * path.is_dir(), in_bytes(size), FILES.get(path.name, "")))
        return rows
