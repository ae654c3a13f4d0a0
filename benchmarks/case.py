"""What the scripts in `cases/` share: their options, their clock, the proof that they learn, and their answer.

A case runs in a process of its own, in the environment of its rival, so this module needs nothing but Python and
imports torch or numpy only where a function needs them.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.metadata
import itertools
import json
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import torch

BATCH_SIZE = 256  # of `arrays`
LR = {"cnn": 1e-3, "mlp": 0.1, "resnet": 1e-3}
PACKAGES = (
    "sevensteps", "torch", "torchvision", "fastai", "fastcore", "lightning", "keras", "jax", "jaxlib", "tensorflow",
    "onnx", "onnxruntime", "openvino", "numpy", "pillow", "safetensors", "scikit-learn",
)  # fmt: skip


@dataclass(frozen=True)
class Pictures:
    """A folder of pictures, read as `side`×`side` pixels in `channels`, to train a network of `networks.py` on."""

    channels: int
    side: int
    classes: int
    network: str
    batch_size: int


SOURCES = {
    "mnist_png": Pictures(1, 28, 10, "cnn", 256),
    "mnist_png_few": Pictures(1, 28, 10, "cnn", 256),
    "flowers": Pictures(3, 128, 5, "resnet", 32),
}


def options() -> argparse.Namespace:
    """The options of every case; each looks at those that concern it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True, help="the folder that datasets.py has filled")
    parser.add_argument("--data", type=Path, help="the folder with the data as they are published")
    parser.add_argument("--network", choices=list(LR))
    parser.add_argument("--variant", default="default", help="which of the ways that this rival can be written")
    parser.add_argument("--precision", default="default", help="fp32, bf16, or the rival's default")
    parser.add_argument("--threads", type=int, default=0, help="0 leaves the rival's default")
    parser.add_argument("--workers", type=int, default=0, help="processes that read data beside the training one")
    parser.add_argument("--backend", default="", help="of Keras, or the engine that predicts")
    parser.add_argument("--memory", default="system", help="kept: freed memory is not given back to the system")
    parser.add_argument("--layout", default="contiguous", help="of the weights in memory: contiguous, channels_last")
    parser.add_argument("--epochs", type=int, default=1, help="that are timed")
    parser.add_argument("--pictures", type=int, default=0, help="train on so many; 0 is all")
    parser.add_argument("--batch-size", type=int, default=1, help="pictures in a call that predicts")
    parser.add_argument("--calls", type=int, default=500, help="predictions to time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--source", default="", help="a folder of pictures in the work folder")
    parser.add_argument("--short", action="store_true", help="a tenth of the work, to see that it runs")
    return parser.parse_args()


def finish(figures: dict[str, float], *, precision: str = "fp32", **facts: Any) -> None:
    """Print the answer of the case, one line of JSON: `figures` in seconds unless the plan says otherwise."""
    answer = {"figures": figures, "precision": precision, **facts}
    answer.setdefault("threads", _threads())
    print(json.dumps(answer | {"versions": {"python": platform.python_version(), **_versions()}}), flush=True)


def _threads() -> int | None:
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else None


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def set_up(options: argparse.Namespace) -> None:
    """Torch's threads (0 leaves it its default), the seed, and how the system is asked for memory."""
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    if options.memory == "kept" and sys.platform == "linux":
        mallopt = ctypes.CDLL(None).mallopt  # what MALLOC_TRIM_THRESHOLD_ and MALLOC_MMAP_THRESHOLD_ set from outside
        mallopt(-1, 2**31 - 1)
        mallopt(-3, 2**30)


class Clock:
    """The seconds of each epoch's training, between the moments at which a rival begins and ends it."""

    def __init__(self) -> None:
        self.epochs: list[float] = []
        self.first_ended = 0.0
        self.ended_at: list[float] = []  # in seconds since 1970, as the harness notes the start of the process

    def start(self) -> None:
        self.begun = time.perf_counter()

    def stop(self) -> None:
        ended = time.perf_counter()
        self.first_ended = self.first_ended or ended
        self.epochs.append(ended - self.begun)
        self.ended_at.append(time.time())

    def passes(self, batches: Iterable[Any], count: int) -> None:
        """Read all batches so many times, and do nothing with them."""
        for _ in range(count):
            self.start()
            for _ in batches:
                pass
            self.stop()

    def seconds_per_step(self, steps: int, warm_up: int) -> float:
        """The mean over all epochs after the first `warm_up`, of `steps` steps each."""
        timed = self.epochs[warm_up:]
        return sum(timed) / len(timed) / steps


