"""`write_report`: one self-contained HTML page about a run, with no script and nothing from elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Template

from ..files import write_text
from ..insight.doctor import Diagnosis
from ..training.result import TrainingResult
from ..words import SPLIT_WORDS
from . import charts
from .contents import MOST_MATRIX_CLASSES, MOST_ROWS, Contents
from .html import render, templates

NAME = "report.html"


def write_report(result: TrainingResult, doctor: Sequence[Diagnosis] | None = None) -> Path:
    """Write `report.html` into the run's folder, and say where it is; `result.json` gets its calibration.

    `doctor` is what `examine` found, where that was asked already. Raises `StorageError`.
    """
    contents, path = Contents(result, doctor), result.run.path / NAME
    if contents.confidence:
        result.calibration = contents.confidence.to_dict()
        result.run.write_json("result.json", result.to_dict())
    write_text(path, _page(contents))
    result.run.seal()
    return path


def page(result: TrainingResult) -> str:
    """The page as text: HTML that shows itself without a network, under a policy that forbids it one."""
    return _page(Contents(result))


def _page(contents: Contents) -> str:
    return render(_template(), it=contents, result=contents.result)


@functools.cache
def _template() -> Template:
    environment = templates()
    environment.globals.update(
        charts=charts, Estimate=charts.Estimate, Curve=charts.Curve, split_words=SPLIT_WORDS,
        most_matrix=MOST_MATRIX_CLASSES, most_rows=MOST_ROWS,
    )  # fmt: skip
    return environment.get_template("report/page.html")
