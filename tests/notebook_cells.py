"""Runs the code cells of a Jupyter notebook one by one in one namespace, without Jupyter.

Each cell's last expression is displayed as Jupyter would, so that what it shows must be showable; figures are drawn
and closed after the cell. Cells that set the book up (an install, `fastbook`, fastai) are left out, all other lines
are run as they stand.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

SET_UP = {
    "import fastbook",
    "fastbook.setup_book()",
    "from fastbook import *",
    "from fastai.vision.all import *",
    "from fastai2.vision.all import *",  # older editions
    "from utils import *",
}
DISPLAYS = ("_repr_html_", "_repr_png_", "_repr_svg_")


class Ran(NamedTuple):
    """One cell that ran: what it printed, the value it ended with, and how Jupyter would show that."""

    source: str
    printed: str
    value: Any
    shown: Any
    seconds: float


def code_cells(notebook: Path) -> list[str]:
    """The source of the notebook's code cells that have one, in order."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return [source for source in sources if source.strip()]


def without_set_up(source: str) -> str:
    """A cell without the lines that install and import the book; any other cell as it is."""
    lines = source.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("!") and line.strip() not in SET_UP)


def run_cells(sources: list[str], namespace: dict[str, Any]) -> list[Ran]:
    """Run all cells; a failure names the cell."""
    ran = []
    for number, source in enumerate(sources, start=1):
        printed = io.StringIO()
        started = time.perf_counter()
        try:
            with contextlib.redirect_stdout(printed):
                value, shown = _run(source, f"cell {number}", namespace)
        except Exception as error:
            error.add_note(f"in cell {number}:\n{source}")
            raise
        ran.append(Ran(source, printed.getvalue(), value, shown, time.perf_counter() - started))
    return ran


def _run(source: str, name: str, namespace: dict[str, Any]) -> tuple[Any, Any]:
    tree = ast.parse(source, name)
    value = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)  # type: ignore[attr-defined]
        exec(compile(tree, name, "exec"), namespace)
        value = eval(compile(last, name, "eval"), namespace)
    else:
        exec(compile(tree, name, "exec"), namespace)
    shown = None if value is None or source.rstrip().endswith(";") else display(value)
    _draw_figures()
    return value, shown


def display(value: Any) -> Any:
    """The value as Jupyter shows it: its bundle, its HTML or picture, else its repr."""
    if hasattr(value, "_repr_mimebundle_"):
        return value._repr_mimebundle_()
    shown = (getattr(value, name)() for name in DISPLAYS if hasattr(value, name))
    return next((one for one in shown if one is not None), None) or repr(value)


def _draw_figures() -> None:
    import matplotlib.pyplot as plt

    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")
