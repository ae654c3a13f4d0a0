"""Pictures that are there more than once: the same pixels, or the same picture at another size or encoded anew.

All pictures have one size by now, so a copy that was resized or compressed again has nearly the same pixels. Near ones
are looked for by their 8×8 thumbnails, in cells along the four directions in which these differ most, so that the time
grows little faster than their number; a pair counts whose pixels correlate by `SAME`.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SIDE = 8  # of a thumbnail
RADIUS = 12.0  # how far apart thumbnails of copies are at most, as a Euclidean distance: 1.5 levels a pixel
SAME = 0.98  # correlation of the pixels of copies
FLAT = 2.0  # standard deviation, in levels of 255, below which a picture shows nothing that could be compared
DIRECTIONS = 4  # of the thumbnails: with three there are fewer cells to look into, and many more pairs
MOST_PAIRS = 1 << 25  # whose thumbnails are compared, and
MOST_COMPARED = 1 << 17  # whose pixels are: some seconds. Where all pictures look alike, nearness says little anyway
AT_ONCE = 1 << 16  # pairs, or pixels' rows, that are looked at together

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]


class Copies(NamedTuple):
    """Groups of at least two pictures, by their numbers; in a group of `near` are also those that are exactly alike.

    `looked_at_all` is false where so many pictures look alike that not every pair was compared.
    """

    exact: list[list[int]]
    near: list[list[int]]
    looked_at_all: bool

    @property
    def groups(self) -> list[list[int]]:
        """Both kinds, each picture in one group at most."""
        inside = {number for group in self.near for number in group}
        return [*self.near, *(group for group in self.exact if group[0] not in inside)]


def find_copies(parts: Sequence[NDArray[np.uint8]]) -> Copies:
    """The copies among all pictures of `parts` (uint8, each N×C×H×W), numbered through in their order.

    >>> one, other = np.zeros((2, 1, 9, 9), np.uint8)
    >>> one[0, 2:5, 3:7] = 250
    >>> find_copies([np.stack([one, other, one])]).exact
    [[0, 2]]
    """
    parts = [part for part in parts if len(part)]
    if not parts:
        return Copies([], [], True)
    small = np.concatenate([_thumbnails(part) for part in parts])
    starts = np.cumsum([0, *map(len, parts)])
    same = _alike(parts, starts)
    again = {number for group in same for number in group[1:]}
    ones = np.array([number for number in range(len(small)) if number not in again], np.int64)  # one of each
    groups = {group[0]: group for group in same}
    pairs, looked_at_all = _near(parts, starts, small, ones)
    near = [sorted(copy for one in group for copy in groups.get(one, [one])) for group in _joined(pairs)]
    return Copies(same, near, looked_at_all)


def _alike(parts: Sequence[NDArray[np.uint8]], starts: Numbers) -> list[list[int]]:
    """Groups of pictures with the same pixels: of those with the same sums."""
    keys = np.concatenate([_sums(part) for part in parts])
    order = np.argsort(keys, kind="stable")
    equal = np.zeros(len(keys) + 1, bool)
    equal[1:-1] = np.diff(keys[order]) == 0
    found: dict[bytes, list[int]] = {}
    for number in np.sort(order[equal[1:] | equal[:-1]]).tolist():
        pixels = _picture(parts, starts, number)
        found.setdefault(hashlib.blake2b(pixels.tobytes(), digest_size=16).digest(), []).append(number)
    return [group for group in found.values() if len(group) > 1]


def _sums(pixels: NDArray[np.uint8]) -> Numbers:
    """The sum of each picture's values, eight at a time as one number: the same for the same pictures."""
    flat = pixels.reshape(len(pixels), -1)
    whole = flat.shape[1] // 8 * 8
    sums: Numbers = flat[:, :whole].view(np.int64).sum(1) + flat[:, whole:].sum(1, dtype=np.int64)
    return sums


