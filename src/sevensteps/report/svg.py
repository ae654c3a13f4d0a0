"""What every chart is made of: elements, round numbers, axes, and a plot that keeps its type size at every width.

Positions are percentages, sizes are pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

STEPS = (1, 2, 5, 10)
PLOT_PX = 190
LEFT, WIDTH = 12.0, 85.0  # of a plot, in per cent of the chart's width


class Axis(NamedTuple):
    """Numbers at `ticks`, shown multiplied by `unit` (100 for per cent, with its sign), from `low` to `high`."""

    ticks: Sequence[float]
    low: float
    high: float
    unit: float = 1
    name: str = ""

    @classmethod
    def around(cls, low: float, high: float, unit: float = 1, name: str = "") -> Axis:
        """From a round number at or below `low` to one at or above `high`."""
        ticks = nice_ticks(low, high)
        return cls(ticks, ticks[0], ticks[-1], unit, name)

    def place(self, value: float) -> float:
        """Where a value lies, 0 to 100."""
        return 100 * (value - self.low) / (self.high - self.low) if self.high > self.low else 50.0

    def label(self, tick: float) -> str:
        """A tick in words."""
        step = self.unit * (self.ticks[1] - self.ticks[0]) if len(self.ticks) > 1 else 1
        places = max(0, -math.floor(math.log10(step) + 1e-9))
        text = f"{self.unit * tick:.{places}f}"
        return (text if len(text) < 8 else f"{self.unit * tick:g}") + (" %" if self.unit == 100 else "")


def plot(x: Axis, y: Axis, lines: Sequence[Markup], marks: Sequence[Markup], spoken: str) -> Markup:
    """A chart with both axes: `lines` are drawn in a square of 100 × 100 that is stretched, `marks` are not."""
    edge = []
    for tick in y.ticks:
        height = 14 + PLOT_PX * (100 - y.place(tick)) / 100
        edge.append(tag("text", y.label(tick), class_="tick end", x=share(LEFT - 2.5), y=f"{height:.1f}"))
    for tick in x.ticks:
        edge.append(tag("text", x.label(tick), class_="tick middle", x=across(x, tick), y=PLOT_PX + 29))
    edge.append(tag("text", x.name, class_="tick end", x=share(LEFT + WIDTH), y=PLOT_PX + 47))
    inside = {"width": "100%", "height": "100%", "overflow": "visible"}
    stretched = tag("svg", *lines, **inside, viewBox="0 0 100 100", preserveAspectRatio="none")
    grid = [level("grid", y, tick) for tick in y.ticks]
    place = {"x": share(LEFT), "width": share(WIDTH), "overflow": "visible"}
    middle = tag("svg", *grid, stretched, *marks, **place, y=10, height=PLOT_PX)
    return tag("svg", middle, *edge, class_="chart", width="100%", height=PLOT_PX + 54, role="img", aria_label=spoken)


def level(kind: str, y: Axis, value: float) -> Markup:
    """A line across the whole plot at one value."""
    return tag("line", class_=kind, x1="0%", x2="100%", y1=share(100 - y.place(value)), y2=share(100 - y.place(value)))


def dot(kind: str, x: Axis, y: Axis, at: tuple[float, float], r: int) -> Markup:
    """A mark at a point of the plot, `r` pixels in radius."""
    return tag("circle", class_=f"dot {kind}", cx=share(x.place(at[0])), cy=share(100 - y.place(at[1])), r=r)


def points(x: Axis, y: Axis, path: Sequence[tuple[float, float]]) -> str:
    """Points of the plane as a line or an area takes them."""
    return " ".join(f"{x.place(a):.2f},{100 - y.place(b):.2f}" for a, b in path)


def across(x: Axis, value: float) -> str:
    """Where a value lies in the width of the whole chart."""
    return share(LEFT + WIDTH * x.place(value) / 100)


def share(number: float) -> str:
    """A part of the width or height, in per cent."""
    return f"{number:.2f}%"


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
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """One element, its attributes and content escaped; `class_` is class, and `aria_label` is aria-label.

    >>> print(tag("text", "a < b", class_="label", x=3))
    <text class="label" x="3">a &lt; b</text>
    """
    words = [Markup(' {}="{}"').format(Markup(key.rstrip("_").replace("_", "-")), value)
             for key, value in attributes.items()]  # fmt: skip
    inside = Markup("").join(escape(part) for part in content)
    return Markup("<{}{}>{}</{}>").format(name, Markup("").join(words), inside, name)
