"""`sevensteps report`: the figures of a run, or of several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ..errors import RequestError
from ..files import json_text
from ..words import NO_BREAK, distance, in_full, plural, visible
from .options import json_option

if TYPE_CHECKING:
    from ..report.comparison import Comparison
    from ..report.finished_run import FinishedRun

PAGE = "compare.html"


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--out", help=f"Where the page that compares several runs is written.  [default: {PAGE}]")
@json_option
def report(runs: tuple[str, ...], out: str | None, as_json: bool) -> None:
    """Tell the figures of a RUN and where its report is; of several, write a page that compares them side by side.

    Which of them is better is tested where they were measured on the same pictures.
    """
    if len(runs) > 1:
        from ..report.comparison import Comparison, write_comparison

        comparison, page = Comparison(runs), out or PAGE
        write_comparison(comparison, page)
        _print(comparison.to_dict() | {"page": page}, _of_several(comparison, page), as_json)
        return
    if out is not None:
        hint = "name several runs, or leave --out away: the report of a run is in its folder"
        raise RequestError("--out says where the page of a comparison is written", hint=hint)
    from ..report.finished_run import FinishedRun

    run = FinishedRun.read(runs[0])
    _print(run.to_dict(), _of_one(run), as_json)


def _of_one(run: FinishedRun) -> list[str]:
    lines = [f"{'Run':<10}{run.folder.path}: {_what(run)}"]
    for split, score in run.scores.items():
        base, test = run.baselines.get(split), run.against_baseline.get(split)
        lines.append(f"{'Result':<10}{split}: {in_full(score)} right")
        if base and test and not run.is_baseline:
            lines.append(f"{'':<10}{distance(score, base, test.is_clear)}")
    if run.losses:
        lines.append(f"{'':<10}the weights are those of epoch {run.best_epoch} of {len(run.losses)}")
    nowhere = f"none yet: `sevensteps train --resume {run.folder.path}` writes it"
    return [*lines, f"{'Report':<10}{run.report or nowhere}"]


def _of_several(comparison: Comparison, page: str) -> list[str]:
    lines = []
    for letter, run in comparison.runs.items():
        lines.append(f"{letter:<10}{run.folder.path}: {run.split} {in_full(run.score)} right")
        lines.append(f"{'':<10}{_what(run)}")
    for group in comparison.groups:
        for duel in group.duels:
            told = f"{duel.verdict}: {plural(duel.test.only_first, 'picture')} right that {group.best} has wrong, "
            told += f"{duel.test.only_second:,} the other way (p = {duel.p_value:.2g})"
            lines.append(f"{f'{duel.letter} to {group.best}':<10}{told}")
    lines += [f"{'':<10}{sentence}" for sentence in comparison.apart]
    return [*lines, f"{'Page':<10}{page}"]


def _what(run: FinishedRun) -> str:
    stopped = ", stopped before its end" if run.interrupted else ""
    return f"{run.network}, {plural(run.parameters, 'parameter')}, {run.seconds:.0f} s{stopped}"


def _print(document: dict[str, Any], lines: Sequence[str], as_json: bool) -> None:
    click.echo(json_text(document) if as_json else "\n".join(map(visible, lines)).replace(NO_BREAK, " "))
