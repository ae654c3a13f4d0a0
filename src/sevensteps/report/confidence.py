"""How sure a network is, and how often it is right: what the page says of calibration and of "none of these"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..insight.calibration import Answered, Calibration, Coverage, fit_temperature
from ..training.result import Scored
from ..words import NO_BREAK, SPLIT_WORDS, percent, plural, span

GOALS = (0.99, 0.95, 0.9, 0.8)  # accuracies that a threshold is looked for to reach
ENOUGH = 0.5  # of the pictures must still be answered


class Threshold(NamedTuple):
    """Below which probability to say "none of these" so that the answers reach `goal`, and what comes of it.

    `goal` is the greatest of `GOALS` that the 95 % interval on the validation pictures lies above, with half of them
    answered or more; `answered` is of the pictures that the page speaks of.
    """

    goal: float
    answered: Answered

    def to_dict(self) -> dict[str, Any]:
        """As it stands in JSON."""
        return {"goal": self.goal} | self.answered.to_dict()


class Confidence:
    """Calibration on `split` ("valid" or "test") with the temperature of valid; the coverage of its raw probabilities.

    Those are what `predict` gives. Raises `RequestError` for scores that are not finite.
    """

    def __init__(self, scored: Mapping[str, Scored], split: str) -> None:
        (preds, targets, _), valid, self.split = scored[split], scored["valid"], split
        self.calibration = Calibration.of(preds, targets, fit_temperature(valid.preds, valid.targets))
        self.coverage = Coverage.of(preds, targets)
        chosen_by = self.coverage if split == "valid" else Coverage.of(valid.preds, valid.targets)
        self.threshold = self._threshold(chosen_by)

    def _threshold(self, valid: Coverage) -> Threshold | None:
        for goal in GOALS:
            found = valid.reaching(goal)
            if found and found.coverage >= ENOUGH:
                return Threshold(goal, self.coverage.at(found.threshold))
        return None

    @property
    def verdict(self) -> str:
        """Whether its probabilities can be believed, in a sentence or two."""
        before, after, temperature = self.calibration.before, self.calibration.after, self.calibration.temperature
        error = f"the expected calibration error (ECE) is {percent(before.ece)}"
        luck = f"up to {percent(before.ece_by_luck)} on {plural(len(self.coverage.right), 'picture')}"
        if before.ece <= before.ece_by_luck:
            return f"As sure as it is right, as far as can be told: {error}, and luck alone makes {luck}."
        too_sure = float(self.coverage.confidence.mean()) > self.coverage.at(0).accuracy.value
        kind = "It is surer than it is right" if too_sure else "It is right more often than it is sure"
        then = f"With its scores divided by a temperature of {temperature.value:.3g}, it is {percent(after.ece)}"
        worse = ", which is worse: a single temperature does not mend it" if after.ece > before.ece else ""
        return f"{kind}: {error}, where luck alone makes {luck}. {then}{worse}."

    @property
    def advice(self) -> str:
        """Which threshold for "none of these" is recommended, and what comes of it."""
        if self.threshold is None:
            return (
                f"No threshold can be recommended: none is shown to be right for {_whole(GOALS[-1])} of what it "
                "answers while it answers half of the validation pictures."
            )
        goal, (threshold, coverage, accuracy) = self.threshold
        right = f"{percent(accuracy.value, accuracy.n)} (95{NO_BREAK}% interval {span(accuracy)})"
        if not threshold:
            needed = f"On the validation pictures no threshold is needed to be right for {_whole(goal)}"
            return f"{needed}. Of all {SPLIT_WORDS[self.split]} pictures {right} are named rightly."
        return (
            f"Recommended: say “none of these” where the probability is below {percent(threshold)}. That leaves "
            f"{percent(coverage)} of the pictures, and {right} of those are named rightly; the aim was {_whole(goal)}."
        )

    def to_dict(self) -> dict[str, Any]:
        """As `result.json` has it; the coverage is that of the raw probabilities."""
        coverage = self.coverage.to_dict() | {"recommended": self.threshold.to_dict() if self.threshold else None}
        return {"split": self.split} | self.calibration.to_dict() | {"coverage": coverage}


def _whole(goal: float) -> str:
    return f"{100 * goal:.0f}{NO_BREAK}%"
