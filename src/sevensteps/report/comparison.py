"""Several runs side by side: what was other, which is better and whether by luck, where they disagree."""

from __future__ import annotations

import os
import string
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..errors import RequestError
from ..files import read_small, write_text
from ..insight.interpretation import Answer
from ..interval import Accuracy
from ..models.mcnemar import SIGNIFICANT, McNemar
from ..words import NO_BREAK, SPLIT_WORDS, in_time, percent, span, visible
from . import charts
from .charts import Curve, Estimate
from .contents import MOST_ROWS
from .finished_run import FinishedRun
from .html import render, templates

LETTERS = string.ascii_uppercase
BRAND = '<p class="brand"><b>sevensteps</b> comparison</p>'
KINDS = 8  # of lines, by colour and dashes; after that they repeat, and the letters tell
LONGEST = 22  # characters of a run's name in a chart
OF_DATA = {  # options that choose the pictures, with their defaults
    "data": "the embedded digits",
    "seed": "0",
    "drop_leaks": "False",
    "follow_links": "False",
}


class Row(NamedTuple):
    """A row of the table: what, and a cell for each run."""

    what: str
    cells: list[str]


class ClassRow(NamedTuple):
    """A class, the number of its pictures, and its recall in each run."""

    name: str
    n: int
    recalls: list[Accuracy]


class Duel(NamedTuple):
    """A run, first, against the one that got most of the same pictures right, second."""

    letter: str
    test: McNemar
    p_value: float  # corrected for all pairs of runs

    @property
    def verdict(self) -> str:
        """In words."""
        return "no clear difference" if self.p_value >= SIGNIFICANT else "worse, and not by luck"


class Group:
    """Runs, by their letters, that answered the same pictures; `answers` has a list for each run."""

    def __init__(self, runs: dict[str, FinishedRun]) -> None:
        self.runs = runs
        self.split = next(iter(runs.values())).split
        self.answers = [run.answers() for run in runs.values()]
        for run, answers in zip(runs.values(), self.answers, strict=True):
            if [it.true for it in answers] != [it.true for it in self.answers[0]]:
                raise RequestError(
                    f"{run.folder.path / 'predictions.csv'} has other pictures than its data.json says",
                    hint="it is damaged, or was edited by hand: train again",
                )
        self.best = list(runs)[int(self.right.sum(1).argmax())]

    @cached_property
    def right(self) -> torch.Tensor:
        """Whether each run's answer to each picture is right: bool, runs × pictures."""
        return torch.tensor([[it.right for it in answers] for answers in self.answers], dtype=torch.bool)

    @property
    def duels(self) -> list[Duel]:
        """McNemar's test between each run and the best one, p corrected for all pairs (Holm 1979, Scand. J. Stat. 6).

        Any of the runs may be the best one by luck alone: the more there are, the clearer a difference has to be.
        """
        right = dict(zip(self.runs, self.right, strict=True))
        tests = {it: McNemar.of(right[it], right[self.best]) for it in right if it != self.best}
        pairs, corrected, least = len(right) * len(tests) // 2, {}, 0.0
        for place, (letter, test) in enumerate(sorted(tests.items(), key=lambda item: item[1].p_value)):
            corrected[letter] = least = max(least, min(1.0, (pairs - place) * test.p_value))
        return [Duel(letter, test, corrected[letter]) for letter, test in tests.items()]

    @property
    def classes(self) -> list[ClassRow]:
        """The recall of each class; those that differ the most between the runs first."""
        counts = Counter(it.true for it in self.answers[0])
        hits = [Counter(it.true for it in answers if it.right) for answers in self.answers]
        rows = [ClassRow(name, n, [Accuracy(of_run[name], n) for of_run in hits]) for name, n in counts.items()]
        return sorted(rows, key=lambda row: min(map(float, row.recalls)) - max(map(float, row.recalls)))

    @property
    def disagreements(self) -> list[list[Answer]]:
        """The answers of each run to the pictures that one got right and another wrong, by how far losses differ."""
        split = self.right.any(0) & ~self.right.all(0)
        rows = [[answers[i] for answers in self.answers] for i in split.nonzero().flatten().tolist()]
        return sorted(rows, key=lambda row: min(it.loss for it in row) - max(it.loss for it in row))


