"""What a run recorded of its training, read from its folder: steps, epochs, layers, answers, what the data hold."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

from ..data.check import Finding
from ..errors import RequestError, as_written
from ..models.mcnemar import McNemar
from ..training.checkpoint import Checkpoint
from ..training.keepers import StepLog, StepRow
from ..training.layer_log import LayerRow
from ..training.run_folder import RunFolder
from ..words import visible
from .interpretation import Answer

MOST = 1e100
HISTORY = ("epoch", "train_loss", "valid_loss")  # and then the metrics


class EpochSummary(NamedTuple):
    """A row of `history.csv`; `score` is its first metric, where there is one."""

    epoch: int
    train_loss: float
    valid_loss: float | None
    score: float | None


@dataclass(frozen=True)
class Record:
    """All of it; what a run that was stopped early has not written is empty. `answers` are of the validation set.

    `baseline` holds how many of them only the network names rightly, and how many only pixel similarity does.
    """

    classes: int
    steps: list[StepRow]
    epochs: list[EpochSummary]
    layers: list[LayerRow]
    answers: list[Answer]
    findings: list[Finding]
    baseline: McNemar | None = None

    @classmethod
    def of(cls, folder: RunFolder) -> Record:
        """Read it. Raises `RequestError` for files that no training wrote."""
        data = folder.read_json("data.json") if (folder.path / "data.json").is_file() else {}
        answers = recorded_answers(folder, "valid")
        with as_written(folder.path):
            return cls(
                classes=len(data.get("classes") or ()),
                steps=recorded_steps(folder),
                epochs=[_epoch(row) for row in folder.read_table("history.csv")],
                layers=[_layer(row) for row in folder.read_table("layers.csv")],
                answers=answers,
                findings=[_finding(it) for it in data.get("findings", [])],
                baseline=_baseline(folder, len(answers)),
            )

    @property
    def guessing(self) -> float:
        """The cross-entropy of giving every class the same probability; infinite where the classes are not known."""
        return math.log(max(self.classes, 2)) if self.classes else math.inf

    @property
    def most_frequent(self) -> float:
        """The accuracy of always saying the most frequent class of the validation set."""
        counts = Counter(answer.true for answer in self.answers)
        return max(counts.values()) / counts.total() if counts else 0.0

    @property
    def accuracy(self) -> float:
        """The part of the answers that are right; 0 without any."""
        return fmean(answer.right for answer in self.answers) if self.answers else 0.0

    @property
    def rivals(self) -> list[tuple[McNemar, str]]:
        """The network against the simplest things: pixel similarity, and the most frequent class for all. And names."""
        rivals = [(self.baseline, "pixel similarity, the baseline,")] if self.baseline else []
        for name, _ in Counter(answer.true for answer in self.answers).most_common(1):
            only_network = sum(answer.right and answer.true != name for answer in self.answers)
            only_name = sum(not answer.right and answer.true == name for answer in self.answers)
            rivals.append((McNemar(only_network, only_name), f"who always says {visible(name)}"))
        return rivals


def _finding(facts: dict[str, Any]) -> Finding:
    examples = tuple(map(str, facts["examples"]))
    return Finding(str(facts["kind"]), int(facts["count"]), str(facts["message"]), examples)


def _baseline(folder: RunFolder, answers: int) -> McNemar | None:
    """The network against the baseline. Raises `ValueError` for more pictures than were answered."""
    result = folder.read_json("result.json") if answers and (folder.path / "result.json").is_file() else {}
    facts = result.get("baseline") or {}
    if not {"only_network", "only_baseline"} <= facts.keys():
        return None
    compared = McNemar(int(facts["only_network"]), int(facts["only_baseline"]))
    if min(compared.only_first, compared.only_second) < 0 or compared.only_first + compared.only_second > answers:
        raise ValueError(f"{compared} of {answers} answers")
    return compared


def recorded_steps(folder: RunFolder) -> list[StepRow]:
    """What a run recorded of its steps, in `steps.csv` or in a checkpoint further on. Raises `RequestError`."""
    rows = _rows_of_steps(folder)
    if (folder.path / "result.json").is_file():  # it is over, and all is in the table
        return rows
    try:
        state = Checkpoint.load(folder.checkpoints).state
        with as_written(folder.checkpoints):
            noted = [
                StepRow(int(step), int(epoch), float(loss), float(lr), float(norm))
                for step, epoch, loss, lr, norm in state["listeners"].get(StepLog.__name__, [])
            ]
    except RequestError:  # none that is whole
        return rows
    return max(rows, noted, key=len)


def _rows_of_steps(folder: RunFolder) -> list[StepRow]:
    rows = folder.read_table("steps.csv")
    with as_written(folder.path / "steps.csv"):
        return [
            StepRow(int(it["step"]), int(it["epoch"]), *(_figure(it[name]) for name in StepRow._fields[2:]))
            for it in rows
        ]


def _epoch(row: dict[str, str]) -> EpochSummary:
    metric = list(row)[len(HISTORY) : len(HISTORY) + 1]
    valid, score = _number(row["valid_loss"]), _number(row[metric[0]]) if metric != ["seconds"] else None
    return EpochSummary(int(row["epoch"]), _figure(row["train_loss"]), valid, score)


def _layer(row: dict[str, str]) -> LayerRow:
    weights, gradient, update, silent = (_number(row[name]) for name in ("weights", "gradient", "update", "silent"))
    place = int(row["epoch"]), int(row["step"]), row["layer"], row["kind"]
    return LayerRow(*place, weights, gradient, update, silent, int(row["pictures"]))


def recorded_answers(folder: RunFolder, split: str) -> list[Answer]:
    """The answers of one split, as `predictions.csv` has them, in their order. Raises `RequestError`."""
    rows = [row for row in folder.read_table("predictions.csv") if row.get("split") == split]
    with as_written(folder.path / "predictions.csv"):
        return [
            Answer(
                row["picture"], place, row["class"], row["predicted"], _figure(row["probability"]), _figure(row["loss"])
            )
            for place, row in enumerate(rows)
        ]


def _number(cell: str) -> float | None:
    return _figure(cell) if cell else None


def _figure(cell: str) -> float:
    """A number that a training may have come to; not finite is one. Raises `ValueError` for greater ones."""
    number = float(cell)
    if math.isfinite(number) and abs(number) > MOST:
        raise ValueError(f"{cell:.40} is no number that a training comes to")
    return number
