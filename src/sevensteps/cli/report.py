"""What `sevensteps report` prints."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..errors import RequestError
from ..files import json_text
from ..interval import Accuracy
from ..report.comparison import Comparison, write_comparison
from ..report.record import Record
from ..words import NO_BREAK, distance, percent, plural, span, visible

PAGE = "compare.html"


def show_report(runs: Sequence[str], out: str | None, *, as_json: bool) -> None:
    """The figures of one run, or of several, and where their page is. Raises `RequestError`, `StorageError`."""
    if len(runs) > 1:
        comparison = Comparison(runs)
        write_comparison(comparison, out or PAGE)
        _print(comparison.to_dict() | {"page": out or PAGE}, _of_several(comparison, out or PAGE), as_json)
    elif out is not None:
        hint = "name several runs, or leave --out away: the report of a run is in its folder"
        raise RequestError("--out says where the page of a comparison is written", hint=hint)
    else:
        record = Record.read(runs[0])
        _print(record.to_dict(), _of_one(record), as_json)


def _of_one(record: Record) -> list[str]:
    lines = [f"{'Run':<10}{record.folder.path}: {_what(record)}"]
    for split, score in record.scores.items():
        base = record.baselines.get(split)
        lines.append(f"{'Result':<10}{split}: {_figures(score)}")
        if base and not record.is_baseline:
            lines.append(f"{'':<10}{distance(score, base)}")
    if record.losses:
        lines.append(f"{'':<10}the weights are those of epoch {record.best_epoch} of {len(record.losses)}")
    nowhere = f"none yet: `sevensteps train --resume {record.folder.path}` writes it"
    return [*lines, f"{'Report':<10}{record.report or nowhere}"]


def _of_several(comparison: Comparison, page: str) -> list[str]:
    lines = []
    for letter, run in comparison.runs.items():
        lines.append(f"{letter:<10}{run.folder.path}: {run.split} {_figures(run.score)}")
        lines.append(f"{'':<10}{_what(run)}")
    for group in comparison.groups:
        for duel in group.duels:
            told = f"{duel.verdict}: {duel.test.only_first:,} pictures right that {group.best} has wrong, "
            told += f"{duel.test.only_second:,} the other way (p = {duel.test.p_value:.2g})"
            lines.append(f"{f'{duel.letter} to {group.best}':<10}{told}")
    lines += [f"{'':<10}{sentence}" for sentence in comparison.apart]
    return [*lines, f"{'Page':<10}{page}"]


def _what(record: Record) -> str:
    stopped = ", stopped before its end" if record.interrupted else ""
    return f"{record.network}, {plural(record.parameters, 'parameter')}, {record.seconds:.0f} s{stopped}"


def _figures(score: Accuracy) -> str:
    return f"{percent(score.value, score.n)} (95 % interval {span(score)}, n = {score.n:,}) right"


def _print(document: dict[str, object], lines: Sequence[str], as_json: bool) -> None:
    click.echo(json_text(document) if as_json else "\n".join(map(visible, lines)).replace(NO_BREAK, " "))
