from __future__ import annotations

import pytest

from sevensteps.interval import Accuracy
from sevensteps.words import in_bytes, in_time, one_in, percent, plural, span, visible


def test_a_part_in_per_cent_is_never_rounded_to_all_or_none() -> None:
    assert percent(0.99996, 2000) == ">99.99\u00a0%"
    assert percent(0.00001) == "<0.1\u00a0%"
    assert percent(0.0) == "0.0\u00a0%"
    assert percent(1.0, 2000) == "100.00\u00a0%"


def test_an_interval_is_written_with_one_unit() -> None:
    assert span(Accuracy(1939, 2038)) == "94.12 to 95.99\u00a0%"
    assert span(Accuracy(0, 0)) == "0.0 to 100.0\u00a0%"


@pytest.mark.parametrize(
    ("right", "words"), [(100, "none in 100"), (99, "1 in 100"), (80, "1 in 5.0"), (10, "1 in 1.11"), (0, "1 in 1.00")]
)
def test_errors_are_counted_as_one_in_so_many(right: int, words: str) -> None:
    assert one_in(Accuracy(right, 100)) == words


def test_sizes_times_and_numbers_are_written_as_people_read_them() -> None:
    assert [in_bytes(size) for size in (12, 3400, 5_000_000)] == ["12 bytes", "3.4 kB", "5.0 MB"]
    assert [in_time(seconds) for seconds in (3.14, 59.96, 125, 7500)] == [
        "3.1 s",
        "1 min 0 s",
        "2 min 5 s",
        "2 h 5 min",
    ]
    assert [plural(n, "class") for n in (1, 2)] == ["1 class", "2 classes"]
    assert plural(1200, "picture") == "1,200 pictures"


def test_joiners_of_words_and_emoji_stay_and_what_hides_does_not() -> None:
    assert visible("می\u200cخواهم \U0001f469\u200d\U0001f52c") == "می\u200cخواهم \U0001f469\u200d\U0001f52c"
    assert visible("a\x00b\u2028c\ufeffd\ud800") == "a\\x00b\\u2028c\\ufeffd\\ud800"
