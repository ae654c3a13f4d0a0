from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from sevensteps.interval import Z95, Accuracy


@st.composite
def counted(draw):
    n = draw(st.integers(min_value=1, max_value=10_000_000))
    return draw(st.integers(min_value=0, max_value=n)), n


@given(counted())
@example((0, 1))
@example((1, 1))
@example((0, 10_000_000))
@example((10_000_000, 10_000_000))
def test_the_interval_is_wilsons_as_scipy_has_it(pair):
    correct, n = pair
    expected = binomtest(correct, n).proportion_ci(confidence_level=0.95, method="wilson")
    assert Accuracy(correct, n).interval == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(counted())
@example((10, 10))
@example((0, 10))
def test_the_value_lies_in_its_interval_and_the_interval_in_0_to_1(pair):
    accuracy = Accuracy(*pair)
    low, high = accuracy.interval
    assert 0 <= low <= accuracy.value <= high <= 1


def test_none_right_begins_at_0_and_all_right_ends_at_1():
    assert Accuracy(0, 7).interval[0] == 0.0
    assert Accuracy(7, 7).interval[1] == 1.0


def test_more_answers_make_the_interval_narrower():
    widths = [high - low for low, high in (Accuracy(9 * n, 10 * n).interval for n in (1, 10, 100, 1000))]
    assert widths == sorted(widths, reverse=True)


def test_without_answers_nothing_is_known():
    nothing = Accuracy(0, 0)
    assert math.isnan(nothing.value)
    assert math.isnan(float(nothing))
    assert nothing.interval == (0.0, 1.0)
    assert nothing.to_dict() == {"accuracy": None, "interval": [0.0, 1.0], "n": 0}


@pytest.mark.parametrize(("correct", "n"), [(3, 2), (-1, 2), (0, -1)])
def test_impossible_counts_are_refused(correct, n):
    with pytest.raises(ValueError, match=f"correct = {correct} must lie between 0 and n = {n}"):
        Accuracy(correct, n)


def test_it_reads_as_a_sentence_and_counts_as_a_number():
    accuracy = Accuracy(1939, 2038)
    assert str(accuracy) == "95.14 % (95 % interval 94.12 to 95.99 %, n = 2,038)"
    assert float(accuracy) == accuracy.value == 1939 / 2038


def test_z_is_the_quantile():
    assert norm.ppf(0.975) == pytest.approx(Z95, abs=1e-15)
