"""`write_report`: one self-contained HTML page about a run, with no script and nothing from elsewhere.

Whatever comes from the user's data is escaped by the template engine, after `visible` has taken away what hides.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from .. import words
from ..files import write_text
from ..training.result import TrainingResult
from ..words import visible
from . import charts, contents
from .contents import Contents

NAME = "report.html"


def write_report(result: TrainingResult) -> Path:
    """Write `report.html` into the run's folder, and say where it is. Raises `StorageError`."""
    path = result.run.path / NAME
    write_text(path, page(result))
    result.run.seal()
    return path


def page(result: TrainingResult) -> str:
    """The page as text: HTML that shows itself without a network, under a policy that forbids it one."""
    style = _resource("style.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    text = _template().render(style=Markup(style), policy=policy, it=Contents(result), result=result)
    return text.lstrip() + "\n"


@functools.cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_shown, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(
        charts=charts, Estimate=charts.Estimate, Curve=charts.Curve, split_words=contents.SPLIT_WORDS,
        most_matrix=contents.MOST_MATRIX_CLASSES, most_rows=contents.MOST_ROWS,
    )  # fmt: skip
    for function in (words.percent, words.span, words.one_in, words.in_time, words.plural, contents.first):
        environment.filters[function.__name__] = function
    return environment.from_string(_resource("page.html"))


def _shown(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")
