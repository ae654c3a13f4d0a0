"""McNemar's test, against scipy's."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import binomtest

from sevensteps.models.mcnemar import McNemar


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (3, 3), (9, 1), (2, 40), (37, 13), (400, 350)])
def test_mcnemar_is_the_exact_binomial_test_of_scipy(first: int, second: int) -> None:
    expected = binomtest(first, first + second).pvalue if first + second else 1.0
    assert McNemar(first, second).p_value == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_very_many_pictures_is_a_number() -> None:
    assert McNemar(6000, 1000).p_value == 0.0
    assert 0.9 < McNemar(5000, 5000).p_value <= 1.0


def test_mcnemar_counts_the_pictures_that_only_one_got_right() -> None:
    first, second = torch.tensor([True, True, False, False, True]), torch.tensor([True, False, True, False, False])
    assert McNemar.of(first, second) == McNemar(only_first=2, only_second=1)


def test_a_difference_is_clear_where_luck_would_make_it_less_than_one_time_in_twenty() -> None:
    assert McNemar(6, 0).is_clear
    assert McNemar(0, 6).is_clear
    assert not McNemar(5, 0).is_clear  # p is 0.0625
