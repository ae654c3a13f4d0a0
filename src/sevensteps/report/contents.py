"""What the page says, section by section, as plain values: the template only lays it out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..errors import RequestError
from ..insight.doctor import Diagnosis, examine
from ..insight.interpretation import ClassScore, Confused, Interpretation
from ..insight.record import Record
from ..interval import Accuracy
from ..training.result import TrainingResult
from ..words import SPLIT_WORDS
from .confidence import Confidence
from .gallery import Gallery
from .passport import Passport

SIMPLEST = "pixel similarity, the simplest thing that could work"
MOST_MATRIX_CLASSES = 30
MOST_ROWS = 30  # classes, pairs, refused files: the rest is counted, and is in the run folder


class Verdict(NamedTuple):
    """Whether the baseline is beaten: `kind` is "better", "unsure", "worse" or "baseline"."""

    kind: str
    text: str


class Told(NamedTuple):
    """One thing that was found: what, in a sentence, with examples, and what to do about it."""

    what: str
    text: str
    examples: Sequence[str]
    advice: str


class Contents:
    """The contents of the page for one result. The headline is of the test split where there is one, else of valid."""

    def __init__(self, result: TrainingResult, doctor: Sequence[Diagnosis] | None = None) -> None:
        self.result = result
        self.doctor = examine(Record.of(result.run)) if doctor is None else doctor
        self.split = "test" if "test" in result.scored else "valid"
        self.vocab = result.dls.vocab or []
        self.collection = result.dls.splits[self.split].collection
        self.answers = Interpretation.of(result.scored[self.split], self.vocab, self.collection.names)
        self.passport = Passport(result.run, result.config)
        self.is_baseline = result.is_baseline
        self.gallery = Gallery(self.answers, self.collection, result.similarity, not self.is_baseline)
        self.score = self.answers.evaluation.accuracy
        self.base = result.baselines[self.split].evaluation

    # -- the headline ---------------------------------------------------------------------------------------------

    @property
    def points(self) -> float:
        """Percentage points above the baseline."""
        return 100 * (self.score.value - self.base.accuracy.value)

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the network beats the baseline on the same pictures, by McNemar's test, in a sentence or two."""
        if self.is_baseline:
            text = (
                "This run is the baseline itself: it compares a picture with the mean picture of each class. "
                "Nothing was trained past it."
            )
            return Verdict("baseline", text)
        test = self.result.against_baseline(self.split)
        p = "less than 0.0001" if test.p_value < 1e-4 else f"{test.p_value:.2g}"
        reason = (
            f"Of the pictures that only one of them got right, the network had {test.only_first:,} and the baseline "
            f"{test.only_second:,}; luck alone would do this with a probability of {p} (exact McNemar test)."
        )
        if not test.is_clear:
            return Verdict("unsure", f"No clear difference from {SIMPLEST}. {reason} More pictures would tell.")
        kind = "better" if test.only_first > test.only_second else "worse"
        return Verdict(kind, f"{kind.capitalize()} than {SIMPLEST}, and not by luck. {reason}")

    @property
    def splits(self) -> list[dict[str, Any]]:
        """A row a scored split: the network's accuracy and the baseline's."""
        return [
            {"split": SPLIT_WORDS[split], "score": scored.evaluation.accuracy,
             "balanced": scored.evaluation.balanced_accuracy, "base": self.result.baselines[split].evaluation.accuracy}
            for split, scored in self.result.scored.items()
        ]  # fmt: skip

    @property
    def most_frequent(self) -> float:
        """The accuracy of always answering the most frequent class."""
        return float(self.answers.confusion.sum(1).max()) / max(self.score.n, 1)

    # -- what was found -------------------------------------------------------------------------------------------

    @property
    def counts(self) -> list[tuple[str, list[int]]]:
        """A row a class: pictures in each split."""
        tables = self.result.dls.counts.values()
        return [(name, [table[name] for table in tables]) for name in self.vocab]

    @property
    def sizes(self) -> list[tuple[str, int]]:
        """The sizes of the pictures as they were found, the most frequent first."""
        return sorted(self.result.dls.sizes.items(), key=lambda item: -item[1])

    @property
    def findings(self) -> list[Told]:
        """What `check` says of the data, with the doctor's advice; the refused files have a table of their own."""
        found = [finding for finding in self.result.findings if finding.kind != "refused"]
        advice = {it.evidence: it.advice for it in self.doctor}
        return [Told(it.kind.replace("_", " "), it.message, it.examples, advice.get(it.line, "")) for it in found]

    @property
    def illnesses(self) -> list[Told]:
        """What the doctor says of the training; what ails the data stands with the findings."""
        said = {finding.line for finding in self.result.findings}
        return [Told(it.illness, it.evidence, (), it.advice) for it in self.doctor if it.evidence not in said]

    @property
    def notes(self) -> list[str]:
        """What was decided for the user, without the findings, which are among the notes too."""
        said = {finding.line for finding in self.result.findings}
        return [note for note in self.result.dls.notes if note not in said]

    # -- curves ---------------------------------------------------------------------------------------------------

    @property
    def metric(self) -> list[float | None]:
        """The accuracy on valid after each epoch."""
        return [next(iter(row.metrics.values()), None) for row in self.result.epochs]

    # -- answers --------------------------------------------------------------------------------------------------

    @cached_property
    def confused(self) -> list[Confused]:
        """The pairs of classes that were confused, the most frequent first."""
        return self.answers.most_confused()

    @property
    def matrix(self) -> list[tuple[str, list[tuple[int, str]]]]:
        """A row a class: each cell's count, and the shade of it (h0 to h10 for hits, m0 to m10 for misses)."""
        confusion = self.answers.confusion
        part = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
        hits, misses = np.ceil(10 * part).astype(int), np.ceil(10 * np.sqrt(part)).astype(int)
        return [
            (name, [(int(n), f"h{hits[i, j]}" if i == j else f"m{misses[i, j]}") for j, n in enumerate(confusion[i])])
            for i, name in enumerate(self.vocab)
        ]

    @property
    def classes(self) -> list[tuple[ClassScore, Accuracy]]:
        """Each class's scores, and its recall with its interval; where there are many classes, the worst first."""
        rows = list(zip(self.answers.per_class(), self.answers.evaluation.per_class.values(), strict=True))
        if len(rows) > MOST_MATRIX_CLASSES:
            rows.sort(key=lambda row: 2.0 if math.isnan(row[0].f1) else row[0].f1)
        return rows

    # -- how sure it is -------------------------------------------------------------------------------------------

    @cached_property
    def confidence(self) -> Confidence | None:
        """Calibration and coverage; None where there are no probabilities."""
        try:
            return None if self.is_baseline else Confidence(self.result.scored, self.split)
        except RequestError:  # scores that are not finite
            return None
