"""What the terminal shows of strange names and odd numbers."""

from __future__ import annotations

import pytest

from sevensteps.cli.terminal import Terminal
from sevensteps.data.listing import Refused
from sevensteps.interval import Accuracy
from sevensteps.words import distance, in_short


def test_square_brackets_in_names_are_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal()._refused([Refused("[red]x[/red].png", "corrupt", "[bold]")], "")
    assert "[red]x[/red].png: corrupt, [bold]" in capsys.readouterr().err


def test_the_distance_from_the_baseline_is_told_in_points_and_errors() -> None:
    told = distance(Accuracy(990, 1000), Accuracy(660, 1000), True)
    assert told == "33.0 points above pixel similarity: errs on 1 in 100 instead of 1 in 2.9"


def test_a_model_worse_than_the_baseline_is_called_so() -> None:
    assert "BELOW pixel similarity" in distance(Accuracy(10, 100), Accuracy(50, 100), True)


def test_no_error_at_all_is_told_with_its_n() -> None:
    assert "errs on none in 100 instead of 1 in 2.0" in distance(Accuracy(100, 100), Accuracy(50, 100), True)


@pytest.mark.parametrize(
    ("number", "text"), [(999, "999"), (24_314, "24.3 k"), (2_100_000, "2.1 M"), (3 * 10**9, "3.0 G")]
)
def test_large_numbers_arein_short(number: int, text: str) -> None:
    assert in_short(number) == text


def test_a_difference_within_luck_is_called_so() -> None:
    assert distance(Accuracy(5, 12), Accuracy(4, 12), False) == (
        "+8.3 points against pixel similarity, which may be luck: no clear difference"
    )
