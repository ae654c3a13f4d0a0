"""What the main job tells while it goes on, and what it ends with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F

from ..data.check import Finding
from ..data.dataloaders import DataLoaders
from ..models.evaluation import Evaluation
from ..models.mcnemar import McNemar
from ..models.model_folder import ModelFolder, default_card
from ..models.pixel_similarity import PixelSimilarity
from ..words import finite
from .recipes import Recipe
from .recorder import EpochRow
from .run_folder import RunFolder


class Watcher(Protocol):
    """Is told how the main job goes. The terminal's display is one."""

    def progress(self, what: str, done: int, total: int) -> None:
        """`what` is under way: `done` of `total`."""
        return None

    def found(self, dls: DataLoaders, where: str) -> None:
        """The data are read."""
        return None

    def baseline(self, evaluation: Evaluation) -> None:
        """The pixel-similarity baseline was measured on the validation set."""
        return None

    def model(self, facts: dict[str, Any], recipe: Recipe) -> None:
        """The network is made; training begins."""
        return None

    def epoch(self, row: EpochRow, epochs: int) -> None:
        """An epoch has ended."""
        return None

    def finished(self, result: TrainingResult) -> None:
        """Everything is saved."""
        return None


class Silence(Watcher):
    """A watcher that says nothing."""


class Scored(NamedTuple):
    """The answers for one split: `preds` N×classes, `targets` N, and how many are right."""

    preds: torch.Tensor
    targets: torch.Tensor
    evaluation: Evaluation


class Baseline(NamedTuple):
    """Pixel similarity's answers for one split: how many are right, and which (bool, N)."""

    evaluation: Evaluation
    right: torch.Tensor


@dataclass
class TrainingResult:
    """What the main job ends with; `calibration`, as JSON, is added by the report."""

    run: RunFolder
    dls: DataLoaders
    model: ModelFolder
    model_facts: dict[str, Any]
    similarity: PixelSimilarity
    baselines: dict[str, Baseline]
    scored: dict[str, Scored]
    epochs: list[EpochRow]
    planned_epochs: int
    best_epoch: int
    seconds: float
    interrupted: bool
    config: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    calibration: dict[str, Any] | None = None

    @property
    def is_baseline(self) -> bool:
        """Whether the model is pixel similarity itself, and nothing was trained."""
        return self.model.model is self.similarity

    def against_baseline(self, split: str) -> McNemar:
        """How many pictures of a split only the network names rightly, and how many only the baseline does."""
        preds, targets, _ = self.scored[split]
        return McNemar.of(preds.argmax(1) == targets, self.baselines[split].right)

    def write(self) -> None:
        """Write its figures, every answer and the model card into the run's folder. Raises `StorageError`."""
        rows: list[list[Any]] = []
        vocab = self.dls.vocab or []
        for split, (preds, targets, _) in self.scored.items():
            probs, losses = preds.softmax(1).max(1), F.cross_entropy(preds, targets, reduction="none")
            columns = (targets.tolist(), probs.indices.tolist(), probs.values.tolist(), losses.tolist())
            names = self.dls.splits[split].collection.names
            rows += [
                [split, n, vocab[y], vocab[p], prob, loss] for n, y, p, prob, loss in zip(names, *columns, strict=True)
            ]
        self.run.write_table("predictions.csv", ["split", "picture", "class", "predicted", "probability", "loss"], rows)
        self.run.write_json("result.json", self.to_dict())
        sentences = [f"- {split}: {scored.evaluation.accuracy}" for split, scored in self.scored.items()]
        sentences.append(f"- pixel similarity, the baseline, on valid: {self.baselines['valid'].evaluation.accuracy}")
        self.model.write_card(self.run.model, default_card(self.model, "\n".join(["Accuracy:", "", *sentences])))
        self.run.seal()

    def to_dict(self) -> dict[str, Any]:
        """As `result.json` has it, and `--json` prints it."""
        baselines = {split: self._baseline_facts(split) for split in self.baselines}
        counts = {split: loader.n for split, loader in self.dls.splits.items()}
        facts: dict[str, Any] = {
            "run": str(self.run.path),
            "classes": self.dls.vocab,
            "pictures": {**counts, "refused": len(self.dls.refused), "per_class": self.dls.counts},
            "model": {**self.model_facts, "folder": str(self.run.model)},
            "baseline": baselines.pop("valid"),
            "epochs": [finite(row._asdict()) for row in self.epochs],
            "best_epoch": self.best_epoch,
            "seconds": round(self.seconds, 3),
            "interrupted": self.interrupted,
            "calibration": self.calibration,
            "notes": self.dls.notes,
            "refused": [refused._asdict() for refused in self.dls.refused],
        }
        for split, scored in self.scored.items():
            facts[split] = scored.evaluation.to_dict()
        facts["baseline"] |= baselines
        return facts

    def _baseline_facts(self, split: str) -> dict[str, Any]:
        test = self.against_baseline(split)
        only = {"only_network": test.only_first, "only_baseline": test.only_second}
        return self.baselines[split].evaluation.to_dict() | only
