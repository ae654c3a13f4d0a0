from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sevensteps.training.schedules import constant, one_cycle


@given(st.floats(0, 1), st.floats(1e-6, 10))
def test_constant_is_constant(progress: float, lr: float) -> None:
    assert constant(progress, lr) == lr


def test_one_cycle_begins_low_peaks_at_a_quarter_and_ends_near_0() -> None:
    assert one_cycle(0, 0.5) == pytest.approx(0.5 / 25)
    assert one_cycle(0.25, 0.5) == pytest.approx(0.5)
    assert one_cycle(1, 0.5) == pytest.approx(0.5 / 1e5)


@given(st.floats(0, 1.5), st.floats(1e-6, 10))
def test_one_cycle_stays_between_its_ends_also_past_the_end(progress: float, lr: float) -> None:
    assert lr / 1e5 * 0.999 <= one_cycle(progress, lr) <= lr * 1.0001


@given(st.floats(0, 1), st.floats(0, 1))
def test_one_cycle_rises_then_falls(a: float, b: float) -> None:
    a, b = sorted((a, b))
    if b <= 0.25:
        assert one_cycle(a, 1.0) <= one_cycle(b, 1.0) + 1e-12
    if a >= 0.25:
        assert one_cycle(a, 1.0) >= one_cycle(b, 1.0) - 1e-12


def test_it_equals_fastais_at_points_computed_by_hand() -> None:
    # fastai.callback.schedule: combined_cos(0.25, lr/25, lr, lr/1e5)
    assert one_cycle(0.125, 1.0) == pytest.approx((1 / 25 + 1) / 2)
    assert one_cycle(0.625, 1.0) == pytest.approx((1 + 1e-5) / 2)


def test_it_can_do_without_a_warm_up() -> None:
    assert one_cycle(0, 1.0, warm_up=0) == 1.0
