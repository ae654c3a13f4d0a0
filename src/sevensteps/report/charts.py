"""Charts as inline SVG that keeps its type size at every width: positions are percentages, sizes are pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

from ..interval import Accuracy

STEPS = (1, 2, 5, 10)
ROW_PX = 54
PLOT_PX = 190
MOST_DOTS = 12  # points of a curve; more are drawn as a line alone
PLOT_LEFT, PLOT_WIDTH = 12.0, 85.0  # per cent of the chart's width


class Estimate(NamedTuple):
    """One row of the chart of intervals; `kind` is "network" or "baseline"."""

    label: str
    score: Accuracy
    kind: str


class Curve(NamedTuple):
    """One line over the epochs; `kind` is "train" or "valid"."""

    values: Sequence[float | None]
    kind: str


def intervals(rows: Sequence[Estimate]) -> Markup:
    """Each accuracy as a dot on its 95 % interval, all on one axis."""
    ticks = nice_ticks(min(row.score.interval[0] for row in rows), max(row.score.interval[1] for row in rows))

    def x(value: float) -> str:
        return _percent(1.5 + 97 * (value - ticks[0]) / (ticks[-1] - ticks[0]))

    bottom = ROW_PX * len(rows) + 6
    parts = []
    for tick in ticks:
        parts.append(tag("line", class_="grid", x1=x(tick), x2=x(tick), y1=0, y2=bottom))
        place = {ticks[0]: "start", ticks[-1]: "end"}.get(tick, "middle")
        parts.append(tag("text", _tick(tick, ticks, 100) + " %", class_=f"tick {place}", x=x(tick), y=bottom + 18))
    for number, (label, score, kind) in enumerate(rows):
        low, high = score.interval
        y = ROW_PX * number + 36
        parts += [
            tag("text", label, class_="label halo", x="1.5%", y=y - 17),
            tag("line", class_=f"range {kind}", x1=x(low), x2=x(high), y1=y, y2=y),
            tag("circle", class_=f"dot {kind}", cx=x(score.value), cy=y, r=6),
        ]
    spoken = "; ".join(f"{label}: {score}" for label, score, _ in rows)
    return tag("svg", *parts, class_="chart", width="100%", height=bottom + 26, role="img", aria_label=spoken)


def whisker(score: Accuracy) -> Markup:
    """One accuracy and its interval on an axis from 0 to 100 %, as small as a line of text."""
    low, high = (_percent(4 + 92 * end) for end in score.interval)
    parts = [tag("line", class_="rail", x1="4%", x2="96%", y1=8, y2=8)]
    if score.n:
        parts.append(tag("line", class_="range network", x1=low, x2=high, y1=8, y2=8))
        parts.append(tag("circle", class_="dot network", cx=_percent(4 + 92 * score.value), cy=8, r=4))
    return tag("svg", *parts, class_="whisker", width="100%", height=16, aria_hidden="true")


def curves(
    lines: Sequence[Curve], spoken: str, *, unit: float = 1, level: float | None = None, best: int = 0
) -> Markup:
    """Lines over the epochs 1, 2, …; `level` is drawn dashed, and a mark set at epoch `best`.

    Values are shown multiplied by `unit` (100 for per cent, with its sign); gaps (None, or not finite) are left out.
    """
    given = [value for line in lines for value in line.values if value is not None and math.isfinite(value)]
    given += [] if level is None else [level]
    low = min(given, default=0.0) if unit == 100 else 0.0
    plane = _Plane(max(len(line.values) for line in lines), nice_ticks(low, max(given, default=1.0)))
    grid, edge = _axes(plane, unit)
    if level is not None:
        grid.append(_across("level baseline", plane.y(level)))
    paths, dots = [], []
    for values, kind in lines:
        known = {epoch: v for epoch, v in enumerate(values, start=1) if v is not None and math.isfinite(v)}
        points = {epoch: (plane.x(epoch), plane.y(value)) for epoch, value in known.items()}
        path = " ".join(f"{x:.2f},{y:.2f}" for x, y in points.values())
        paths.append(tag("polyline", class_=f"curve {kind}", points=path))
        if len(points) <= MOST_DOTS:
            dots += [_dot(kind, point, 3) for point in points.values()]
        if kind == "valid" and best in points:
            dots.append(_dot("best", points[best], 6))
    inside = {"width": "100%", "height": "100%", "overflow": "visible"}
    stretched = tag("svg", *paths, **inside, viewBox="0 0 100 100", preserveAspectRatio="none")
    place = {"x": _percent(PLOT_LEFT), "width": _percent(PLOT_WIDTH), "overflow": "visible"}
    plot = tag("svg", *grid, stretched, *dots, **place, y=10, height=PLOT_PX)
    return tag("svg", plot, *edge, class_="chart", width="100%", height=PLOT_PX + 54, role="img", aria_label=spoken)


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, `most` of them or fewer, evenly spaced.

    >>> nice_ticks(0.93, 0.998)
    [0.92, 0.94, 0.96, 0.98, 1.0]
    """
    span = high - low if high > low else abs(high) or 1.0
    base = 10.0 ** math.floor(math.log10(span / most))
    for step in (base * factor for factor in (*STEPS, 20, 50)):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        last = max(last, first + 1)
        if last - first < most:
            break
    return [round(number * step, 12) for number in range(first, last + 1)]


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """One element, its attributes and content escaped; `class_` is class, and `aria_label` is aria-label.

    >>> print(tag("text", "a < b", class_="label", x=3))
    <text class="label" x="3">a &lt; b</text>
    """
    words = [Markup(' {}="{}"').format(Markup(key.rstrip("_").replace("_", "-")), value)
             for key, value in attributes.items()]  # fmt: skip
    inside = Markup("").join(escape(part) for part in content)
    return Markup("<{}{}>{}</{}>").format(name, Markup("").join(words), inside, name)


