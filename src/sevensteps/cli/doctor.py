"""The doctor's word, as a terminal shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..words import NO_BREAK, visible

if TYPE_CHECKING:
    from ..insight.doctor import Diagnosis


def doctors_word(found: Sequence[Diagnosis]) -> list[str]:
    """The diagnoses as lines for people."""
    if not found:
        return ["healthy: nothing that ails a training was found"]
    lines = [line for it in found for line in (f"{it.illness}: {it.evidence}", f"    {it.advice}")]
    return [visible(line).replace(NO_BREAK, " ") for line in lines]
