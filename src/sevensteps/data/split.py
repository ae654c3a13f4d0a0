"""Cutting a validation split from the training pictures: stratified, seeded, covering all, overlapping none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import DataError
from ..randomness import permutation

VALID_FRACTION = 0.2
VALID_AT_MOST = 5_000


def stratified_split(
    labels: np.ndarray,
    seed: int = 0,
    fraction: float | None = None,
    vocab: Sequence[str] = (),
    copies: Sequence[Sequence[int]] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of a training and a validation part of `labels` (int, shape (N,)), both sorted.

    Every class gives the same fraction, rounded, but at least one picture to each part. Where no fraction is
    given it is a fifth, or as much less as keeps the validation part at about 5,000 pictures. Of each group of `copies`
    all members are in one part, as long as a class has other pictures. `vocab` has the classes' names for
    messages. Raises `DataError` where a class has a single picture.

    >>> train, valid = stratified_split(np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1]))
    >>> len(train), np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])[valid].tolist()
    (8, [0, 1])
    """
    labels = np.asarray(labels)
    if fraction is None:
        fraction = min(VALID_FRACTION, VALID_AT_MOST / max(len(labels), 1))
    orders = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            name = vocab[label] if len(vocab) else label
            raise DataError(
                f"class {str(name)!r} has one picture only, so no validation split can be cut from it",
                hint="add pictures of this class, or give a folder valid/<class>/* of your own",
            )
        orders.append(members[permutation(len(members), seed, "split", int(label))])
    aside = np.zeros(len(labels), bool)
    together = {one: list(group) for group in copies for one in group}
    for order in orders:
        missing = min(max(round(fraction * len(order)), 1), len(order) - 1) - int(aside[order].sum())
        for one in order.tolist():
            if missing <= 0:
                break
            group = together.get(one, [one])
            own = int((labels[group] == labels[one]).sum()) if len(group) > 1 else 1
            if own <= missing and not aside[one] and (len(group) == 1 or _leave_some(group, aside, labels)):
                aside[group] = True
                missing -= own
        if not aside[order].any():  # all have too many copies: the first that leaves some behind, or else one alone
            groups = sorted((together.get(one, [one]) for one in order.tolist()), key=len)
            aside[next((group for group in groups if _leave_some(group, aside, labels)), order[:1])] = True
    return np.flatnonzero(~aside), np.flatnonzero(aside)


def _leave_some(group: Sequence[int], aside: np.ndarray, labels: np.ndarray) -> bool:
    """Whether each class of this group still has a training picture when the group is set aside too."""
    left = ~aside
    left[group] = False
    return all(left[labels == label].any() for label in np.unique(labels[group]))
