"""The model folder: `model.safetensors`, `config.json` and `README.md`. Loading one runs no code from it.

The configuration names a registered architecture, the classes and the preprocessing; the weights are plain
tensors. The same folder serves `evaluate`, `predict`, Python and whatever serves it over HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from ..data.preprocessing import Preprocessing
from ..errors import ModelFolderError, RequestError
from ..files import make_folder, write_bytes, write_json, write_text
from .registry import Architecture, create

FORMAT_VERSION = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
MOST_CONFIG_BYTES = 16 << 20
KEYS = {"format_version", "architecture", "classes", "preprocessing"}


@dataclass
class ModelFolder:
    """What a model folder holds: the network, ready to use, its class names, and how pictures reach it."""

    model: nn.Module
    classes: list[str]
    preprocessing: Preprocessing

    def save(self, folder: str | Path, card: str = "") -> Path:
        """Write the folder; files of an earlier version in it are replaced, each whole or not at all.

        `card` is the text of the model card. Raises `RequestError` for a network that is not registered,
        `StorageError` where it cannot be written.
        """
        architecture = getattr(self.model, "architecture", None)
        if not isinstance(architecture, Architecture):
            raise RequestError(
                f"a {type(self.model).__name__} that is not from the registry cannot be saved as a model folder",
                hint="register a function that builds it: @sevensteps.networks.register, then networks.create(name, …)",
            )
        folder = make_folder(folder)
        config = {
            "format_version": FORMAT_VERSION,
            "architecture": architecture.to_dict(),
            "classes": self.classes,
            "preprocessing": self.preprocessing.to_dict(),
        }
        self.save_weights(folder)
        write_json(folder / CONFIG, config)
        write_text(folder / CARD, card or default_card(self))
        return folder

    def save_weights(self, folder: str | Path) -> None:
        """Replace the weights of a folder that was saved before."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.model.state_dict().items()}
        write_bytes(Path(folder) / WEIGHTS, safetensors.torch.save(tensors))

    @classmethod
    def load(cls, folder: str | Path) -> ModelFolder:
        """Read a model folder, or the one inside a run folder. Raises `ModelFolderError` for anything else."""
        folder = find_model_folder(folder)
        config = _read_config(folder / CONFIG)
        classes = config["classes"]
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes) or len(classes) < 2:
            raise ModelFolderError(f"{folder / CONFIG}: classes are {classes!r:.80}", hint="expected a list of names")
        preprocessing = Preprocessing.from_dict(config["preprocessing"])
        model = _build(config["architecture"], folder / CONFIG)
        if model.architecture.classes != len(classes):  # type: ignore[union-attr]
            raise ModelFolderError(
                f"{folder / CONFIG}: {len(classes)} classes, and a network with {model.architecture.classes} outputs"  # type: ignore[union-attr]
            )
        _load_weights(model, folder / WEIGHTS)
        return cls(model.eval(), classes, preprocessing)


def find_model_folder(folder: str | Path) -> Path:
    """`folder`, or `folder/model` where it is a run folder. Raises `ModelFolderError` where neither is one."""
    folder = Path(folder)
    for candidate in (folder, folder / "model"):
        if (candidate / CONFIG).is_file():
            return candidate
    what = "is not a model folder" if folder.exists() else "does not exist"
    raise ModelFolderError(
        f"{folder} {what}",
        hint=f"expected a folder with {WEIGHTS} and {CONFIG}, or a run folder such as runs/digits",
    )


def default_card(folder: ModelFolder, result: str = "") -> str:
    """The model card: what the model is, what it was measured at, how to use it."""
    architecture: Any = folder.model.architecture
    return f"""# A picture classifier

{result or "No result was measured when this folder was saved."}

- Network: `{architecture.name}`, input {" × ".join(map(str, architecture.input_shape))} (channels × height × width)
- Classes ({len(folder.classes)}): {", ".join(f"`{name}`" for name in folder.classes[:50])}{" …" if len(folder.classes) > 50 else ""}
- Preprocessing: {folder.preprocessing.rule}

```python
from sevensteps import Predictor

label, probabilities = Predictor("path/to/this/folder").predict("picture.png")
```

The accuracy holds for pictures like those it was measured on; a picture of something else still gets one of these
classes. The folder holds numbers and names only: loading it runs no code from it.
"""


def _read_config(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_CONFIG_BYTES:
            raise ModelFolderError(
                f"{path} is larger than {MOST_CONFIG_BYTES >> 20} MiB", hint="this is no configuration"
            )
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, ModelFolderError):
            raise
        raise ModelFolderError(f"cannot read {path}: {error}", hint="the folder is damaged: copy it again") from error
    version = config.get("format_version") if isinstance(config, dict) else None
    if version != FORMAT_VERSION:
        raise ModelFolderError(
            f"{path} has format version {version!r}, and this sevensteps reads version {FORMAT_VERSION}",
            hint="load it with the version of sevensteps that wrote it, or train again",
        )
    if set(config) != KEYS:
        raise ModelFolderError(f"{path} has the keys {sorted(config)}", hint=f"expected {sorted(KEYS)}")
    return config  # type: ignore[no-any-return]


def _build(description: Any, where: Path) -> nn.Module:
    try:
        name, shape, classes, arguments = (description[key] for key in ("name", "input_shape", "classes", "arguments"))
        if not _whole_numbers([*shape, classes]) or len(shape) not in (1, 3):
            raise ValueError(f"sizes are {shape!r} and {classes!r}")
        if not all(isinstance(value, str | bool) or (0 <= value <= 4096) for value in arguments.values()):
            raise ValueError(f"arguments are {arguments!r}")
        return create(name, shape, classes, **arguments)
    except RequestError as error:
        raise ModelFolderError(f"{where}: {error.message}", hint=error.hint) from error
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ModelFolderError(
            f"{where}: no network can be built from it: {error}", hint="the folder is damaged"
        ) from error


def _whole_numbers(values: Sequence[Any]) -> bool:
    return all(type(value) is int and 1 <= value <= 10_000 for value in values)


def _load_weights(model: nn.Module, path: Path) -> None:
    try:
        tensors = safetensors.torch.load_file(path)
        model.load_state_dict(tensors, strict=True)
    except FileNotFoundError as error:
        raise ModelFolderError(f"{path} is missing", hint="the folder is incomplete: copy it again") from error
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise ModelFolderError(
            f"{path} does not hold the weights of this network: {reason}",
            hint="the folder is damaged: copy it again",
        ) from error
