"""The words of the plan: a target is one comparison, its entries take part in it, its figures are its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

OURS = "sevensteps"  # the name of the project's own environment, and of who is compared with the rivals
Options = Mapping[str, object]
Choices = Mapping[str, tuple[object, ...]]


@dataclass(frozen=True)
class Entry:
    """Who takes part, in which way: the script `cases/<script>.py` with `options`, and the best of its `choices`.

    `cache` is the folder for sevensteps' pixel cache: "empty", or "filled" by a run before the ones that are timed.
    `busy` processes that only keep a processor busy run beside it.
    """

    who: str
    variant: str
    script: str
    environment: str = OURS
    options: Options = field(default_factory=dict)
    choices: Choices = field(default_factory=dict)
    cache: str = "empty"
    busy: int = 0

    @property
    def name(self) -> str:
        return f"{self.who}, {self.variant}"


@dataclass(frozen=True)
class Figure:
    """One table of a target, from the figure `key` of its entries' answers. `unit` is s, %, bytes or × (a ratio).

    `drawn` is its name in the picture that `picture.py` draws; without it is not there.
    """

    key: str
    title: str
    unit: str = "s"
    drawn: str = ""


@dataclass(frozen=True)
class Target:
    """One comparison. `goal` is what the table is to show, in a sentence, where there is such a thing.

    `compare` is the entries' names that the others' times are divided by; none makes a table of the figures alone.
    `before` is run once, untimed. `search` is what the search for the best settings changes in the options to be quick,
    and `quick` the same for `--quick`. An entry that ends with less than `accuracy` did not train.
    """

    number: str
    title: str
    entries: tuple[Entry, ...]
    figures: tuple[Figure, ...]
    compare: tuple[str, ...] = ()
    goal: str = ""
    before: tuple[Entry, ...] = ()
    search: Options = field(default_factory=dict)
    quick: Options = field(default_factory=dict)
    accuracy: float = 0.0
    seeds: bool = False  # a round is a seed
