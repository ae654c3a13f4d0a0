"""`write_report`: one self-contained HTML page about a run, with no script and nothing from elsewhere."""

from __future__ import annotations

import functools
from pathlib import Path

from jinja2 import Template

from ..files import write_text
from ..training.result import TrainingResult
from . import charts, contents
from .contents import Contents
from .html import render, templates

NAME = "report.html"


def write_report(result: TrainingResult) -> Path:
    """Write `report.html` into the run's folder, and say where it is. Raises `StorageError`."""
    path = result.run.path / NAME
    write_text(path, page(result))
    result.run.seal()
    return path


def page(result: TrainingResult) -> str:
    """The page as text: HTML that shows itself without a network, under a policy that forbids it one."""
    return render(_template(), it=Contents(result), result=result)


@functools.cache
def _template() -> Template:
    environment = templates()
    environment.globals.update(
        charts=charts, Estimate=charts.Estimate, Curve=charts.Curve, split_words=contents.SPLIT_WORDS,
        most_matrix=contents.MOST_MATRIX_CLASSES, most_rows=contents.MOST_ROWS,
    )  # fmt: skip
    environment.filters["first"] = contents.first
    return environment.get_template("report/page.html")
