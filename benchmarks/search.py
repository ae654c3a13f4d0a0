"""Find the settings with which a rival is fastest: one setting after the other, each at its best value so far.

Each value is tried once, after one run that warms up, in the shortened form that the target allows. A value that fails
is not taken; where all fail, the first ones stay, and the rounds will say why.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from process import FailedError, Places, check, run_undisturbed
from target import Entry, Target

Say = Callable[[str], None]


class Search:
    """The best settings of entries, each kind of them searched once."""

    def __init__(self, places: Places, say: Say) -> None:
        self.places, self.say = places, say
        self.found: dict[str, dict[str, object]] = {}

    def settings(self, target: Target, entry: Entry) -> dict[str, object]:
        """The best value of each of the entry's choices. Two entries that differ in their neighbours alone share it."""
        key = json.dumps([entry.script, entry.environment, dict(entry.options), dict(entry.choices)], sort_keys=True)
        if key not in self.found:
            self.found[key] = self._search(target, entry)
        return self.found[key]

    def _search(self, target: Target, entry: Entry) -> dict[str, object]:
        best = {name: values[0] for name, values in entry.choices.items()}
        known: float | None = None
        if any(len(values) > 1 for values in entry.choices.values()):
            self._time(target, entry, best)  # so that its files are in memory for all that are compared
        for name, values in entry.choices.items():
            if len(values) < 2:
                continue
            times = {best[name]: known if known is not None else self._time(target, entry, best)}
            times |= {value: self._time(target, entry, best | {name: value}) for value in values if value != best[name]}
            best[name] = min(times, key=lambda value: times[value])
            known = times[best[name]]
            tried = ", ".join(f"{value} {seconds:.4g} s" for value, seconds in times.items())
            self.say(f"  {entry.name}: {name} = {best[name]} ({tried})")
        return best

    def _time(self, target: Target, entry: Entry, settings: dict[str, object]) -> float:
        """The sum of the target's figures; infinite where it fails."""
        try:
            answer = run_undisturbed(entry, {**settings, **target.search}, self.places)
            check(answer, 0.0)
        except FailedError as error:
            self.say(f"  {entry.name} with {settings}: {error}")
            return float("inf")
        return sum(answer["figures"][figure.key] for figure in target.figures)
