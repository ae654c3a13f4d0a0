"""Draw the results as one picture: for each target, how many times as long as sevensteps each rival takes.

    python benchmarks/picture.py benchmarks/results_amd-epyc-2_202611.json docs/pictures/benchmarks.svg

A rival that takes part in several variants is drawn in its fastest. The bars are ratios of medians; one above ten times
is cut, and its figure stands beside it.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("svg")
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tables import amount

OURS = "sevensteps"
COLOURS = {
    OURS: "#c8102e", "PyTorch": "#ee9a5b", "torchvision": "#ee9a5b", "fastai": "#4c78a8", "Lightning": "#8a63c9",
    "Keras": "#54a06b", "ONNX Runtime": "#9a9a9a", "OpenVINO": "#c4c4c4",
}  # fmt: skip
LONGEST = 10  # times sevensteps


class Bar(NamedTuple):
    """`times` as long as sevensteps takes, which is `seconds`."""

    who: str
    name: str
    times: float
    seconds: float


def groups(results: dict[str, Any]) -> dict[str, list[Bar]]:
    """The bars by the name of their group, sevensteps first."""
    found = {}
    for target in results["targets"]:
        for figure in target["figures"]:
            if figure["drawn"] and (bars := _bars(target, figure["key"])):
                found[figure["drawn"]] = bars
    return found


def _bars(target: dict[str, Any], key: str) -> list[Bar]:
    best: dict[str, tuple[float, str, str]] = {}  # by what is drawn as one bar: median, who, name
    for entry in target["entries"]:
        if not entry["answers"]:
            continue
        median = statistics.median(answer["figures"][key] for answer in entry["answers"])
        name = f"{entry['who']}, {entry['variant']}"
        if entry["who"] == OURS and name not in target["compare"]:
            continue
        bar = name if entry["who"] == OURS else entry["who"]
        if bar not in best or median < best[bar][0]:
            best[bar] = median, entry["who"], name
    if target["compare"][0] not in best:
        return []
    ours = best[target["compare"][0]][0]
    return [Bar(who, name, median / ours, median) for median, who, name in best.values()]


def draw(results: dict[str, Any]) -> Figure:
    """The picture."""
    drawn = groups(results)
    rows = sum(len(bars) + 1.5 for bars in drawn.values())
    figure = Figure(figsize=(9, 0.7 + 0.225 * rows), layout="tight")
    axis = figure.subplots()
    longest = min(LONGEST, math.ceil(max(bar.times for bars in drawn.values() for bar in bars)))
    y, places, names = 0.0, [], []
    for title, bars in drawn.items():
        axis.text(-0.1, y, title, weight="bold", size=9, va="center", ha="right")
        for bar in bars:
            y += 1
            places.append(y)
            names.append(bar.name.removesuffix(", default").removesuffix(", Predictor"))
            _draw_bar(axis, y, bar)
        y += 1.5
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set(xlim=(0, longest * 1.25), ylim=(y - 0.8, -0.8), xticks=range(longest + 1))
    axis.set_yticks(places, names)
    axis.xaxis.set_major_formatter("{x:g}×")
    axis.set_xlabel("time, in multiples of that of sevensteps: shorter is better", size=9)
    axis.tick_params(labelsize=8)
    axis.tick_params(axis="y", length=0)
    axis.spines[["top", "right"]].set_visible(False)
    machine = results["passport"]
    axis.set_title(f"{machine['processor']}, {machine['cores']} cores", size=9, loc="right")
    return figure


def _draw_bar(axis: Axes, y: float, bar: Bar) -> None:
    """One bar and its figures; one that would be too long is cut, which shows as a gap near its end."""
    end, colour = min(bar.times, LONGEST), COLOURS.get(bar.who, "#777777")
    axis.barh(y, end, height=0.78, color=colour)
    if bar.times > LONGEST:
        axis.barh(y, 0.06, left=LONGEST - 0.3, height=0.9, color="white")
    times = f"{bar.times:.2f}" if bar.times < LONGEST else f"{bar.times:.0f}"
    axis.text(max(end, 1), y, f" {times}×  {amount(bar.seconds, 's')}", size=8, va="center")


def main() -> None:
    if len(sys.argv) not in (2, 3):
        raise SystemExit("usage: python benchmarks/picture.py RESULTS.json [PICTURE.svg]")
    source = Path(sys.argv[1])
    target = Path(sys.argv[2]) if len(sys.argv) == 3 else source.with_suffix(".svg")
    matplotlib.rcParams["svg.hashsalt"] = "sevensteps"  # the same results give the same file
    metadata = {"Date": None} if target.suffix == ".svg" else None
    draw(json.loads(source.read_text())).savefig(target, dpi=150, metadata=metadata)
    print(target)


if __name__ == "__main__":
    main()