class _Plane(NamedTuple):
    """Where an epoch and a value lie in the plot, in per cent of its width and height."""

    epochs: int
    ticks: list[float]

    def x(self, epoch: int) -> float:
        return 50.0 if self.epochs == 1 else 100 * (epoch - 1) / (self.epochs - 1)

    def y(self, value: float) -> float:
        return 100 * (self.ticks[-1] - value) / (self.ticks[-1] - self.ticks[0])


def _axes(plane: _Plane, unit: float) -> tuple[list[Markup], list[Markup]]:
    """The lines behind the plot, and the numbers around it."""
    grid, edge = [], []
    for tick in plane.ticks:
        grid.append(_across("grid", plane.y(tick)))
        name = _tick(tick, plane.ticks, unit) + (" %" if unit == 100 else "")
        height = 14 + PLOT_PX * plane.y(tick) / 100
        edge.append(tag("text", name, class_="tick end", x=_percent(PLOT_LEFT - 2.5), y=f"{height:.1f}"))
    for epoch in _epoch_ticks(plane.epochs):
        place = _percent(PLOT_LEFT + PLOT_WIDTH * plane.x(epoch) / 100)
        edge.append(tag("text", epoch, class_="tick middle", x=place, y=PLOT_PX + 29))
    edge.append(tag("text", "epoch", class_="tick end", x=_percent(PLOT_LEFT + PLOT_WIDTH), y=PLOT_PX + 47))
    return grid, edge


def _across(kind: str, y: float) -> Markup:
    return tag("line", class_=kind, x1="0%", x2="100%", y1=_percent(y), y2=_percent(y))


def _dot(kind: str, place: tuple[float, float], r: int) -> Markup:
    return tag("circle", class_=f"dot {kind}", cx=_percent(place[0]), cy=_percent(place[1]), r=r)


def _percent(number: float) -> str:
    return f"{number:.2f}%"


def _tick(value: float, ticks: Sequence[float], unit: float) -> str:
    step = unit * (ticks[1] - ticks[0])
    return f"{unit * value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def _epoch_ticks(epochs: int) -> list[int]:
    if epochs == 1:
        return [1]
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**9) if (epochs - 1) / s <= 6 or s == 10**9)
    return sorted({1, *range(step, epochs + 1, step)} | ({epochs} if epochs % step > step / 2 else set()))
