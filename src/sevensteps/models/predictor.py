"""A saved model that answers: a picture in, a class and its probabilities out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..data.preprocessing import Preprocessing, as_input
from ..devices import choose_device
from ..errors import ModelFolderError, RefusedPicture, RequestError
from .engine import Engine, make_engine
from .model_folder import ModelFolder

BATCH_SIZE = 256
MOST_VALUES = 1 << 24  # of pictures that go through the network together
ENOUGH = 64  # pictures: who asks for more than that gains by a faster engine


class Prediction(NamedTuple):
    """The most probable class, and the probability of each class by name, adding up to 1."""

    class_name: str
    probabilities: dict[str, float]

    @property
    def probability(self) -> float:
        """The probability of `class_name`."""
        return self.probabilities[self.class_name]


class Predictor:
    """A model folder (or a run folder, or a `ModelFolder` in memory), ready to answer.

    A picture may be a path, bytes, a binary file, a PIL image or an array of pixels; it is treated as the training
    pictures were. After its first pictures a model from a folder is made ready to answer fast (see `engine`), which
    takes a moment; one in memory always answers as it is just then. Raises `ModelFolderError` for no folder.
    """

    def __init__(self, folder: str | Path | ModelFolder, device: str | torch.device = "auto") -> None:
        loaded = folder if isinstance(folder, ModelFolder) else ModelFolder.load(folder)
        self.device = choose_device(device)
        self.model: nn.Module = loaded.model.to(self.device).eval()
        self.classes: list[str] = loaded.classes
        self.preprocessing: Preprocessing = loaded.preprocessing
        self.in_memory = loaded is folder
        self.answered = 0

    @cached_property
    def engine(self) -> tuple[str, Engine]:
        """What gives the preds, and its name: "torch", or "onnxruntime" where that is installed and faster."""
        shape = (self.preprocessing.channels, self.preprocessing.height, self.preprocessing.width)
        return make_engine(self.model, self.device, shape)

    def predict(self, picture: Any) -> Prediction:
        """The class of one picture and the probabilities of all. Raises `RefusedPicture` if it cannot be read."""
        return self.of_pixels(self.preprocessing.pixels(picture))

    def of_pixels(self, pixels: Tensor) -> Prediction:
        """The class of one picture by its pixels (uint8, C×H×W), as `preprocessing` makes them."""
        return self.of_probabilities(self.probabilities(pixels[None])[0])

    def predict_many(self, pictures: Iterable[Any]) -> Iterator[Prediction | RefusedPicture]:
        """An answer for each picture, in order; a refused picture gives its error, and the rest goes on."""
        waiting: list[Tensor | RefusedPicture] = []
        for picture in pictures:
            try:
                waiting.append(self.preprocessing.pixels(picture))
            except RefusedPicture as refused:
                waiting.append(refused)
            if len(waiting) == BATCH_SIZE:
                yield from self.answers(waiting)
                waiting = []
        yield from self.answers(waiting)

    def probabilities(self, pixels: Tensor) -> Tensor:
        """Probabilities of the classes (float32, N×classes) for pixels (uint8, N×C×H×W)."""
        some = max(1, MOST_VALUES // max(1, pixels[0].numel())) if len(pixels) else 1
        return torch.cat([_softmax(self.preds(as_input(part))) for part in pixels.split(some)])

    def preds(self, xb: Tensor) -> Tensor:
        """Raw scores (float32, N×classes, on the CPU) for inputs (float32, N×C×H×W, 0 to 1)."""
        if self.in_memory or self.answered < ENOUGH:
            with torch.inference_mode():
                preds: Tensor = self.model(xb.to(self.device))
        else:
            preds = self.engine[1](xb)
        self.answered += len(xb)
        if preds.shape != (len(xb), len(self.classes)):
            raise RequestError(
                f"the model gives preds of shape {tuple(preds.shape)} for {len(xb)} pictures",
                hint=f"expected one score for each of the {len(self.classes)} classes",
            )
        preds = preds.cpu()
        if not bool(preds.isfinite().all()):
            raise ModelFolderError(
                "the model gives scores that are not finite", hint="its weights are no good: train again"
            )
        return preds

    def of_probabilities(self, probabilities: Tensor) -> Prediction:
        """A `Prediction` from one row of probabilities, shape (classes,)."""
        named = dict(zip(self.classes, probabilities.tolist(), strict=True))
        return Prediction(self.classes[int(probabilities.argmax())], named)

    def answers(self, waiting: Sequence[Tensor | RefusedPicture]) -> Iterator[Prediction | RefusedPicture]:
        """An answer for each picture's pixels (uint8, C×H×W), in order; a refused picture gives its error."""
        good = [pixels for pixels in waiting if isinstance(pixels, Tensor)]
        rows = iter(self.probabilities(torch.stack(good)) if good else ())
        for item in waiting:
            yield item if isinstance(item, RefusedPicture) else self.of_probabilities(next(rows))


def _softmax(preds: Tensor) -> Tensor:
    """By NumPy: torch's own, even of one row, wakes its threads, which then get in the way of ONNX Runtime's."""
    scores = preds.numpy()
    exponentials = np.exp(scores - scores.max(1, keepdims=True))
    return torch.from_numpy(exponentials / exponentials.sum(1, keepdims=True))
