"""Run exhibits on pictures, and show what they found: as plain values for JSON, as PNG files, on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.dataloaders import DataLoaders
from ..errors import RequestError
from ..files import make_folder, write_bytes
from ..insight.drawing import png
from ..words import finite, plural, visible
from . import (  # noqa: F401 - importing them puts their exhibits into EXHIBITS
    activations,
    batches,
    datasets,
    descent,
    learning,
    loop,
    measures,
    pixels,
    tensors,
    weights,
)
from .exhibit import EXHIBITS, Exhibit

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import RenderableType

    from ..data.store import Progress

FEW = 64  # training pictures: with fewer, an epoch in batches of 16 has less than four steps
MOST_SHOWN = 5  # values of a longer list, on a terminal


def choose(numbers: Iterable[int] = ()) -> list[Exhibit]:
    """The exhibits of these numbers, in this order; all of them where there are none. Raises `RequestError`."""
    numbers = list(numbers) or sorted(EXHIBITS)
    for number in numbers:
        if number not in EXHIBITS:
            raise RequestError(f"the tour has no exhibit {number}", hint=f"it has {min(EXHIBITS)} to {max(EXHIBITS)}")
    return [EXHIBITS[number] for number in numbers]


def run_tour(
    numbers: Iterable[int], dls: DataLoaders, out: str | Path | None = None, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Run exhibits on the pictures of `dls`: one table of plain values each, fit for JSON.

    Its keys are number, question, answer, controls, findings, note (where the pictures are too few to show what the
    answer says, else ""), code, seconds, and figure: the path of the PNG in the folder `out`, which is made where it is
    not there and whose figures of an earlier tour are replaced; None without `out`. No `numbers` is all. Raises
    `RequestError` for an unknown number, `StorageError` for a figure that cannot be written.
    """
    chosen = choose(numbers)
    folder = make_folder(out) if out is not None else None
    return [run_exhibit(exhibit, dls, folder) for exhibit in counted(chosen, progress)]


def counted(chosen: list[Exhibit], progress: Progress | None) -> Iterator[Exhibit]:
    """The exhibits one by one; `progress` is told how many are done."""
    for done, exhibit in enumerate(chosen):
        if progress:
            progress("answering questions", done, len(chosen))
        yield exhibit


def run_exhibit(
    exhibit: Exhibit, dls: DataLoaders, folder: Path | None = None, controls: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """One exhibit as `run_tour` gives it, with its controls turned. Raises `RequestError`, `StorageError`."""
    result, figure = visit(exhibit, dls, controls)
    if folder is not None and figure is not None:
        path = folder / f"{exhibit.name}.png"
        write_bytes(path, png(figure))
        result["figure"] = str(path)
    return result


def visit(
    exhibit: Exhibit, dls: DataLoaders, controls: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], Figure | None]:
    """One exhibit as `run_tour` gives it, with its controls turned, and its figure, of which nothing is written."""
    started = time.perf_counter()
    controls = dict(controls or {})
    shown = exhibit.run(dls, **controls)
    result = {
        "number": exhibit.number,
        "question": exhibit.question,
        "answer": exhibit.answer,
        "controls": {name: controls.get(name, control.default) for name, control in exhibit.controls.items()},
        "findings": finite(shown.findings),
        "note": _note(dls),
        "code": exhibit.code,
        "figure": None,
        "seconds": round(time.perf_counter() - started, 3),
    }
    return result, shown.figure


def _note(dls: DataLoaders) -> str:
    n = dls.splits["train"].n
    few = f"only {plural(n, 'training picture')}: what the answer says of batches, noise and learning shows on more"
    return few if n < FEW else ""


def contents() -> RenderableType:
    """The table of all exhibits: number and question."""
    from rich.table import Table

    table = Table("exhibit", "question", box=None, header_style="bold")
    for exhibit in choose():
        table.add_row(str(exhibit.number), exhibit.question)
    return table


def render(result: Mapping[str, Any], *, code: bool = True) -> RenderableType:
    """What `run_tour` gave for one exhibit, for a terminal: question, answer, findings, code, where its picture is."""
    from rich.console import Group
    from rich.markdown import Markdown
    from rich.syntax import Syntax
    from rich.table import Table
    from rich.text import Text

    findings = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in result["findings"].items():
        findings.add_row(Text(visible(name.replace("_", " ")), style="bold"), Text(as_text(value)))
    parts: list[RenderableType] = [
        Text(f"{result['number']}. {result['question']}", style="bold cyan"),
        Markdown(result["answer"]),
        Text("Found on these pictures", style="bold cyan"),
        findings,
        *([Text(result["note"], style="yellow")] if result["note"] else []),
    ]
    if code:
        parts += [Text("How", style="bold cyan"), Syntax(result["code"], "python", background_color="default")]
    if result["figure"]:
        parts.append(Text(f"picture: {visible(result['figure'])}", style="green"))
    return Group(*(piece for part in parts for piece in (part, "")))


def as_text(value: Any) -> str:
    """A finding as people read it: four digits, and of a long list its ends.

    >>> as_text(0.123456), as_text([0.5] * 3), as_text(list(range(100)))
    ('0.1235', '0.5, 0.5, 0.5', '0, 1, 2, … 99 (100 values)')
    >>> as_text({"a": 1, "b": None}), as_text(True)
    ('a 1, b none', 'yes')
    >>> as_text({"shape": [2, 3]}), as_text([[1, 2], [3, 4]])
    ('shape (2, 3)', '(1, 2), (3, 4)')
    """
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        between = "\n" if any(isinstance(one, Mapping) for one in value.values()) else ", "
        return between.join(f"{visible(str(name)).replace('_', ' ')} {_inside(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        if any(isinstance(one, Mapping) for one in value):
            return "\n".join(map(as_text, value))
        if len(value) > MOST_SHOWN:
            return f"{', '.join(map(_inside, value[:3]))}, … {_inside(value[-1])} ({len(value)} values)"
        return ", ".join(map(_inside, value))
    return visible(str(value))


def _inside(value: Any) -> str:
    return f"({as_text(value)})" if isinstance(value, list | tuple) else as_text(value)
