"""What the data tell of themselves, before anyone believes an accuracy.

Leaks, copies, labels that contradict each other, classes that are missing or rare, blank pictures, features that give
the class away.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..words import percent, plural, visible
from .copies import FLAT
from .decode import Header
from .labelled import LabelledData, Part

EXAMPLES = 3
RARE = 10  # times as many pictures as the rarest class: from then on the most frequent one outweighs it
GIVEN_AWAY = 0.5  # of what always naming the most frequent class gets wrong, got right by looking at a feature alone
OFTEN = 5  # pictures that share a feature: fewer say nothing
NARROW = 4  # times as long as wide


@dataclass(frozen=True)
class Finding:
    """One thing that was found: its `kind`, how many pictures (or classes) it concerns, and what it does."""

    kind: str
    count: int
    message: str
    examples: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """In one line."""
        return f"{self.message}: {', '.join(self.examples)}" if self.examples else self.message

    def to_dict(self) -> dict[str, Any]:
        """As it stands in JSON."""
        return {"kind": self.kind, "count": self.count, "message": self.message, "examples": [*self.examples]}


@dataclass(frozen=True)
class Report:
    """All findings; `leaked` are the training pictures, by their number, that valid or test has too."""

    pictures: dict[str, int]
    findings: list[Finding]
    leaked: frozenset[int]

    def to_dict(self) -> dict[str, Any]:
        """As `--json` prints it: the count of each kind, 0 where there is none, and all that was found."""
        counts = dict.fromkeys(KINDS, 0) | {finding.kind: finding.count for finding in self.findings}
        return {"pictures": self.pictures, **counts, "findings": [finding.to_dict() for finding in self.findings]}


class _Seen(NamedTuple):
    """A picture: its split, its label, its name, and its number in the split."""

    split: str
    label: str
    name: str
    number: int


def check(data: LabelledData) -> Report:
    """Look at data in memory. What is no picture (`preprocessing` is None) has nothing but labels to be looked at."""
    parts = {split: part for split, part in data.splits.items() if len(part.x)}
    findings = [*_refused(data), *_classes(parts)]
    leaked: frozenset[int] = frozenset()
    if data.preprocessing and parts:
        copies, leaked = _copies(data, parts)
        findings = [*copies, *findings, *_blank(parts), *_shapes(data, parts), *_shortcuts(parts)]
    order = {kind: place for place, kind in enumerate(KINDS)}
    counts = {split: len(part.x) for split, part in parts.items()}
    return Report(counts, sorted(findings, key=lambda finding: order[finding.kind]), leaked)


def without_leaks(data: LabelledData, report: Report) -> LabelledData:
    """The same without the training pictures that valid or test has too."""
    if not report.leaked:
        return data
    x, labels, names, headers = data.splits["train"]
    kept = [number for number in range(len(labels)) if number not in report.leaked]
    part = Part(x[kept], [labels[i] for i in kept], [names[i] for i in kept], headers and [headers[i] for i in kept])
    note = f"{plural(len(report.leaked), 'training picture')} that valid or test has too were left out"
    return replace(data, splits=data.splits | {"train": part}, notes=[*data.notes, note])


def _copies(data: LabelledData, parts: dict[str, Part]) -> tuple[list[Finding], frozenset[int]]:
    starts = dict(zip(parts, itertools.accumulate((len(part.x) for part in parts.values()), initial=0), strict=False))

    def seen(number: int) -> _Seen:
        split = [split for split, start in starts.items() if start <= number][-1]
        place = number - starts[split]
        return _Seen(split, parts[split].labels[place], parts[split].names[place], place)

    exact, near, looked_at_all = data.copies
    groups = [[*map(seen, group)] for group in data.copies.groups]
    leaks, conflicts, leaked = [], [], set()
    held_out: Counter[str] = Counter()
    for group in groups:
        training = [it for it in group if it.split == "train"]
        for it in group:
            if it.split != "train" and training:
                leaks.append(f"{_named(it)} is {_named(training[0])}")
                held_out[it.split] += 1
        if len(training) < len(group):
            leaked |= {it.number for it in training}
        if len({it.label for it in group}) > 1:
            other = next(it for it in group if it.label != group[0].label)
            both = " and ".join(f"{_named(it)} as {visible(it.label)!r}" for it in (group[0], other))
            conflicts += [both] * len(group)
    found = []
    if leaks:
        parts_of = ", ".join(f"{count:,} of {len(parts[split].x):,} in {split}" for split, count in held_out.items())
        why = "are in train too: an accuracy there tells in part what was learned by heart"
        found.append(_finding("leaks", leaks, f"{parts_of} {why}"))
    if conflicts:
        why = "have a copy of another class: one of both is wrong, and no network can get both right"
        found.append(_finding("label_conflicts", conflicts, f"{plural(len(conflicts), 'picture')} {why}"))
    for kind, several in (("duplicates", exact), ("near_duplicates", near)):
        again = [[*map(seen, group)] for group in several]
        extra = [f"{_named(group[1])} is {_named(group[0])}" for group in again for _ in group[1:]]
        if extra:
            how = "the same pixels as" if kind == "duplicates" else "nearly the same pixels as"
            message = f"{plural(len(extra), 'picture')} have {how} another: they count twice"
            found.append(_finding(kind, extra, message))
    if not looked_at_all:
        why = "so many pictures look alike that not every pair was compared: there may be more near copies and leaks"
        found.append(Finding("not_all_compared", 1, why))
    return found, frozenset(leaked)


def _finding(kind: str, examples: Sequence[str], message: str) -> Finding:
    return Finding(kind, len(examples), message, tuple(dict.fromkeys(examples))[:EXAMPLES])


def _named(it: _Seen) -> str:
    return visible(it.name)


def _refused(data: LabelledData) -> Iterator[Finding]:
    if data.refused:
        examples = [f"{visible(it.path)} ({it.reason})" for it in data.refused]
        why = "could not be used: nothing is learned from them, or measured on them"
        yield _finding("refused", examples, f"{plural(len(examples), 'file')} {why}")


def _classes(parts: dict[str, Part]) -> Iterator[Finding]:
    counts = {split: Counter(part.labels) for split, part in parts.items()}
    train = counts.get("train", Counter())
    held_out = [split for split in counts if split != "train"]
    missing = [f"{visible(name)} in {split}" for split in held_out for name in train if not counts[split][name]]
    if missing:
        why = "of train have no picture in valid or test: nothing is measured of them"
        yield _finding("missing_classes", missing, f"{plural(len(missing), 'class')} {why}")
    if len(train) > 1:
        (most, many), (least, few) = train.most_common()[0], train.most_common()[-1]
        if many >= RARE * few:
            rare = sum(count * RARE <= many for count in train.values())
            share = percent(many / train.total())
            message = (
                f"{visible(most)} has {many:,} training pictures, {visible(least)} {few:,}: "
                f"always saying {visible(most)} is right for {share}"
            )
            yield Finding("imbalance", rare, message)


def _blank(parts: dict[str, Part]) -> Iterator[Finding]:
    names = []
    for part in parts.values():
        for begin in range(0, len(part.x), 1024):
            some = part.x[begin : begin + 1024]
            flat = np.flatnonzero((some.max((2, 3)).astype(int) - some.min((2, 3)) <= FLAT).all(1))
            names += [visible(part.names[begin + int(number)]) for number in flat]
    if names:
        why = "show one flat colour: nothing in them tells their class"
        yield _finding("blank", names, f"{plural(len(names), 'picture')} {why}")


def _shapes(data: LabelledData, parts: dict[str, Part]) -> Iterator[Finding]:
    assert data.preprocessing
    height, width, small, odd = data.preprocessing.height, data.preprocessing.width, [], []
    for part in parts.values():
        odd_ones = {it for it in set(part.headers or ()) if _is_small(it, width, height) or _is_narrow(it)}
        for number, header in enumerate(part.headers or () if odd_ones else ()):
            if header not in odd_ones:
                continue
            shape = f"{visible(part.names[number])} ({header.width}×{header.height})"
            if _is_small(header, width, height):
                small.append(shape)
            if _is_narrow(header):
                odd.append(shape)
    if small:
        why = "are at most half as large as the network sees them: it sees them blurred"
        yield _finding("small", small, f"{plural(len(small), 'picture')} {why}")
    if odd:
        why = f"are at least {NARROW} times as long as wide: most of them is cut off"
        yield _finding("narrow", odd, f"{plural(len(odd), 'picture')} {why}")


def _is_small(header: Header, width: int, height: int) -> bool:
    return 2 * header.width <= width and 2 * header.height <= height


def _is_narrow(header: Header) -> bool:
    return max(header.width, header.height) >= NARROW * min(header.width, header.height)


def _shortcuts(parts: dict[str, Part]) -> Iterator[Finding]:
    part = parts.get("train")
    if part is None or not part.headers:
        return
    kinds = Counter(zip(part.headers, part.labels, strict=True))
    endings = Counter(zip((name.rpartition(".")[2].lower() for name in part.names), part.labels, strict=True))
    features: dict[str, list[tuple[Any, str, int]]] = {
        "size": [(header[:2], label, count) for (header, label), count in kinds.items()],
        "mode": [("grey" if header.grey else "colour", label, count) for (header, label), count in kinds.items()],
        "file format": [(ending, label, count) for (ending, label), count in endings.items()],
    }
    n, base = len(part.labels), Counter(part.labels).most_common(1)[0][1]
    for feature, rows in features.items():
        table: dict[Any, Counter[str]] = defaultdict(Counter)
        for value, label, count in rows:
            table[value][label] += count
        right = sum(counts.most_common(1)[0][1] for counts in table.values() if counts.total() >= OFTEN)
        if len(table) > 1 and n > base and right - base >= GIVEN_AWAY * (n - base):
            value, counts = max(table.items(), key=lambda it: it[1].most_common(1)[0][1] - it[1].total() * base / n)
            told = "×".join(map(str, value)) if isinstance(value, tuple) else value or "none"
            label, count = counts.most_common(1)[0]
            example = f"{count:,} of {counts.total():,} with {told} are {visible(label)}"
            message = (
                f"the {feature} alone tells {percent(right / n)} of the training pictures' classes: "
                "a network may learn that instead of what they show"
            )
            yield Finding("shortcuts", right, message, (example,))


KINDS = (
    "leaks", "label_conflicts", "duplicates", "near_duplicates", "not_all_compared", "shortcuts", "missing_classes",
    "imbalance", "blank", "small", "narrow", "refused",
)  # fmt: skip
