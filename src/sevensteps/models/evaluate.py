"""A saved model against labelled pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..data.dataloader import DataLoader
from ..data.listing import Refused, check_known
from ..data.pictures import numbered
from ..data.sources import read_source
from ..data.store import Progress
from ..errors import DataError
from .evaluation import Evaluation
from .predictor import Predictor

BATCH_SIZE = 256


@dataclass(frozen=True)
class FolderEvaluation:
    """How a model did on one split of some data; `notes` say what was decided on the user's behalf."""

    evaluation: Evaluation
    split: str
    refused: list[Refused]
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """As `--json` prints it."""
        refused = [item._asdict() for item in self.refused]
        classes = list(self.evaluation.vocab)
        rest = {"split": self.split, "classes": classes, "refused": refused, "notes": self.notes}
        return self.evaluation.to_dict() | rest


def evaluate(
    model: str | Path, data: str | Path, *, device: str = "auto", progress: Progress | None = None
) -> FolderEvaluation:
    """Evaluate a model folder on `data` (whatever `train` takes), treating each picture as in training.

    The test split is used where there is one, else the validation split, else all pictures. Raises
    `ModelFolderError`, and `DataError` for no pictures or a class that the model does not know.
    """
    predictor = Predictor(model, device)
    labelled = read_source(data, predictor.preprocessing, progress)
    split = next((name for name in ("test", "valid", "train") if name in labelled.splits), None)
    if split is None or not len(labelled.splits[split].x):
        reason = f"; {labelled.refused[0].path}: {labelled.refused[0].message}" if labelled.refused else ""
        raise DataError(
            f"no usable pictures in {labelled.where}{reason}", hint="expected folders <class>/* with pictures"
        )
    known = ", ".join(map(repr, predictor.classes[:10])) + (" …" if len(predictor.classes) > 10 else "")
    hint = f"the model knows {known}: is it the right model for these pictures?"
    check_known(labelled.splits[split].labels, predictor.classes, "the data", labelled.where, hint)
    pictures = numbered(labelled, split, predictor.classes)
    predicted = []
    for done, (xb, _) in enumerate(DataLoader(pictures, BATCH_SIZE), start=1):
        predicted.append(predictor.preds(xb).argmax(1))
        if progress:
            progress("predicting", min(done * BATCH_SIZE, len(pictures)), len(pictures))
    notes = []
    if split == "train":
        notes.append(
            f"all {len(pictures):,} pictures of {labelled.where} were used: where the model was trained on some of "
            "them, this accuracy flatters it"
        )
    evaluation = Evaluation.of(torch.cat(predicted), pictures.labels, predictor.classes)
    return FolderEvaluation(evaluation, "all" if split == "train" else split, labelled.refused, notes)
