"""Numbers as people read them, and names from strangers (classes, files, errors) made safe to look at."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from typing import Any

from .interval import Accuracy

NO_BREAK = "\u00a0"
HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format and direction marks, lone surrogates, separators
JOINERS = "\u200c\u200d"  # Persian and Indic words and emoji are spelt with these
SPLIT_WORDS = {"train": "training", "valid": "validation", "test": "test"}  # pictures


def percent(value: float, n: int = 1000) -> str:
    """A fraction in per cent, to two places where n allows it; never 100 or 0 for what is only nearly so.

    >>> [percent(value).replace(NO_BREAK, " ") for value in (0.95, 0.99999, 1.0, float("nan"))]
    ['95.0 %', '>99.9 %', '100.0 %', '–']
    """
    if math.isnan(value):
        return "–"
    places = 2 if n > 1000 else 1
    text = f"{100 * value:.{places}f}"
    if float(text) >= 100 > 100 * value:
        text = f">{100 - 10**-places:.{places}f}"
    if float(text.lstrip(">")) <= 0 < value:
        text = f"<{10**-places:.{places}f}"
    return f"{text}{NO_BREAK}%"


def span(score: Accuracy) -> str:
    """The 95 % interval of a score: "94.12 to 96.00 %"."""
    low, high = (percent(end, score.n) for end in score.interval)
    return f"{low[:-2]} to {high}"


def in_full(score: Accuracy) -> str:
    """A score for a terminal: "98.00 % (95 % interval 94.12 to 99.32 %, n = 150)"."""
    return f"{percent(score.value, score.n)} (95 % interval {span(score)}, n = {score.n:,})".replace(NO_BREAK, " ")


def one_in(score: Accuracy) -> str:
    """How often it errs: "1 in 50", "none in 359"."""
    wrong = score.n - score.correct
    if not wrong:
        return f"none in {score.n:,}"
    often = score.n / wrong
    return f"1 in {often:,.{0 if often >= 10 else 1 if often >= 2 else 2}f}"


def distance(score: Accuracy, base: Accuracy, clear: bool) -> str:
    """How far a score is from pixel similarity's, in points, and what that means; `clear` if it is not by luck."""
    points = 100 * (score.value - base.value)
    if not clear:
        return f"{points:+.1f} points against pixel similarity, which may be luck: no clear difference"
    errs = f"errs on {one_in(score)} instead of {one_in(base)}"
    return f"{abs(points):.1f} points {'above' if points >= 0 else 'BELOW'} pixel similarity: {errs}"


def in_bytes(size: int) -> str:
    """A size for people: "12.3 kB"."""
    for limit, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= limit:
            return f"{size / limit:.1f} {unit}"
    return f"{size} bytes"


def in_time(seconds: float) -> str:
    """A duration for people: "3.1 s", "4 min 5 s"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def in_short(number: int) -> str:
    """A large number to one place: "1.2 M"."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return str(number)


def plural(number: int, noun: str) -> str:
    """ "1 picture", "2,000 pictures", "2 classes"."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"


def visible(text: str) -> str:
    """`text` with characters that hide, or reorder what stands around them, as escapes.

    >>> visible("invoice\\u202egpj.exe")
    'invoice\\\\u202egpj.exe'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(c) if unicodedata.category(c) in HIDDEN and c not in JOINERS else c for c in text)


def finite(value: Any) -> Any:
    """`value` fit for JSON, which has no number for what is infinite or undefined: None stands for it.

    >>> finite({1: (0.5, float("nan"))})
    {'1': [0.5, None]}
    """
    if isinstance(value, Mapping):
        return {str(name): finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
