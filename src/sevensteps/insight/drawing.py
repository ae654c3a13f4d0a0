"""Figures for people: panels of curves and pictures, known to no other code that draws."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 120


def panels(
    columns: int, title: str, *, rows: int = 1, size: tuple[float, float] = (4.2, 3.6)
) -> tuple[Figure, list[Axes]]:
    """A figure, known to no other code, with `rows` × `columns` panels of `size` (width, height) inches each."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * size[0], rows * size[1] + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=13, fontweight="bold")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.2)
    return figure, axes


def draw(axis: Axes, title: str, x: str, y: str, *curves: tuple[Any, Any, str, str]) -> None:
    """Curves in a panel, each its x, y, style and name; `x` and `y` say what the axes are, with their units."""
    for across, up, style, name in curves:
        axis.plot(across, up, style, label=name or None, markersize=5)
    if any(name for *_, name in curves):
        axis.legend(fontsize=8)
    axis.set_title(title, fontsize=10)
    axis.set(xlabel=x, ylabel=y)


def show_picture(axis: Axes, picture: Tensor, title: str = "", *, high: float = 255, signed: bool = False) -> None:
    """A picture (C×H×W or H×W, 0 to `high`) in a panel; `signed` is -`high` in blue to +`high` in red.

    Of the three channels of a signed one their mean is shown, and the panel says so.
    """
    image = picture.detach().float().cpu()
    image = image.permute(1, 2, 0) if image.ndim == 3 else image[:, :, None]
    low, colours = (-high, "RdBu_r") if signed else (0, "gray")
    shown = image.mean(2) if signed or image.shape[2] == 1 else (image / high).clamp(0, 1)
    axis.imshow(shown.numpy(), cmap=colours, vmin=low, vmax=high)
    axis.set_title(title, fontsize=10)
    axis.set(xticks=[], yticks=[])
    if signed and image.shape[2] == 3:
        axis.set_xlabel("mean of the three channels", fontsize=8)
    axis.spines[:].set_visible(False)


def table(axis: Axes, title: str, rows: Sequence[Sequence[str]], widths: Sequence[float]) -> None:
    """Lines of text in columns instead of a plot, the first line in bold; `widths` are parts of the panel."""
    from matplotlib.transforms import Bbox

    axis.axis("off")
    axis.set_title(title, fontsize=10)
    whole = Bbox.from_extents(0, 0, sum(widths), 1)
    cells = axis.table(rows, colWidths=widths, cellLoc="left", edges="horizontal", bbox=whole)
    cells.auto_set_font_size(False)
    for (row, _), cell in cells.get_celld().items():
        cell.PAD = 0.02
        cell.set_edgecolor("0.85")
        cell.set_text_props(fontsize=9, fontweight="normal" if row else "bold")


def percentages(values: Iterable[float]) -> list[float]:
    """Fractions as percentages, for an axis."""
    return [100 * float(value) for value in values]


def plain(name: str, most: int = 16) -> str:
    """A class name that may stand in a figure: printable, short, and without the $ that begins mathematics.

    >>> plain("a$b"), plain("a very long name of a class"), plain("\\x1b[31m")
    ('a?b', 'a very long nam…', '?[31m')
    """
    printable = "".join(c if c.isprintable() and c != "$" else "?" for c in name)
    return printable if len(printable) <= most else printable[: most - 1] + "…"


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of a script that the font has not
        figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    return buffer.getvalue()
