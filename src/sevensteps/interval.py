"""An accuracy with its passport: how many of how many, and the 95 % interval that this n allows."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z95 = 1.959963984540054  # 97.5 % quantile of the standard normal distribution


@dataclass(frozen=True)
class Accuracy:
    """`correct` of `n` answers were right.

    The interval is Wilson's score interval, which stays inside [0, 1] and is honest for small n and for
    accuracies near 1, where the usual ± 1.96 standard errors is not (Wilson 1927, J. Am. Stat. Assoc. 22).

    >>> print(Accuracy(1939, 2038))
    95.14 % (95 % interval 94.12 to 95.99 %, n = 2,038)
    >>> [round(end, 3) for end in Accuracy(10, 10).interval]
    [0.722, 1.0]
    """

    correct: int
    n: int

    def __post_init__(self) -> None:
        if not 0 <= self.correct <= self.n:
            raise ValueError(f"correct = {self.correct} must lie between 0 and n = {self.n}")

    @property
    def value(self) -> float:
        """The fraction that was right, 0 to 1; not a number where n is 0."""
        return self.correct / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end of the 95 % Wilson interval, each 0 to 1; (0, 1) where n is 0."""
        if not self.n:
            return 0.0, 1.0
        p, n, z2 = self.value, self.n, Z95**2
        centre = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = Z95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        # for none or all right the ends are exact, which rounding would miss
        return (centre - half if self.correct else 0.0), (centre + half if self.correct < n else 1.0)

    def to_dict(self) -> dict[str, float | int | list[float] | None]:
        """As it stands in JSON: `accuracy` (None where n is 0), `interval`, `n`."""
        return {"accuracy": self.value if self.n else None, "interval": list(self.interval), "n": self.n}

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        low, high = (100 * end for end in self.interval)
        return f"{100 * self.value:.2f} % (95 % interval {low:.2f} to {high:.2f} %, n = {self.n:,})"
