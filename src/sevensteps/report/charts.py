"""Charts as inline SVG: accuracies with their intervals, lines over the epochs, sureness against rightness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from ..insight.calibration import Answered, Bin
from ..interval import Accuracy
from .svg import LEFT, PLOT_PX, WIDTH, Axis, across, dot, level, plot, points, share, tag

ROW_PX, BARS_PX, LABEL_PX = 54, 36, 13.0
MOST_DOTS = 12  # points of a curve; more are drawn as a line alone
FEWEST = 10  # pictures whose accuracy is drawn


class Estimate(NamedTuple):
    """One row of the chart of intervals; `kind` is "network" or "baseline"."""

    label: str
    score: Accuracy
    kind: str


class Curve(NamedTuple):
    """One line over the epochs; `kind` is "train", "valid", or one of a run. The label stands at its end."""

    values: Sequence[float | None]
    kind: str
    label: str = ""


def intervals(rows: Sequence[Estimate]) -> Markup:
    """Each accuracy as a dot on its 95 % interval, all on one axis."""
    low, high = min(row.score.interval[0] for row in rows), max(row.score.interval[1] for row in rows)
    axis = Axis.around(low, high, unit=100)

    def x(value: float) -> str:
        return share(1.5 + 0.97 * axis.place(value))

    bottom = ROW_PX * len(rows) + 6
    parts = []
    for tick in axis.ticks:
        parts.append(tag("line", class_="grid", x1=x(tick), x2=x(tick), y1=0, y2=bottom))
        place = {axis.low: "start", axis.high: "end"}.get(tick, "middle")
        parts.append(tag("text", axis.label(tick), class_=f"tick {place}", x=x(tick), y=bottom + 18))
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
    low, high = (share(4 + 92 * end) for end in score.interval)
    parts = [tag("line", class_="rail", x1="4%", x2="96%", y1=8, y2=8)]
    if score.n:
        parts.append(tag("line", class_="range network", x1=low, x2=high, y1=8, y2=8))
        parts.append(tag("circle", class_="dot network", cx=share(4 + 92 * score.value), cy=8, r=4))
    return tag("svg", *parts, class_="whisker", width="100%", height=16, aria_hidden="true")


def curves(
    lines: Sequence[Curve], spoken: str, *, unit: float = 1, baseline: float | None = None, best: int = 0
) -> Markup:
    """Lines over the epochs 1, 2, …; `baseline` is drawn dashed, and a mark set at epoch `best`.

    Values are shown multiplied by `unit` (100 for per cent, with its sign); gaps (None, or not finite) are left out.
    """
    known = [
        [(epoch, v) for epoch, v in enumerate(line.values, start=1) if v is not None and math.isfinite(v)]
        for line in lines
    ]
    given = [value for path in known for _, value in path] + ([] if baseline is None else [baseline])
    y = Axis.around(min(given, default=0.0) if unit == 100 else 0.0, max(given, default=1.0), unit)
    x = _epochs(max(len(line.values) for line in lines))
    marks = [] if baseline is None else [level("level baseline", y, baseline)]
    paths = [
        tag("polyline", class_=f"curve {line.kind}", points=points(x, y, path))
        for line, path in zip(lines, known, strict=True)
    ]
    for line, path in zip(lines, known, strict=True):
        marks += [dot(line.kind, x, y, at, 3) for at in path if len(path) <= MOST_DOTS]
        marks += [dot("best", x, y, at, 6) for at in path if line.kind == "valid" and at[0] == best]
    ends = [(line, *path[-1]) for line, path in zip(lines, known, strict=True) if line.label and path]
    return plot(x, y, paths, [*marks, *_labels(x, y, ends)], spoken)


def swatch(kind: str) -> Markup:
    """A piece of a curve, for a key."""
    line = tag("polyline", class_=f"curve {kind}", points="0,5 28,5")
    return tag("svg", line, class_="swatch", width=28, height=10, aria_hidden="true")


def reliability(bins: Sequence[Bin], spoken: str) -> Markup:
    """How often right against how sure, with 95 % intervals, on the diagonal where both agree; below it the counts."""
    x = Axis([0, 0.2, 0.4, 0.6, 0.8, 1], 0, 1, 100, "how sure")
    filled = [(each, each.confidence) for each in bins if each.confidence is not None]
    marks = []
    for each, confidence in filled:
        low, high = (share(100 - x.place(end)) for end in each.accuracy.interval)
        place = share(x.place(confidence))
        marks.append(tag("line", class_="range network", x1=place, x2=place, y1=low, y2=high))
        marks.append(dot("network", x, x, (confidence, each.accuracy.value), 4))
    diagonal = tag("polyline", class_="curve diagonal", points=points(x, x, [(0, 0), (1, 1)]))
    bars = []
    most = max(each.accuracy.n for each in bins)
    for each, _ in filled:
        height = max(1.0, BARS_PX * each.accuracy.n / most)
        top, width = 14 + BARS_PX - height, 0.9 * WIDTH * (each.high - each.low)
        middle = (each.low + each.high) / 2
        left = share(LEFT + WIDTH * middle - width / 2)
        bars.append(tag("rect", class_="bar", x=left, y=f"{top:.1f}", width=share(width), height=f"{height:.1f}"))
        bars.append(tag("text", _short(each.accuracy.n), class_="count", x=across(x, middle), y=f"{top - 3:.1f}"))
    counts = tag("svg", *bars, class_="chart", width="100%", height=BARS_PX + 16, aria_hidden="true")
    return plot(x, x, [diagonal], marks, spoken) + counts


def coverage(curve: Sequence[Answered], chosen: Answered | None, spoken: str) -> Markup:
    """The accuracy of what is answered, with its 95 % interval, against the part that is; `chosen` gets a ring."""
    drawn = [each for each in curve if each.accuracy.n >= FEWEST] or curve
    x = Axis([0, 0.2, 0.4, 0.6, 0.8, 1], 0, 1, 100, "answered")
    y = Axis.around(min(min(each.accuracy.value, curve[0].accuracy.interval[0]) for each in drawn), 1, 100)
    ends = [(each.coverage, *(max(end, y.low) for end in each.accuracy.interval)) for each in drawn]
    band = [(at, low) for at, low, _ in ends] + [(at, high) for at, _, high in reversed(ends)]
    line = [(each.coverage, each.accuracy.value) for each in drawn]
    lines = [
        tag("polygon", class_="band", points=points(x, y, band)),
        tag("polyline", class_="curve valid", points=points(x, y, line)),
    ]
    marks = [] if chosen is None else [dot("best", x, y, (chosen.coverage, chosen.accuracy.value), 6)]
    return plot(x, y, lines, marks, spoken)


def _labels(x: Axis, y: Axis, ends: Sequence[tuple[Curve, float, float]]) -> list[Markup]:
    """The labels of lines at their ends, moved down where they would cover another."""
    labels, free = [], dict.fromkeys((epoch for _, epoch, _ in ends), 0.0)
    for line, epoch, value in sorted(ends, key=lambda end: -end[2]):
        at = max(free[epoch], PLOT_PX * (100 - y.place(value)) / 100)
        free[epoch] = at + LABEL_PX
        place = {"x": share(x.place(epoch)), "y": f"{at + 4:.1f}", "dx": 8}
        labels.append(tag("text", line.label, class_=f"ending {line.kind}", **place))
    return labels


def _epochs(count: int) -> Axis:
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**9) if (count - 1) / s <= 6 or s == 10**9)
    ticks = sorted({1, *range(step, count + 1, step)} | ({count} if count % step > step / 2 else set()))
    return Axis(ticks, 1, count, name="epoch")


def _short(number: int) -> str:
    return str(number) if number < 1000 else f"{number / 1000:.1f}k" if number < 10_000 else f"{number // 1000}k"
