"""Schedules: the learning rate as a function of how far training has come, 0 to 1.

>>> [round(one_cycle(at, 1.0), 3) for at in (0, 0.25, 0.625, 1)]
[0.04, 1.0, 0.5, 0.0]
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float, float], float]  # (progress 0 to 1, the greatest learning rate) → learning rate


def constant(progress: float, lr: float) -> float:
    """The same learning rate throughout."""
    return lr


def one_cycle(
    progress: float, lr: float, *, warm_up: float = 0.25, start_div: float = 25.0, end_div: float = 1e5
) -> float:
    """Up from lr/`start_div` to `lr` in the first `warm_up` part, down to lr/`end_div`: half cosines both.

    Smith & Topin 2017, "Super-Convergence"; cosines and divisors as fastai's `fit_one_cycle`.
    """
    if progress < warm_up:
        return _cosine(lr / start_div, lr, progress / warm_up)
    return _cosine(lr, lr / end_div, (progress - warm_up) / (1 - warm_up))


SCHEDULES: dict[str, Schedule] = {"constant": constant, "one_cycle": one_cycle}


def _cosine(start: float, end: float, at: float) -> float:
    return start + (end - start) * (1 - math.cos(math.pi * min(at, 1.0))) / 2
