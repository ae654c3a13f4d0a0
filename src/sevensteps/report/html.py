"""Pages that show themselves without a network: templates, their style, and a policy that forbids all else.

Whatever comes from the user's data is escaped by the template engine, after `visible` has taken away what hides.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from ..words import in_time, one_in, percent, plural, span, visible

PACKAGE = __package__.partition(".")[0]


def templates() -> Environment:
    """The templates of this package by their path, "report/page.html". A page extends "report/base.html"."""
    environment = Environment(
        loader=FunctionLoader(_text), autoescape=True, undefined=StrictUndefined, finalize=_shown,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    for function in (percent, span, one_in, in_time, plural):
        environment.filters[function.__name__] = function
    return environment


def render(template: Template, *styles: str, **values: Any) -> str:
    """The page as text, with the styles of these paths: it may use them and pictures of its own, and load nothing."""
    style = "".join(map(_text, ("report/style.css", *styles)))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return template.render(style=Markup(style), policy=policy, **values).lstrip() + "\n"


def _shown(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _text(path: str) -> str:
    return files(PACKAGE).joinpath(path).read_text("utf-8")