class Comparison:
    """The runs in some folders, each with a letter. Raises `RequestError` for folders that are no finished runs."""

    def __init__(self, paths: Sequence[str | Path]) -> None:
        if not 2 <= len(paths) <= len(LETTERS):
            raise RequestError(f"{len(paths)} runs to compare", hint=f"expected 2 to {len(LETTERS)}")
        self.runs = dict(zip(LETTERS, map(FinishedRun.read, paths), strict=False))
        same: dict[Any, dict[str, FinishedRun]] = {}
        for letter, run in self.runs.items():
            same.setdefault((run.fingerprint, run.vocab), {})[letter] = run
        self.groups = [Group(runs) for runs in same.values() if len(runs) > 1]
        self.apart = [self._apart(runs) for runs in list(same.values())[1:]]

    def _apart(self, runs: dict[str, FinishedRun]) -> str:
        """Why these cannot be compared with the first run, picture by picture."""
        first, other = (OF_DATA | run.options for run in (self.runs["A"], next(iter(runs.values()))))
        changed = (name for name in OF_DATA if first[name] != other[name])
        reasons = [f"{name.replace('_', ' ')} is {other[name]}, not {first[name]}" for name in changed]
        why = "; ".join(reasons) or "the files have changed between"
        return f"{', '.join(runs)} and A were not measured on the same pictures: {why}."

    @property
    def rows(self) -> list[Row]:
        """What the runs are, and what came of them."""
        runs = list(self.runs.values())
        table = [
            Row("data", [run.options.get("data", OF_DATA["data"]) for run in runs]),
            Row("training pictures", [f"{run.training_pictures:,}" for run in runs]),
            Row("network", [run.network for run in runs]),
            Row("parameters", [f"{run.parameters:,}" for run in runs]),
            *self._different,
        ]
        for split, words in SPLIT_WORDS.items():
            if any(split in run.scores for run in runs):
                table.append(Row(f"{words} accuracy", [_score(run.scores.get(split)) for run in runs]))
                table.append(Row("pixel similarity", [_score(run.baselines.get(split)) for run in runs]))
        best = [f"{run.best_epoch} of {len(run.losses)}" if run.losses else "–" for run in runs]
        return [
            *table,
            Row("best epoch", best),
            Row("calibration error (ECE)", ["–" if run.ece is None else percent(run.ece) for run in runs]),
            Row("time", [in_time(run.seconds) + " (stopped)" * run.interrupted for run in runs]),
        ]

    @property
    def _different(self) -> list[Row]:
        """The options that are not the same for all that were trained."""
        runs = list(self.runs.values())
        names = dict.fromkeys(name for run in runs for name in run.options if name not in ("data", "model"))
        return [
            Row(name.replace("_", " "), [run.options.get(name, "–") for run in runs])
            for name in names
            if len({run.options.get(name) for run in runs if not run.is_baseline}) > 1
        ]

    @property
    def estimates(self) -> list[Estimate]:
        """Each run's accuracy, and the baseline's where it is the same for all."""
        rows = [
            Estimate(f"{letter} {_short(run.name)}, {percent(run.score.value, run.score.n)}", run.score, "network")
            for letter, run in self.runs.items()
        ]
        bases = {run.baseline for run in self.runs.values()}
        if len(bases) == 1:
            (base,) = bases
            rows.append(Estimate(f"pixel similarity, {percent(base.value, base.n)}", base, "baseline"))
        return rows

    def curves(self, of: str) -> list[Curve]:
        """A line for each run: of its "losses" or its "accuracies"."""
        return [Curve(getattr(run, of), f"run {kind_of(letter)}", letter) for letter, run in self.runs.items()]

    def to_dict(self) -> dict[str, Any]:
        """As `--json` prints it."""
        paths = {letter: str(run.folder.path) for letter, run in self.runs.items()}
        duels = [
            {"run": paths[duel.letter], "best": paths[group.best], "p_value": duel.p_value,
             "only_run": duel.test.only_first, "only_best": duel.test.only_second}
            for group in self.groups for duel in group.duels
        ]  # fmt: skip
        return {"runs": [run.to_dict() for run in self.runs.values()], "mcnemar": duels, "not_comparable": self.apart}


def write_comparison(comparison: Comparison, out: str | Path) -> None:
    """Write one self-contained page. Raises `StorageError`, and `RequestError` for a file that is no such page."""
    if os.path.lexists(out) and not _is_comparison(Path(out)):
        raise RequestError(f"{out} is there, and is no comparison", hint="name another file with --out")
    environment = templates()
    environment.globals.update(charts=charts, kind_of=kind_of, split_words=SPLIT_WORDS, most_rows=MOST_ROWS)
    template = environment.get_template("report/comparison.html")
    write_text(out, render(template, "report/comparison.css", it=comparison))


def _is_comparison(path: Path) -> bool:
    """Whether it is a page that `write_comparison` wrote, which may be replaced."""
    try:
        page = read_small(path).decode()
    except (OSError, ValueError):
        return False
    return page.startswith("<!doctype html>") and BRAND in page


def kind_of(letter: str) -> str:
    """The class of a run's line: its colour and its dashes."""
    return f"run{LETTERS.index(letter) % KINDS}"


def _score(score: Accuracy | None) -> str:
    return "–" if score is None else f"{percent(score.value, score.n)} ({span(score).replace(' ', NO_BREAK)})"


def _short(name: str) -> str:
    shown = visible(name)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"
