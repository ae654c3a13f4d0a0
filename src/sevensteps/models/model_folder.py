"""The model folder: `model.safetensors`, `config.json`, `README.md`, `manifest.json`. Loading one runs no code from it.

The configuration names a registered architecture, the classes and the preprocessing; the weights are plain
tensors. The same folder serves `evaluate`, `predict`, Python and whatever serves it over HTTP.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from ..data.dataloaders import DataLoaders
from ..data.listing import LONGEST_NAME, MOST_CLASSES
from ..data.preprocessing import Preprocessing
from ..errors import ModelFolderError, RequestError
from ..files import make_folder, read_json, seal, write_bytes, write_json, write_text
from ..words import visible
from .registry import Architecture, create, is_of_the_house

FORMAT_VERSION = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
MOST_CONFIG_BYTES = 16 << 20  # 10,000 names of 256 characters fit, in any script
MOST_HEADER_BYTES = 1 << 20
MOST_ARGUMENT = 4096
KEYS = {"format_version", "architecture", "classes", "preprocessing"}


@dataclass
class ModelFolder:
    """What a model folder holds: the network, ready to use, its class names, and how pictures reach it."""

    model: nn.Module
    classes: list[str]
    preprocessing: Preprocessing

    @classmethod
    def of(cls, model: nn.Module, dls: DataLoaders) -> ModelFolder:
        """Of a model for these data. Raises `RequestError` where they know no class names or no preprocessing."""
        if dls.vocab is None or dls.preprocessing is None:
            raise RequestError(
                "these data loaders know no class names or no preprocessing, "
                "so a picture cannot be predicted or the model saved",
                hint="make them with DataLoaders.from_folder, from_csv or from_arrays; get_preds(dl) needs neither",
            )
        return cls(model, dls.vocab, dls.preprocessing)

    def save(self, folder: str | Path, card: str = "") -> Path:
        """Write the folder; files of an earlier version in it are replaced, each whole or not at all.

        `card` is the text of the model card. Raises `RequestError` for a network that is not registered or has
        another number of outputs than there are classes, `StorageError` where it cannot be written.
        """
        architecture = getattr(self.model, "architecture", None)
        if not isinstance(architecture, Architecture):
            raise RequestError(
                f"a {type(self.model).__name__} that is not from the registry cannot be saved as a model folder",
                hint="register a function that builds it: @sevensteps.networks.register, then networks.create(name, …)",
            )
        config = {
            "format_version": FORMAT_VERSION,
            "architecture": architecture.to_dict(),
            "classes": self.classes,
            "preprocessing": self.preprocessing.to_dict(),
        }
        _check(config, "this model cannot be saved")
        folder = make_folder(folder)
        self._save_weights(folder)
        write_json(folder / CONFIG, config)
        self.write_card(folder, card or default_card(self))
        return folder

    def write_card(self, folder: str | Path, card: str) -> None:
        """Replace the model card of a folder that was saved before, and write its `manifest.json`."""
        write_text(Path(folder) / CARD, card)
        seal(folder)

    def reserve(self, folder: str | Path) -> None:
        """Take the room that the weights will need on the disk. Without `config.json` this is no model folder yet."""
        self._save_weights(make_folder(folder))

    def _save_weights(self, folder: Path) -> None:
        tensors = {  # copies, as safetensors refuses two names for one memory
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in self.model.state_dict().items()
        }
        write_bytes(folder / WEIGHTS, safetensors.torch.save(tensors))

    @classmethod
    def load(cls, folder: str | Path) -> ModelFolder:
        """Read a model folder, or the one inside a run folder. Raises `ModelFolderError` for anything else."""
        folder = find_model_folder(folder)
        config = _read_config(folder / CONFIG)
        architecture, preprocessing = _check(config, str(folder / CONFIG))
        with _damaged(folder / WEIGHTS):
            shapes = _shapes(folder / WEIGHTS)
        model = _build(architecture, shapes, folder / CONFIG)
        with _damaged(folder / WEIGHTS):
            tensors = safetensors.torch.load_file(folder / WEIGHTS)
            for key, tensor in model.state_dict().items():
                if key in tensors and not _serves(tensors[key].dtype, tensor.dtype):
                    raise ValueError(f"{key!r:.80} should be {tensor.dtype}, and is {tensors[key].dtype}")
            model.load_state_dict(tensors, strict=True)
        if not all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values()):
            raise ModelFolderError(
                f"{folder / WEIGHTS} holds numbers that are not finite", hint="its training broke down: train again"
            )
        return cls(model.eval(), config["classes"], preprocessing)

    def check_same(
        self, model: nn.Module, classes: list[str] | None, preprocessing: Preprocessing | None, where: str
    ) -> None:
        """Raise `RequestError` unless it holds this network, for these classes and pictures where they are known."""
        if getattr(model, "architecture", None) != self.model.architecture:
            raise RequestError(
                f"{where} holds another network: {self.model.architecture}", hint="build the same network"
            )
        for what, theirs, ours in (
            ("classes", self.classes, classes),
            ("preprocessing", self.preprocessing, preprocessing),
        ):
            if ours is not None and theirs != ours:
                raise RequestError(
                    f"{where} has other {what} than the data loaders: {theirs} instead of {ours}",
                    hint="make the data loaders from the data that the model was trained on",
                )


def find_model_folder(folder: str | Path) -> Path:
    """`folder`, or `folder/model` where it is a run folder. Raises `ModelFolderError` where neither is one."""
    folder = Path(folder)
    for candidate in (folder, folder / "model"):
        if os.path.isfile(candidate / CONFIG):  # noqa: PTH113 - Path.is_file raises for a name that is too long
            return candidate
    what = "is not a model folder" if os.path.exists(folder) else "does not exist"  # noqa: PTH110
    raise ModelFolderError(
        f"{folder} {what}",
        hint=f"expected a folder with {WEIGHTS} and {CONFIG}, or a run folder such as runs/digits",
    )


def default_card(folder: ModelFolder, result: str = "") -> str:
    """The model card: what the model is, what it was measured at, how to use it."""
    architecture: Any = folder.model.architecture
    names = [visible(name).replace("`", "'") for name in folder.classes[:50]]  # the card is Markdown
    classes = ", ".join(f"`{name}`" for name in names) + (" …" if len(folder.classes) > 50 else "")
    return f"""# A picture classifier

