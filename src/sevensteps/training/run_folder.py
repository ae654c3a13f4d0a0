"""The run folder: one training, its figures, and all that is needed to repeat it.

`runs/<name>/`: `config.toml`, `environment.json`, `data.json`, `history.csv` (a row an epoch), `steps.csv` (a row a
step), `layers.csv` (a row a layer, once an epoch), `predictions.csv` (a row a validation or test picture),
`result.json`, `model/`, the model folder, `baseline/`, that of pixel similarity, and `checkpoints/`.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
import platform
import re
import subprocess
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..data.check import Finding
from ..data.dataloaders import DataLoaders
from ..data.pictures import PictureSet
from ..errors import RequestError, as_written
from ..files import (
    MANIFEST,
    csv_text,
    damages,
    lock_file,
    make_folder,
    new_folder,
    read_csv,
    read_json,
    read_small,
    remove,
    seal,
    write_json,
    write_text,
)

AT_ONCE = 4096  # pictures whose pixels are looked at together
LOCK = ".lock"
LEFT_OUT = (LOCK, "checkpoints")  # of the manifest of the run
RESULTS = ("result.json", "report.html", "predictions.csv", MANIFEST)  # of a run that is over


class RunFolder:
    """A run's folder; every file in it is written whole or not at all. Raises `StorageError`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, out: str | Path, name: str) -> RunFolder:
        """A new folder `out/name`, or `out/name-2`, `-3` … where that is taken: no run is ever written over."""
        out = make_folder(out)
        name = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:60] or "run"
        names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
        return cls(next(out / free for free in names if new_folder(out / free)))

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """A run that was begun before. Raises `RequestError` where `path` is none."""
        if not (Path(path) / "config.toml").is_file():
            raise RequestError(f"{path} is no run folder", hint="expected a folder that `sevensteps train` made")
        run = cls(path)
        for inside in (run.path / LOCK, run.checkpoints, run.model, run.baseline):
            if inside.is_symlink():  # what is written there would be written elsewhere
                raise RequestError(f"{inside} is a symbolic link", hint="put what it leads to in its place")
        return run

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside the block no other process trains in this folder. Raises `RequestError` where one does."""
        with lock_file(self.path / LOCK) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(lock, 200, 0).decode("utf-8", "replace").strip() or "another process"
                raise RequestError(
                    f"{self.path} is being trained by {holder}", hint="wait for it, or stop it"
                ) from error
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)
            yield

    @property
    def checkpoints(self) -> Path:
        """Where its checkpoints are."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """Where its model folder is."""
        return self.path / "model"

    @property
    def baseline(self) -> Path:
        """Where the baseline's model folder is: the mean picture of each class."""
        return self.path / "baseline"

    def reopen(self) -> None:
        """Take away what says that the run is over, since it goes on: its results, their pages and the manifest."""
        for name in RESULTS:
            remove(self.path / name)

    def write_config(self, config: dict[str, Any]) -> None:
        """`config.toml`: what was asked for, and under [recipe] what was chosen where nothing was asked for."""
        import tomli_w

        write_text(self.path / "config.toml", tomli_w.dumps(_without_none(config)).encode("utf-8", "replace").decode())

    def write_json(self, name: str, value: Any) -> None:
        """One of the JSON files, by its name."""
        write_json(self.path / name, value)

    def read_config(self) -> dict[str, Any]:
        """What was asked for. Raises `RequestError` where the file is damaged."""
        return {name: value for name, value in self._config().items() if name != "recipe"}

    def read_recipe(self) -> dict[str, Any]:
        """What was chosen where nothing was asked for, with what was. Raises `RequestError` as `read_config`."""
        with as_written(self.path / "config.toml"):
            return dict(self._config().get("recipe", {}))

    def _config(self) -> dict[str, Any]:
        try:
            return tomllib.loads(read_small(self.path / "config.toml").decode("utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise RequestError(f"cannot read {self.path / 'config.toml'}: {error}", hint="train again") from error

    def read_json(self, name: str) -> Any:
        """One of the JSON files. Raises `RequestError` where it is missing or no JSON."""
        try:
            return read_json(self.path / name)
        except (OSError, ValueError) as error:
            raise RequestError(f"cannot read {self.path / name}: {error}", hint="was this run finished?") from error

    def read_table(self, name: str) -> list[dict[str, str]]:
        """The rows of one of the CSV files, by the names of its columns; none where it is not there.

        Raises `RequestError` where it cannot be read.
        """
        try:
            return read_csv(self.path / name)
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise RequestError(f"cannot read {self.path / name}: {error}", hint="train again") from error

    def seal(self) -> None:
        """Write `manifest.json`: the SHA-256 of every file but the checkpoints, which have their own."""
        seal(self.path, LEFT_OUT)

    def damages(self) -> list[str]:
        """What is other than when the run ended: a sentence for each file. None where all is whole."""
        found = damages(self.path, LEFT_OUT)
        for checkpoint in sorted(self.checkpoints.glob("step-*")):
            found += [f"checkpoints/{checkpoint.name}: {it}" for it in damages(checkpoint)]
        return found

    def write_table(self, name: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """One of the CSV files. A cell that a spreadsheet would take for a formula gets a leading apostrophe."""
        write_text(self.path / name, csv_text(head, rows))

    def growing_table(self, name: str, head: Sequence[str]) -> GrowingTable:
        """One of the CSV files that get longer."""
        return GrowingTable(self.path / name, csv_text(head, ()))


class GrowingTable:
    """A CSV file that is written again with each epoch: every row is made text but once."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text, self.rows = path, text, 0

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        """All `rows`, of which the first are those of the last time. Raises `StorageError`."""
        if len(rows) > self.rows:
            self.text += csv_text(rows[self.rows], rows[self.rows + 1 :])
            self.rows = len(rows)
        write_text(self.path, self.text)


def environment(device: torch.device) -> dict[str, Any]:
    """What the figures depend on besides the data and the options: versions, processor, threads."""
    from importlib.metadata import version

    packages = ("sevensteps", "torch", "numpy", "pillow", "safetensors")
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "git": _git_commit(),
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is other now in the environment of a run, and may change the bits of its results."""
    named = {"processor": "processor", "instruction_set": "instruction set", "device": "device", "gpu": "GPU"}
    found = [(words, before.get(key), now.get(key)) for key, words in named.items()]
    versions = before.get("versions", {})
    found += [(name, versions.get(name), version) for name, version in now["versions"].items()]
    found += [("threads", before.get("threads"), now["threads"])]
    return [f"{what} was {old}, is {new}" for what, old, new in found if old != new]


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What has changed in the data of a run, by its `data.json`; nothing where they are the same."""
    if before.get("fingerprint") == now["fingerprint"]:
        return "" if before.get("classes", now["classes"]) == now["classes"] else "the classes have other names"
    counts = [
        f"{split} has {count:,} pictures of {label}, had {before.get('counts', {}).get(split, {}).get(label, 0):,}"
        for split, table in now["counts"].items()
        for label, count in table.items()
        if before.get("counts", {}).get(split, {}).get(label, 0) != count
    ]
    return "; ".join(counts) or "the pixels or labels of as many pictures are others"


def data_facts(dls: DataLoaders, findings: Sequence[Finding] = ()) -> dict[str, Any]:
    """As `data.json` has them: the fingerprint, what was found, what `check` says, and what could not be used."""
    return {
        "fingerprint": fingerprint({split: loader.collection for split, loader in dls.splits.items()}),
        "classes": dls.vocab,
        "counts": dls.counts,
        "sizes": dls.sizes,
        "notes": dls.notes,
        "findings": [finding.to_dict() for finding in findings],
        "refused": [refused._asdict() for refused in dls.refused],
    }


def fingerprint(splits: Mapping[str, PictureSet]) -> str:
    """The SHA-256 of the pixels and labels of named splits: the same for the same pictures, labels and splits."""
    digest = hashlib.sha256()
    for split, pictures in splits.items():
        digest.update(f"{split} pixels {(len(pictures), *pictures.store.shape[1:])} {pictures.store.dtype}\n".encode())
        for part in torch.arange(len(pictures)).split(AT_ONCE):
            digest.update(pictures.pixels_of(part).numpy().tobytes())
        digest.update(f"{split} labels {tuple(pictures.labels.shape)} {pictures.labels.dtype}\n".encode())
        digest.update(pictures.labels.numpy().tobytes())
    return digest.hexdigest()


def _without_none(table: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in table.items()
        if value is not None
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _git_commit() -> str | None:
    try:
        command = ["git", "rev-parse", "HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
