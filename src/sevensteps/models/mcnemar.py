"""Is one classifier better than another on the same pictures, or was it luck? McNemar's test."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class McNemar:
    """`only_first` pictures were right with the first classifier alone, `only_second` with the second alone.

    Pictures that both got right, or both wrong, tell nothing about which is better (McNemar 1947, Psychometrika 12;
    recommended for one training of each by Dietterich 1998, Neural Computation 10).

    >>> McNemar(only_first=9, only_second=1).p_value
    0.021484375
    """

    only_first: int
    only_second: int

    @classmethod
    def of(cls, first_right: Tensor, second_right: Tensor) -> McNemar:
        """From whether each answer to the same N pictures was right: two bool tensors, shape (N,)."""
        return cls(int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum()))

    @property
    def is_clear(self) -> bool:
        """Whether luck alone would do this less often than one time in twenty."""
        return self.p_value < SIGNIFICANT

    @property
    def p_value(self) -> float:
        """How often two equally good classifiers would differ by this much or more: exact, two-sided, 0 to 1."""
        n, fewer = self.only_first + self.only_second, min(self.only_first, self.only_second)
        ways = term = 1  # `term` is n choose k; the sum runs over k from 0 to `fewer`
        for k in range(fewer):
            term = term * (n - k) // (k + 1)
            ways += term
        return min(1.0, 2 * ways / (1 << n))