def warm_up_epochs(network: str) -> int:
    """How many epochs are not timed: the MLP's last a few milliseconds each."""
    return 3 if network == "mlp" else 1


def finish_pictures(begun: float, clock: Clock, **facts: Any) -> None:
    """`finish` for folders of pictures: `begun` is the `perf_counter` after the imports, before anything is read."""
    later = clock.epochs[1:]
    figures = {"first": clock.first_ended - begun} | ({"later": sum(later) / len(later)} if later else {})
    finish(figures, moments={"cold_start": clock.ended_at[0]}, **facts)


def arrays(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x and y to train on, x and y to validate on: all ten digits for the CNN, the 3s and 7s for the MLP.

    x is uint8, N×28×28. Whole batches only, so that nobody meets a second batch shape in an epoch that is timed.
    """
    import numpy as np

    name = "mnist_sample" if options.network == "mlp" else "mnist"
    with np.load(options.work / f"{name}.npz") as file:
        x, y, valid_x, valid_y = (file[key] for key in ("train_x", "train_y", "valid_x", "valid_y"))
    most = min(options.pictures or len(x), len(x)) // BATCH_SIZE * BATCH_SIZE
    keep = np.arange(most) * len(x) // most  # evenly: the arrays may be sorted by class
    return x[keep], y[keep], valid_x, valid_y


def tensors(options: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """`arrays` as the networks take them: float32 from 0 to 1, N×1×28×28 with labels N, or N×784 with labels N×1."""
    import torch

    x, y, valid_x, valid_y = map(torch.from_numpy, arrays(options))
    if options.network == "mlp":
        return x.view(-1, 784) / 255, y.unsqueeze(1), valid_x.view(-1, 784) / 255, valid_y.unsqueeze(1)
    return x.unsqueeze(1) / 255, y, valid_x.unsqueeze(1) / 255, valid_y


def mnist_loss(preds: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Chapter 4's, as the book writes it."""
    import torch

    preds = preds.sigmoid()
    return torch.where(targets == 1, 1 - preds, preds).mean()


def batch_accuracy(preds: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Chapter 4's, as the book writes it."""
    return ((preds.sigmoid() > 0.5) == targets).float().mean()


def load_model(folder: Path) -> torch.nn.Module:
    """The network of a model folder of sevensteps, as a plain module in float32."""
    from sevensteps.models.model_folder import ModelFolder

    return ModelFolder.load(folder).model


def evaluate(model: torch.nn.Module, batches: Iterable[Any], *, training: bool = False) -> tuple[float, float]:
    """Mean loss and accuracy of a torch model over `batches`, pairs (xb, yb), in plain float32.

    `training` leaves batch norms at the statistics of the batch: after a few steps they have no others of use.
    """
    import torch
    from torch.nn import functional

    model.train(training)
    with torch.no_grad():
        pairs = [(model(xb.as_subclass(torch.Tensor)), yb.as_subclass(torch.Tensor)) for xb, yb in batches]
    preds, targets = (torch.cat(column) for column in zip(*pairs, strict=True))
    if preds.shape[1] == 1:
        return float(mnist_loss(preds, targets)), float(batch_accuracy(preds, targets))
    right = (preds.argmax(1) == targets).float().mean()
    return float(functional.cross_entropy(preds, targets)), float(right)


def learned_pictures(untrained: torch.nn.Module, model: torch.nn.Module, train: Iterable[Any]) -> dict[str, float]:
    """`learned` from eight batches to train on: a few steps on a few photographs do not show on others yet."""
    few = list(itertools.islice(train, 8))
    return learned(evaluate(untrained, few, training=True), evaluate(model, few, training=True))


def learned(before: tuple[float, float], after: tuple[float, float]) -> dict[str, float]:
    """The proof that a rival learns: `evaluate` before and after."""
    return {"loss_before": before[0], "loss_after": after[0], "accuracy": after[1]}
