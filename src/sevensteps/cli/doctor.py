"""The doctor's word, as a terminal shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..words import NO_BREAK, visible

if TYPE_CHECKING:
    from ..insight.doctor import Diagnosis


def doctors_word(found: Sequence[Diagnosis], epochs: int) -> list[str]:
    """The diagnoses as lines for people; a training of no whole epoch is not called healthy."""
    if not found:
        healthy = "healthy: nothing that ails a training was found"
        return [healthy if epochs else "too little was recorded to say: no epoch was finished"]
    lines = [line for it in found for line in (f"{it.illness}: {it.evidence}", f"    {it.advice}")]
    return [visible(line).replace(NO_BREAK, " ") for line in lines]
