from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from sevensteps.insight.calibration import Answered, Bin
from sevensteps.interval import Accuracy
from sevensteps.report.charts import Curve, Estimate, coverage, curves, intervals, reliability
from sevensteps.report.svg import nice_ticks


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (0.98, 1.0), (0.5, 0.5), (0.0, 0.0), (0.34, 0.7), (0.0, 4711.0), (0.9996, 0.9999)]
)
def test_ticks_enclose_the_values_and_are_few(low: float, high: float) -> None:
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 2 <= len(ticks) <= 6
    assert len(set(ticks)) == len(ticks)


def test_the_chart_of_intervals_stays_inside_its_frame_and_speaks() -> None:
    rows = [Estimate("ours & <theirs>", Accuracy(10, 10), "network"), Estimate("b", Accuracy(0, 9), "baseline")]
    root = ET.fromstring(intervals(rows))
    places = [float(element.get(key, "0%").rstrip("%")) for element in root for key in ("x", "x1", "x2", "cx")]
    assert all(0 <= place <= 100 for place in places)
    assert root.get("aria-label", "").startswith("ours & <theirs>: 100.00 % (95 % interval")
    assert root.find("text[@class='label halo']").text == "ours & <theirs>"  # type: ignore[union-attr]


def test_a_dot_stands_where_its_value_is_on_the_axis() -> None:
    root = ET.fromstring(intervals([Estimate("a", Accuracy(1, 2), "network")]))
    ticks = {
        element.text: element.get("x", "") for element in root.findall("text") if "tick" in element.get("class", "")
    }
    ends = [float(ticks[name].rstrip("%")) for name in ("0 %", "100 %")]
    dot = float(root.find("circle").get("cx").rstrip("%"))  # type: ignore[union-attr]
    assert dot == pytest.approx(sum(ends) / 2)


def test_a_curve_leaves_gaps_out_and_marks_the_best_epoch() -> None:
    chart = ET.fromstring(curves([Curve([0.5, None, 0.9], "valid")], "accuracy", unit=100, baseline=0.4, best=3))
    (line,) = chart.iter("polyline")
    assert len(line.get("points", "").split()) == 2
    kinds = [element.get("class") for element in chart.iter()]
    assert kinds.count("dot best") == 1
    assert kinds.count("level baseline") == 1


def test_a_best_epoch_without_a_finite_value_has_no_mark() -> None:
    chart = ET.fromstring(curves([Curve([float("nan"), 1.0], "valid")], "loss", best=1))
    assert "dot best" not in [element.get("class") for element in chart.iter()]


def test_a_reliability_diagram_has_a_dot_an_interval_and_a_count_for_each_bin_with_answers() -> None:
    bins = [Bin(0.0, 0.5, None, Accuracy(0, 0)), Bin(0.5, 1.0, 0.8, Accuracy(1500, 3000))]
    chart = ET.fromstring(f"<div>{reliability(bins, 'sure & right')}</div>")
    (dot,) = [it for it in chart.iter("circle")]
    assert (dot.get("cx"), dot.get("cy")) == ("80.00%", "50.00%")
    (whisker,) = [it for it in chart.iter("line") if it.get("class") == "range network"]
    ends = [1 - float(whisker.get(end, "").rstrip("%")) / 100 for end in ("y1", "y2")]
    assert ends == pytest.approx(Accuracy(1500, 3000).interval, abs=1e-4)
    assert [it.text for it in chart.iter("text") if it.get("class") == "count"] == ["3.0k"]
    assert len(list(chart.iter("rect"))) == 1


def test_a_coverage_chart_draws_the_accuracy_its_interval_and_the_chosen_threshold() -> None:
    curve = [
        Answered(0.0, 1.0, Accuracy(60, 100)),
        Answered(0.9, 0.5, Accuracy(45, 50)),
        Answered(1, 0.01, Accuracy(0, 1)),
    ]
    chart = ET.fromstring(coverage(curve, curve[1], "coverage"))
    (line,) = chart.iter("polyline")
    assert [point.partition(",")[0] for point in line.get("points", "").split()] == ["100.00", "50.00"]  # 1 is too few
    (ring,) = [it for it in chart.iter("circle")]
    assert ring.get("cx") == "50.00%"
    (band,) = chart.iter("polygon")
    assert all(0 <= float(number) <= 100 for point in band.get("points", "").split() for number in point.split(","))


def test_labels_at_the_ends_of_lines_do_not_cover_each_other() -> None:
    chart = ET.fromstring(curves([Curve([1.0, 0.5], "run run0", "A"), Curve([0.9, 0.5], "run run1", "B")], "losses"))
    ends = {it.text: float(it.get("y", "")) for it in chart.iter("text") if "ending" in it.get("class", "")}
    assert ends["B"] - ends["A"] >= 13


@pytest.mark.parametrize("values", [[1e38, 3e38], [1e-40], [0.0, 0.0], [5e99]])
def test_a_curve_of_any_finite_size_can_be_drawn(values: list[float]) -> None:
    chart = ET.fromstring(curves([Curve(values, "valid")], "loss"))
    assert all(len(it.text or "") < 10 for it in chart.iter("text"))