def _near(
    parts: Sequence[NDArray[np.uint8]], starts: Numbers, small: Floats, ones: Numbers
) -> tuple[list[tuple[int, int]], bool]:
    """Pairs of `ones` that are nearly the same, and whether all were looked at."""
    ones = ones[small[ones].std(1) > FLAT]
    found: list[tuple[int, int]] = []
    small, looked, compared = small[ones], 0, 0
    for left, right in _neighbours(small) if len(ones) else ():
        for begin in range(0, len(left), AT_ONCE):
            a, b = left[begin : begin + AT_ONCE], right[begin : begin + AT_ONCE]
            close = np.linalg.norm(small[a] - small[b], axis=1) <= RADIUS
            looked, compared = looked + len(a), compared + int(close.sum())
            if looked > MOST_PAIRS or compared > MOST_COMPARED:
                return found, False
            for one, other in zip(ones[a[close]].tolist(), ones[b[close]].tolist(), strict=True):
                if _correlation(_picture(parts, starts, one), _picture(parts, starts, other)) >= SAME:
                    found.append((one, other))
    return found, True


def _thumbnails(pixels: NDArray[np.uint8]) -> Floats:
    """Each picture as the means of a grid of 8×8 parts, all channels together; float32, N×64."""
    n, channels, height, width = pixels.shape
    rows, columns = _grid(height), _grid(width)
    means = np.tile(np.kron(rows, columns), channels).T / channels  # a matrix: values times it are their means
    small = np.empty((n, means.shape[1]), np.float32)
    step = max(1, (AT_ONCE << 6) // len(means))
    for begin in range(0, n, step):
        some = pixels[begin : begin + step].reshape(-1, len(means)).astype(np.float32)
        np.matmul(some, means, out=small[begin : begin + step])
    return small


def _grid(length: int) -> Floats:
    """A row for each of eight parts of a side: the mean of its pixels as weights of all; float32, 8×length."""
    edges = np.linspace(0, length, min(SIDE, length) + 1).astype(int)
    weights = np.zeros((len(edges) - 1, length), np.float32)
    for row, begin, end in zip(weights, edges, edges[1:], strict=False):
        row[begin:end] = 1 / (end - begin)
    return weights


def _neighbours(points: Floats) -> Iterator[tuple[Numbers, Numbers]]:
    """Index pairs (each once) of points that may be within `RADIUS`: all that are, and some that are not."""
    centred = points - points.mean(0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    cells = np.floor(centred @ directions[:, -DIRECTIONS:] / RADIUS).astype(np.int64)
    cells -= cells.min(0) - 1
    scale = np.cumprod([1, *(cells.max(0) + 2)[:-1]])
    keys = cells @ scale
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    for offset in itertools.product((-1, 0, 1), repeat=cells.shape[1] - 1):
        if offset < (0,) * len(offset):  # the same pairs the other way round
            continue
        there = keys + np.array(offset, np.int64) @ scale[1:]  # and the cells before and behind, whose keys are next
        begin = np.searchsorted(keys, there - 1, "left") if any(offset) else np.arange(1, len(keys) + 1)
        end = np.searchsorted(keys, there + 1, "right")
        counts = np.maximum(end - begin, 0)
        for some in _portions(counts):
            left = np.repeat(np.arange(some.start, some.stop), counts[some])
            ahead = np.arange(len(left)) - np.repeat(np.cumsum(counts[some]) - counts[some], counts[some])
            yield order[left], order[begin[left] + ahead]


def _portions(counts: Numbers) -> Iterator[slice]:
    """Slices of `counts` whose sums are small enough to be looked at together; what is left out sums to nothing."""
    totals = np.cumsum(counts)
    begin = 0
    while begin < len(counts) and totals[-1] > (done := int(totals[begin - 1]) if begin else 0):
        end = max(begin + 1, int(np.searchsorted(totals, done + 16 * AT_ONCE, "right")))
        yield slice(begin, end)
        begin = end


def _picture(parts: Sequence[NDArray[np.uint8]], starts: Numbers, number: int) -> NDArray[np.uint8]:
    part = int(np.searchsorted(starts, number, "right")) - 1
    picture: NDArray[np.uint8] = parts[part][number - starts[part]]
    return picture


def _correlation(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    a, b = (it.astype(np.float32).ravel() - it.mean(dtype=np.float32) for it in (one, other))
    return float(a @ b / max(1e-9, float(np.linalg.norm(a)) * float(np.linalg.norm(b))))


def _joined(pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The groups that pairs make, each with all that any of its pairs leads to."""
    leader: dict[int, int] = {}

    def follow(one: int) -> int:
        while leader.setdefault(one, one) != one:
            leader[one] = one = leader[leader[one]]
        return one

    for one, other in pairs:
        leader[follow(other)] = follow(one)
    groups: dict[int, list[int]] = {}
    for one in sorted(leader):
        groups.setdefault(follow(one), []).append(one)
    return list(groups.values())
