"""`write_tour`: the tour as self-contained HTML pages, one for each exhibit and a list of them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import Environment
from markupsafe import Markup
from pygments import formatters, highlight, lexers

from ..data.dataloaders import DataLoaders
from ..files import make_folder, write_text
from ..insight.drawing import png
from ..report.html import render, templates
from ..report.svg import tag
from ..words import SPLIT_WORDS, plural
from .show import as_text, choose, counted, visit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..data.store import Progress

STYLE = "tour/pages.css"
PX_PER_INCH = 80  # of a figure in its own size: its letters of 10 points are then 11 pixels high
MOST_ROWS = 12  # of a table inside the findings


class Drawing(NamedTuple):
    """A figure for a page: its title, its panels as a PNG in a data URI with their titles in words, its size there."""

    title: str
    src: str
    alt: str
    width: int
    height: int

    @classmethod
    def of(cls, figure: Figure) -> Drawing:
        """What the page needs of a figure, from which the title is taken away: the page shows it in its own letters."""
        title, *titles = (" ".join(it.split()) for it in (figure.get_suptitle(), *(x.get_title() for x in figure.axes)))
        figure.suptitle("")
        alt = "; ".join(filter(None, titles)) or title
        src = f"data:image/png;base64,{base64.b64encode(png(figure)).decode()}"
        width, height = (round(PX_PER_INCH * inches) for inches in figure.get_size_inches())
        return cls(title, src, alt, width, height)


def write_tour(
    numbers: Iterable[int], dls: DataLoaders, folder: str | Path, where: str, progress: Progress | None = None
) -> tuple[list[dict[str, Any]], Path]:
    """Run exhibits on the pictures of `dls`, which come from `where`, and write a page of each into `folder`.

    Gives what `run_tour` gives, with the path of each one's `page`, and the path of `index.html`, which lists them.
    The folder is made where it is not there, and pages of an earlier tour are replaced; the figures are in the pages.
    No `numbers` is all. Raises `RequestError` for an unknown number, `StorageError` for a page that cannot be written.
    """
    chosen = choose(numbers)
    folder = make_folder(folder)
    index, results = folder / "index.html", []
    pages, pictures = _templates(), _pictures(dls, where)
    for before, exhibit, after in zip([None, *chosen], counted(chosen, progress), [*chosen[1:], None], strict=False):
        result, figure = visit(exhibit, dls)
        page = folder / f"{exhibit.name}.html"
        text = render(
            pages.get_template("tour/exhibit.html"), STYLE, pictures=pictures, exhibit=exhibit, result=result,
            drawing=Drawing.of(figure) if figure else None, before=before, after=after,
        )  # fmt: skip
        write_text(page, text)
        results.append(result | {"page": str(page)})
    seconds = sum(result["seconds"] for result in results)
    listed = pages.get_template("tour/index.html")
    write_text(index, render(listed, STYLE, pictures=pictures, exhibits=chosen, seconds=seconds))
    return results, index


def paragraphs(text: str) -> Markup:
    """Light Markdown: paragraphs, and `code` between backticks; all else is escaped.

    >>> print(paragraphs("It is `a < b`,\\n  not\\n\\na > b."))
    <p>It is <code>a &lt; b</code>, not</p><p>a &gt; b.</p>
    """
    return Markup("").join(tag("p", spans(paragraph)) for paragraph in text.split("\n\n"))


def spans(text: str) -> Markup:
    """One paragraph's text, as `paragraphs` has it."""
    pieces = " ".join(text.split()).split("`")
    return Markup("").join(tag("code", piece) if i % 2 else piece for i, piece in enumerate(pieces))


def python(code: str) -> Markup:
    """Python code with its words as spans of Pygments' classes."""
    return Markup(highlight(code, lexers.PythonLexer(), formatters.HtmlFormatter(nowrap=True)))


def is_table(value: Any) -> bool:
    """Whether a finding is a short list of rows: of lists, or of tables with the same names."""
    if not isinstance(value, list) or not 0 < len(value) <= MOST_ROWS:
        return False
    if all(isinstance(row, Mapping) for row in value):
        return len({tuple(row) for row in value}) == 1
    return all(isinstance(row, list) and len(row) <= MOST_ROWS for row in value)


def _templates() -> Environment:
    environment = templates()
    environment.tests["table"] = is_table
    for function in (paragraphs, spans, python, as_text):
        environment.filters[function.__name__] = function
    return environment


def _pictures(dls: DataLoaders, where: str) -> str:
    counts = " and ".join(f"{loader.n:,} {SPLIT_WORDS[split]}" for split, loader in dls.splits.items())
    channels, height, width = dls.input_shape
    kind = f"{width} × {height} pixels, {'grey' if channels == 1 else 'in colour'}"
    return f"{where}: {counts} pictures of {plural(len(dls.vocab or []), 'class')}, {kind}"
