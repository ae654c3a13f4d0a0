"""A saved model's answers for files and folders of pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.decoders import decode_all
from ..data.find import find_pictures
from ..data.listing import Refused
from ..data.pixels import silent
from ..data.store import Progress, stamps
from ..errors import RefusedPicture
from ..files import csv_text, write_text
from .predictor import Prediction, Predictor


@dataclass
class FilePredictions:
    """The answers by file, in order, and the files that got none."""

    classes: list[str]
    predictions: dict[str, Prediction] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As `--json` prints it."""
        predictions = [
            {"picture": name, "class": it.class_name, "probability": it.probability, "probabilities": it.probabilities}
            for name, it in self.predictions.items()
        ]
        return {"predictions": predictions, "refused": [item._asdict() for item in self.refused]}


def predict_files(
    model: str | Path, pictures: Sequence[str | Path], *, device: str = "auto", progress: Progress | None = None
) -> FilePredictions:
    """What a model folder says of each picture; a folder stands for all pictures in it.

    Files that are no usable pictures, or not there, are refused with a reason. Raises `ModelFolderError`.
    """
    predictor = Predictor(model, device)
    answers = FilePredictions(predictor.classes)
    files: list[str] = []
    for path in map(str, pictures):
        if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
            found, refused = find_pictures(path)
            files += found
            answers.refused += [Refused(file, error.reason, error.message) for file, error in refused]
        else:
            files.append(path)
    for file, answer in zip(files, _answers(predictor, files, progress or silent), strict=True):
        if isinstance(answer, RefusedPicture):
            answers.refused.append(Refused(file, answer.reason, answer.message))
        else:
            answers.predictions[file] = answer
    return answers


def _answers(predictor: Predictor, files: list[str], progress: Progress) -> Iterator[Prediction | RefusedPicture]:
    """An answer for each file, decoded by processes of their own."""
    answers: dict[int, Prediction | RefusedPicture] = {}
    size = predictor.preprocessing
    for first, statuses, pixels in decode_all(files, stamps(files)[0].tolist(), size):
        shape = (len(statuses), size.channels, size.height, size.width)
        rows = torch.from_numpy(np.frombuffer(pixels, np.uint8).reshape(shape).copy())
        waiting = [it if isinstance(it, RefusedPicture) else row for it, row in zip(statuses, rows, strict=True)]
        answers.update(enumerate(predictor.answers(waiting), start=first))
        progress("predicting", len(answers), len(files))
    yield from (answers[index] for index in range(len(files)))


def write_csv(file: str | Path, answers: FilePredictions) -> None:
    """A row a picture: its path, its class, the probability of that, and of every class. Raises `StorageError`."""
    rows = [
        [name, it.class_name, it.probability, *it.probabilities.values()] for name, it in answers.predictions.items()
    ]
    write_text(file, csv_text(["picture", "class", "probability", *answers.classes], rows))