{result or "No result was measured when this folder was saved."}

- Network: `{architecture.name}`, input {" × ".join(map(str, architecture.input_shape))} (channels × height × width)
- Classes ({len(folder.classes)}): {classes}
- Preprocessing: {folder.preprocessing.rule}

```python
from sevensteps import Predictor

class_name, probabilities = Predictor("path/to/this/folder").predict("picture.png")
```

The accuracy holds for pictures like those it was measured on; a picture of something else still gets one of these
classes. The folder holds numbers and names only: loading it runs no code from it.
"""


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = read_json(path, MOST_CONFIG_BYTES)
    except (OSError, ValueError) as error:
        hint = "the folder is damaged: copy it again"
        raise ModelFolderError(f"cannot read {path}: {error!s:.200}", hint=hint) from error
    version = config.get("format_version") if isinstance(config, dict) else None
    if type(version) is not int or version != FORMAT_VERSION:
        raise ModelFolderError(
            f"{path} has format version {version!r:.80}, and this sevensteps reads version {FORMAT_VERSION}",
            hint="load it with the version of sevensteps that wrote it, or train again",
        )
    if set(config) != KEYS:
        raise ModelFolderError(f"{path} has the keys {sorted(config)!s:.200}", hint=f"expected {sorted(KEYS)}")
    return config  # type: ignore[no-any-return]


def _check(config: dict[str, Any], where: str) -> tuple[Architecture, Preprocessing]:
    """What a configuration describes. Raises `ModelFolderError` where it describes nothing that can be built."""
    classes, description = config["classes"], config["architecture"]
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes) or len(classes) < 2:
        raise ModelFolderError(f"{where}: classes are {classes!r:.80}", hint="expected a list of at least two names")
    if len(classes) > MOST_CLASSES or max(map(len, classes)) > LONGEST_NAME:
        raise ModelFolderError(
            f"{where}: {len(classes):,} classes, the longest name with {max(map(len, classes)):,} characters",
            hint=f"expected at most {MOST_CLASSES:,} classes, with names of at most {LONGEST_NAME} characters",
        )
    if len(set(classes)) < len(classes):
        raise ModelFolderError(f"{where}: two classes have the same name", hint="expected names that differ")
    try:
        architecture = Architecture(**description)
        sizes, values = (*architecture.input_shape, architecture.classes), architecture.arguments.values()
        right = (
            isinstance(architecture.name, str)
            and len(architecture.name) <= LONGEST_NAME
            and len(sizes) in (2, 4)
            and all(map(_is_size, sizes))
        )
        right = right and all(map(_is_argument, values))
    except (TypeError, AttributeError):
        right = False
    if not right:
        raise ModelFolderError(f"{where}: no network is described by {description!r:.200}", hint=f"{CONFIG} is damaged")
    if architecture.classes != len(classes):
        raise ModelFolderError(
            f"{where}: {len(classes)} classes, and a network with {architecture.classes} outputs",
            hint="expected one output a class",
        )
    preprocessing = Preprocessing.from_dict(config["preprocessing"])
    pictures = (preprocessing.channels, preprocessing.height, preprocessing.width)
    if len(sizes) == 4 and tuple(architecture.input_shape) != pictures:
        raise ModelFolderError(
            f"{where}: pictures of {pictures} (channels, height, width), and a network for {architecture.input_shape}",
            hint="expected the same numbers",
        )
    return architecture, preprocessing


def _serves(found: torch.dtype, wanted: torch.dtype) -> bool:
    """Whether weights may be kept so: as the network has them, or as other floats of at least 16 bits."""
    return found == wanted or (found.is_floating_point and wanted.is_floating_point and found.itemsize > 1)


def _is_argument(value: Any) -> bool:
    return len(value) <= LONGEST_NAME if isinstance(value, str) else bool(abs(value) <= MOST_ARGUMENT)


def _is_size(value: Any) -> bool:
    return type(value) is int and 1 <= value <= 10_000


def _build(architecture: Architecture, shapes: dict[str, list[int]], where: Path) -> nn.Module:
    name, arguments = architecture.name, architecture.arguments
    make = functools.partial(create, name, architecture.input_shape, architecture.classes, **arguments)  # type: ignore[arg-type]
    try:
        if is_of_the_house(name):  # first without memory: a few words must not ask for gigabytes
            with torch.device("meta"):
                draft = make()
            wanted = {key: list(tensor.shape) for key, tensor in draft.state_dict().items()}
            if wanted != shapes:
                key = next(key for key in (*wanted, *shapes) if wanted.get(key) != shapes.get(key))
                raise ValueError(
                    f"{name} needs {key!r:.80} of shape {wanted.get(key)}, and {WEIGHTS} has {shapes.get(key)}"
                )
        return make()
    except RequestError as error:
        raise ModelFolderError(f"{where}: {error.message}", hint=error.hint) from error
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise ModelFolderError(
            f"{where}: no network can be built from it: {error!s:.200}", hint="the folder is damaged: copy it again"
        ) from error


def _shapes(path: Path) -> dict[str, list[int]]:
    if not path.is_file():
        raise ModelFolderError(f"{path} is missing", hint="the folder is incomplete: copy it again")
    with path.open("rb") as start:
        if (length := int.from_bytes(start.read(8), "little")) > MOST_HEADER_BYTES:
            raise ModelFolderError(
                f"{path} has a header of {length:,} bytes", hint=f"expected at most {MOST_HEADER_BYTES:,}"
            )
    with safetensors.safe_open(path, "pt") as file:
        return {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118 - it is no dict


@contextmanager
def _damaged(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        if isinstance(error, ModelFolderError):
            raise
        reason = str(error).splitlines()[-1].strip()
        raise ModelFolderError(
            f"{path} does not hold the weights of this network: {reason:.200}",
            hint="the folder is damaged: copy it again",
        ) from error
