"""What a terminal shows: results on stdout, progress on stderr, one JSON document where that is asked for."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from ..files import json_text
from ..words import NO_BREAK, distance, in_full, in_short, percent, plural, visible
from .doctor import doctors_word

if TYPE_CHECKING:
    from ..data.check import Report
    from ..data.dataloaders import DataLoaders
    from ..data.listing import Refused
    from ..insight.doctor import Diagnosis
    from ..models.evaluate import FolderEvaluation
    from ..models.evaluation import Evaluation
    from ..models.predict import FilePredictions
    from ..training.recipes import Recipe
    from ..training.recorder import EpochRow
    from ..training.train import TrainingResult

BAR_AFTER_SECONDS = 0.5  # a bar for what is over sooner would only flicker
EPOCH_ROW = "{:>9} {:>11} {:>11} {:>9} {:>8} {:>11}"
PRECISION = {"fp32": "float32", "bf16": "bfloat16 products, float32 weights and loss,"}
MOST_ROWS = 12
MOST_REFUSED = 50


class Terminal:
    """Watches the main job and prints it. `as_json` keeps stdout for one document; `quiet` leaves progress out."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.out = Console(highlight=False, quiet=as_json, soft_wrap=not sys.stdout.isatty())
        self.err = Console(stderr=True, highlight=False, quiet=quiet, soft_wrap=not sys.stderr.isatty())
        self.warn = Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        self.doing, self.since = "", 0.0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close_bar()

    # -- progress -------------------------------------------------------------------------------------------------

    def starting(self) -> None:
        """Say that PyTorch is being loaded, which takes a second or two."""
        if self.err.is_terminal:
            self.progress("loading PyTorch", 0, 1)
            self._open_bar(0, 1)

    def progress(self, what: str, done: int, total: int) -> None:
        """Show a bar for `what` once it has taken a moment; it goes away when something else begins."""
        if not self.err.is_terminal or self.err.quiet:
            return
        if what != self.doing:
            self.close_bar()
            self.doing, self.since = what, time.monotonic()
        if self.bar is None and done < total and time.monotonic() - self.since > BAR_AFTER_SECONDS:
            self._open_bar(done, total)
        if self.bar and self.task is not None:
            self.bar.update(self.task, completed=done, total=total)

    def _open_bar(self, done: int, total: int) -> None:
        amount = [DownloadColumn() if self.doing == "downloading" else MofNCompleteColumn()] if total > 1 else []
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), *amount, TimeRemainingColumn(),
            console=self.err, transient=True,
        )  # fmt: skip
        self.task = self.bar.add_task(self.doing, total=total if total > 1 else None, completed=done)
        self.bar.start()

    def close_bar(self) -> None:
        """What was under way is over."""
        if self.bar:
            self.bar.stop()
        self.bar, self.task, self.doing = None, None, ""

    # -- the main job, as it goes -----------------------------------------------------------------------------------

    def found(self, dls: DataLoaders, where: str) -> None:
        """What the data hold."""
        self.close_bar()
        pictures = sum(loader.n for loader in dls.splits.values())
        self._head(
            self.err,
            "Data",
            f"{plural(pictures, 'picture')} in {plural(len(dls.vocab or []), 'class')}, from {visible(where)}",
        )
        self.err.print(_indented(_counts(dls.counts)))
        if dls.preprocessing:
            colour = "grey" if dls.preprocessing.channels == 1 else "colour"
            self._line(f"to the network as {dls.preprocessing.width} × {dls.preprocessing.height} pixels, {colour}")
        if len(dls.sizes) > 1:
            common = sorted(dls.sizes.items(), key=lambda item: -item[1])
            shown = ", ".join(f"{size} ({count:,})" for size, count in common[:4])
            more = f" and {len(common) - 4:,} more" if len(common) > 4 else ""
            self._line(f"sizes: {shown}{more}; scaled to cover, cropped at the centre")
        for note in dls.notes:
            self._line(visible(note))
        self._refused(dls.refused, "all of them are in data.json")

    def baseline(self, evaluation: Evaluation) -> None:
        """How good pixel similarity is."""
        self.close_bar()
        self._head(self.err, "Baseline", f"pixel similarity: {in_full(evaluation.accuracy)} of valid right")

    def model(self, facts: dict[str, Any], recipe: Recipe) -> None:
        """The network, and how it will be trained."""
        numbers = f"{facts['parameters']:,} parameters, {in_short(facts['operations'])} multiply-adds a picture"
        self._head(self.err, "Model", f"{facts['name']}: {numbers}")
        if facts["name"] != "pixel_similarity":
            epochs = plural(recipe.epochs, "epoch")
            changed = f"; pictures changed by: {recipe.augment}" if recipe.augment else ""
            self._line(f"{epochs}, batches of {recipe.batch_size}, learning rate up to {recipe.lr:g}{changed}")
            where = plural(facts["threads"], "thread") if facts["device"] == "cpu" else facts["device"]
            self._line(f"{PRECISION[facts['precision']]} on {where}")
            self.err.print()
            self.err.print(EPOCH_ROW.format("epoch", "train loss", "valid loss", "accuracy", "seconds", "pictures/s"))

    def epoch(self, row: EpochRow, epochs: int) -> None:
        """One row of the table."""
        self.close_bar()
        valid = "" if row.valid_loss is None else f"{row.valid_loss:.4f}"
        accuracy = next((f"{100 * value:.2f} %" for value in row.metrics.values()), "")
        count, speed = f"{row.epoch}/{epochs}", f"{row.pictures_per_second:,.0f}"
        cells = (count, f"{row.train_loss:.4f}", valid, accuracy, f"{row.seconds:.1f}", speed)
        self.err.print(EPOCH_ROW.format(*cells))

    def finished(self, result: TrainingResult) -> None:
        """Nothing: `trained` shows it, once the report is written."""
        self.close_bar()

    # -- results --------------------------------------------------------------------------------------------------

    def trained(self, result: TrainingResult, report: Path, doctor: Sequence[Diagnosis]) -> None:
        """The result of a training, its distance from the baseline, where it is, and what to do next."""
        self.close_bar()
        if self.as_json:
            return self._json(result.to_dict() | {"report": str(report), "doctor": [it._asdict() for it in doctor]})
        self.err.print()
        if result.interrupted:
            self._head(self.out, "Stopped", "by you; what was learned so far is kept")
        elif 0 < len(result.epochs) < result.planned_epochs:
            epochs = f"in epoch {len(result.epochs)} of {result.planned_epochs}"
            self._head(self.out, "Stopped", f"by the clock, {epochs}; what was learned so far is kept")
        for number, (split, scored) in enumerate(result.scored.items()):
            base = result.baselines[split]
            self._head(self.out, "" if number else "Result", f"{split}: {in_full(scored.evaluation.accuracy)} right")
            if not result.is_baseline:
                clear = result.against_baseline(split).is_clear
                self._line(distance(scored.evaluation.accuracy, base.evaluation.accuracy, clear), self.out)
        if "test" not in result.scored and result.epochs:
            self._line(
                "valid also chose the epoch, which flatters a little: a test folder would have the last word", self.out
            )
        if result.best_epoch and result.best_epoch != len(result.epochs):
            self._line(f"the weights are those of epoch {result.best_epoch}, the best on valid", self.out)
        for number, line in enumerate([] if result.is_baseline else doctors_word(doctor, len(result.epochs))):
            self._head(self.out, "" if number else "Doctor", line)
        run = visible(str(result.run.path))
        self._head(self.out, "Run", f"{run} ({result.seconds:.0f} s); report: {visible(str(report))}")
        first = f"train --resume {run}" if result.interrupted else f"predict {run} PICTURE"
        self._head(self.out, "Next", f"{_command()} {first}")
        self._line(f"{_command()} evaluate {run} DATA", self.out)
        return None

    def evaluated(self, result: FolderEvaluation) -> None:
        """How a saved model did."""
        self.close_bar()
        if self.as_json:
            return self._json(result.to_dict())
        what = "all pictures" if result.split == "all" else result.split
        self._head(self.out, "Result", f"{what}: {in_full(result.evaluation.accuracy)} right")
        table = Table(box=None, pad_edge=False, padding=(0, 2))
        table.add_column("class")
        for title in ("right", "of", "accuracy"):
            table.add_column(title, justify="right")
        seen = [item for item in result.evaluation.per_class.items() if item[1].n]
        scores = sorted(seen, key=lambda item: item[1].value)
        for name, score in scores[:MOST_ROWS]:
            table.add_row(Text(visible(name)), f"{score.correct:,}", f"{score.n:,}", _plain(percent(score.value)))
        self.out.print(_indented(table))
        if len(scores) > MOST_ROWS:
            self._line(f"and {len(scores) - MOST_ROWS} classes that did better (--json has all)", self.out)
        if unseen := len(result.evaluation.per_class) - len(seen):
            self._line(f"no pictures of {plural(unseen, 'class')} that the model knows", self.out)
        for note in result.notes:
            self._line(visible(note), self.out)
        self._refused(result.refused, "--json has all")
        return None

    def toured(self, results: Sequence[dict[str, Any]], index: Path | None = None) -> None:
        """The exhibits of the tour, or where their pages are."""
        from ..tour.show import render

        self.close_bar()
        if self.as_json:
            return self._json({"exhibits": results} | ({"index": str(index)} if index else {}))
        if index:
            return self._head(self.out, "Tour", f"{plural(len(results), 'page')}: open {visible(str(index))}")
        for result in results:
            self.out.print(render(result))
        return None

    def predicted(self, answers: FilePredictions, csv_file: str | None) -> None:
        """What a saved model said of each picture."""
        self.close_bar()
        if self.as_json:
            return self._json(answers.to_dict())
        width = max((len(visible(name)) for name in answers.predictions), default=0)
        for name, it in answers.predictions.items():
            sure = _plain(percent(it.probability))
            self.out.print(Text(f"{visible(name):<{width}}  {visible(it.class_name)}  {sure}"))
        self._refused(answers.refused, "--json has all")
        if csv_file:
            self._line(f"written to {visible(csv_file)}")
        return None

    def checked(self, report: Report) -> None:
        """What the data tell of themselves."""
        self.close_bar()
        if self.as_json:
            return self._json(report.to_dict())
        for finding in report.findings:
            self._line(f"{finding.kind}: {finding.message}", self.out, indent=0)
            for example in finding.examples:
                self._line(example, self.out, indent=4)
        if not report.findings:
            self._line(f"nothing found in {plural(sum(report.pictures.values()), 'picture')}", self.out, indent=0)
        return None

    # -- pieces ---------------------------------------------------------------------------------------------------

    def _json(self, document: Mapping[str, Any]) -> None:
        sys.stdout.write(json_text(document) + "\n")

    def _head(self, console: Console, title: str, text: str) -> None:
        if console.is_terminal:
            grid = Table.grid()
            grid.add_row(Text(f"{title:<10}", style="bold"), Text(text))
            console.print(grid)
        else:
            console.print(Text(f"{title:<10}{text}"))

    def _line(self, text: str, console: Console | None = None, indent: int = 10) -> None:
        console = console or self.err
        console.print(_indented(Text(text), indent) if console.is_terminal else Text(" " * indent + text))

    def _refused(self, refused: Sequence[Refused], more: str) -> None:
        if not refused:
            return
        self.warn.print(Text(f"{'':<10}{plural(len(refused), 'file')} refused:", style="yellow"))
        for item in refused[:MOST_REFUSED]:
            self._line(f"{visible(item.path)}: {item.reason}, {visible(item.message)}", self.warn, indent=12)
        if len(refused) > MOST_REFUSED:
            self._line(f"and {len(refused) - MOST_REFUSED:,} more; {more}", self.warn, indent=12)


def _plain(text: str) -> str:
    """Text for a terminal, where a space that may not break is only a space that cannot be searched for."""
    return text.replace(NO_BREAK, " ")


def _command() -> str:
    """The command as the user can type it: with its folder where the shell would not find it."""
    script = sys.argv[0]
    if shutil.which("sevensteps"):
        return "sevensteps"
    if Path(script).name == "__main__.py":
        return f"{Path(sys.executable).name} -m sevensteps"
    return min(script, os.path.relpath(script), key=len)


def _counts(counts: dict[str, dict[str, int]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column("class")
    for split in counts:
        table.add_column(split, justify="right")
    classes = list(next(iter(counts.values()), {}))
    for name in classes[:MOST_ROWS]:
        table.add_row(Text(visible(name)), *(f"{split[name]:,}" for split in counts.values()))
    if len(classes) > MOST_ROWS:
        table.add_row(f"… {len(classes) - MOST_ROWS} more")
    table.add_row("all", *(f"{sum(split.values()):,}" for split in counts.values()), style="bold")
    return table


def _indented(content: Table | Text, indent: int = 10) -> Padding:
    return Padding(content, (0, 0, 0, indent), expand=False)
