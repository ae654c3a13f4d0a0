"""A finished run as its folder tells it: the figures that a comparison needs, read from files that may be anyone's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import RequestError, as_written
from ..insight.interpretation import Answer
from ..insight.record import recorded_answers
from ..interval import Accuracy
from ..models.mcnemar import McNemar
from ..training.plan import BASELINE
from ..training.run_folder import RunFolder

LARGEST, SMALLEST = 1e100, 1e-100  # what a chart can show
MOST_PICTURES = 10**12
SPLITS = ("valid", "test")


@dataclass(frozen=True)
class FinishedRun:
    """The figures of the run in `folder`; `options` are those it was asked for, and those that it chose.

    `losses` (validation) and `accuracies` have an item an epoch, None for one that is missing; `ece` is None where
    there are no probabilities. `fingerprint` is the same for the same pictures, labels and splits.
    """

    folder: RunFolder
    options: dict[str, str]
    network: str
    parameters: int
    vocab: tuple[str, ...]
    fingerprint: str
    training_pictures: int
    scores: dict[str, Accuracy]
    baselines: dict[str, Accuracy]
    against_baseline: dict[str, McNemar]
    losses: list[float | None]
    accuracies: list[float | None]
    best_epoch: int
    ece: float | None
    seconds: float
    interrupted: bool

    @classmethod
    def read(cls, path: str | Path) -> FinishedRun:
        """From a run's folder. Raises `RequestError` where it is none, is not finished, or is damaged."""
        folder = RunFolder.open(path)
        if not (folder.path / "result.json").exists():
            hint = f"`sevensteps train --resume {path}` goes on with it"
            raise RequestError(f"{path} is not finished: it has no result.json", hint=hint)
        options, recipe = folder.read_config(), folder.read_recipe()
        facts, data = folder.read_json("result.json"), folder.read_json("data.json")
        with as_written(folder.path / "data.json"):
            fingerprint = _text(data["fingerprint"])
        with as_written(folder.path / "config.toml"):
            has_epochs = recipe.get("model") != BASELINE
            chosen = recipe.keys() if has_epochs else {"preprocessing"}
            options |= {name: it for name, it in recipe.items() if name in chosen}
            words = {name: f"{it:.6g}" if isinstance(it, float) else str(it) for name, it in options.items()}
        with as_written(folder.path / "result.json"):
            baseline, calibration = facts["baseline"], facts.get("calibration")
            bases = {"valid": baseline} | ({"test": baseline["test"]} if "test" in baseline else {})
            rows = [(row["valid_loss"], next(iter(row["metrics"].values()), None)) for row in facts["epochs"]]
            return cls(
                folder=folder,
                options=words,
                network=_text(facts["model"]["name"]),
                parameters=_count(facts["model"]["parameters"]),
                vocab=tuple(map(_text, facts["classes"])),
                fingerprint=fingerprint,
                training_pictures=_count(facts["pictures"]["train"]),
                scores={split: _accuracy(facts[split]) for split in SPLITS if split in facts},
                baselines={split: _accuracy(it) for split, it in bases.items()},
                against_baseline={
                    split: McNemar(_count(it["only_network"]), _count(it["only_baseline"]))
                    for split, it in bases.items()
                    if "only_network" in it
                },
                losses=[None if loss is None else _number(loss) for loss, _ in rows],
                accuracies=[None if score is None else _number(score) for _, score in rows],
                best_epoch=_count(facts["best_epoch"]),
                ece=_number(calibration["before"]["ece"]) if calibration else None,
                seconds=_number(facts["seconds"]),
                interrupted=bool(facts["interrupted"]),
            )

    def __post_init__(self) -> None:
        if "valid" not in self.scores:
            raise KeyError("valid")

    @property
    def name(self) -> str:
        """What its folder is called."""
        return self.folder.path.resolve().name

    @property
    def is_baseline(self) -> bool:
        """Whether it is pixel similarity itself, and nothing was trained."""
        return self.network == BASELINE

    @property
    def split(self) -> str:
        """The split that its headline is of: test where there is one, else valid."""
        return "test" if "test" in self.scores else "valid"

    @property
    def score(self) -> Accuracy:
        """The accuracy of the headline."""
        return self.scores[self.split]

    @property
    def baseline(self) -> Accuracy:
        """That of pixel similarity on the same pictures."""
        return self.baselines.get(self.split, self.baselines["valid"])

    @property
    def report(self) -> Path | None:
        """Where its page is, if it has one."""
        path = self.folder.path / "report.html"
        return path if path.is_file() else None

    def answers(self) -> list[Answer]:
        """Its answers to the pictures of the headline, in their order. Raises `RequestError` for a damaged table."""
        found = recorded_answers(self.folder, self.split)
        with as_written(self.folder.path / "predictions.csv"):
            if len(found) != self.score.n:
                raise ValueError(f"{len(found)} answers for {self.score.n} pictures")
            if not all(math.isfinite(answer.probability + answer.loss) for answer in found):
                raise ValueError("a probability or loss is no finite number")
        return found

    def to_dict(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "run": str(self.folder.path),
            "report": str(self.report) if self.report else None,
            "model": {"name": self.network, "parameters": self.parameters},
            **{split: score.to_dict() for split, score in self.scores.items()},
            "baseline": {split: score.to_dict() for split, score in self.baselines.items()},
            "epochs": len(self.losses),
            "best_epoch": self.best_epoch,
            "ece": self.ece,
            "seconds": self.seconds,
            "interrupted": self.interrupted,
        }


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, not {value!r:.80}")
    return value


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number) or abs(number) > LARGEST:
        raise ValueError(f"{value!r:.80} is no number that a training writes")
    return number if abs(number) >= SMALLEST else 0.0


def _count(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value <= MOST_PICTURES:
        raise ValueError(f"expected a whole number, not {value!r:.80}")
    return value


def _accuracy(facts: Mapping[str, Any]) -> Accuracy:
    n = _count(facts["n"])
    return Accuracy(round(_number(facts["accuracy"]) * n) if n else 0, n)
