"""The doctor: what ails a training, by what its run recorded. A symptom, its evidence in figures, and advice.

Each illness is one function from the record to a diagnosis or None. A run in which none is found is called healthy;
that says that it learned as trainings do, not that more could not be had of it.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from operator import attrgetter
from statistics import fmean, median
from typing import NamedTuple

from ..words import percent, plural, visible
from .interpretation import Answer
from .record import Record

FEW_STEPS, FEW_EPOCHS = 20, 3  # fewer say nothing of the learning rate, or of the fit
BLOCKS = 20  # the loss is looked at as means of so many parts of the training
MANY_STEPS = 3 * BLOCKS  # with fewer, a part is no more than a mini-batch or two
SURE, HOPELESS = 0.9, 0.02  # probabilities of the class that a picture is called, and of its own
WEIGHTED = ("Linear", "Conv1d", "Conv2d", "Conv3d")  # layers whose weights multiply: scales and shifts are left out


class Diagnosis(NamedTuple):
    """One thing that ails a training: its name, the figures that show it, and what to try."""

    illness: str
    evidence: str
    advice: str


def examine(record: Record) -> list[Diagnosis]:
    """All that is found, the gravest first. Empty for a healthy run."""
    found = [illness(record) for illness in ILLNESSES]
    return [diagnosis for diagnosis in found if diagnosis]


def _diverged(record: Record) -> Diagnosis | None:
    bad = next((row for row in record.steps if not math.isfinite(row.loss + row.gradient_norm)), None)
    losses = _blocks(record)
    if bad:
        what = "the loss" if not math.isfinite(bad.loss) else "the gradient"
        evidence = f"{what} is no finite number at step {bad.step:,} (epoch {bad.epoch}), at learning rate {bad.lr:.3g}"
    elif 0 < len(record.steps) < MANY_STEPS and _ran_away(record):
        evidence = (
            f"the loss was {record.steps[0].loss:.3g} in the first step, and {record.steps[-1].loss:.3g} in step "
            f"{record.steps[-1].step:,}, the last: it rose; guessing has {record.guessing:.3g}"
        )
    elif len(record.steps) < FEW_STEPS:
        return None
    elif _rose(losses, record):
        worst = losses.index(max(losses))
        evidence = (
            f"the loss was {losses[0]:.3g} in the first steps, and {losses[worst]:.3g} around step "
            f"{worst * len(record.steps) // len(losses):,}: it rose"
        )
    elif _highest_ratio(record) > 0.05 and losses[-1] > 0.8 * record.guessing and _gained_nothing(losses, record):
        evidence = (
            f"a step in the middle of an epoch moved a layer's weights by {percent(_highest_ratio(record))} of their "
            "length, and the loss is "
            f"{losses[-1]:.3g} at the end; guessing has {record.guessing:.3g}"
        )
    else:
        return None
    highest = max(row.lr for row in record.steps)
    return Diagnosis("learning rate too high", evidence, f"try a tenth of it: --lr {highest / 10:.2g}")


def _crawled(record: Record) -> Diagnosis | None:
    losses, ratio = _blocks(record), _highest_ratio(record)
    if len(record.steps) < FEW_STEPS or _diverged(record) or losses[-1] < 0.5 * losses[0]:
        return None
    still_falls = losses[-1] <= 1.01 * min(losses)
    if not 0 < ratio < (1e-3 if still_falls else 1e-4):
        return None
    return Diagnosis(
        "learning rate too low",
        f"the loss only went from {losses[0]:.3g} to {losses[-1]:.3g}; the middle steps of the epochs "
        f"moved no layer's weights by more than {ratio:.1g} of their length, where about 1/1000 is usual",
        f"try ten times as much: --lr {10 * max(row.lr for row in record.steps):.2g}",
    )


def _stuck_updates(record: Record) -> Diagnosis | None:
    ratios: dict[str, float] = {}
    for row in record.layers:
        if row.kind in WEIGHTED and row.weights and row.update is not None:
            ratios[row.layer] = max(ratios.get(row.layer, 0.0), row.update / row.weights)
    off = {layer: ratio for layer, ratio in ratios.items() if not 1e-5 <= ratio <= 0.5}
    if not off or _diverged(record) or _crawled(record):
        return None
    layer, ratio = max(off.items(), key=lambda item: abs(math.log10(max(item[1], 1e-12) / 1e-3)))
    size = "hardly any" if ratio < 1e-3 else "most"
    return Diagnosis(
        "update-to-weight ratio off",
        f"a step moved the weights of {visible(layer)} by {ratio:.2g} of their length at the most, {size} of it; "
        "about 1/1000 is usual",
        "change the learning rate, or the size of that layer's first weights",
    )


def _silent(record: Record) -> Diagnosis | None:
    last = max((row.epoch for row in record.layers), default=0)
    rows = [row for row in record.layers if row.epoch == last and row.silent is not None and row.silent > 0.5]
    if not rows:
        return None
    worst = max(rows, key=lambda row: row.silent or 0.0)
    return Diagnosis(
        "dead ReLUs",
        f"{percent(worst.silent or 0.0)} of the units of {visible(worst.layer)} gave 0 for each of "
        f"{plural(worst.pictures, 'picture')} in epoch {worst.epoch}: no gradient reaches their weights",
        "a lower learning rate; else smaller first weights, a batch norm before the ReLU, or nn.LeakyReLU",
    )


def _vanishing(record: Record) -> Diagnosis | None:
    worst, by_epoch = (math.inf, 0, "", ""), attrgetter("epoch")
    for epoch, layers in itertools.groupby(sorted(record.layers, key=by_epoch), by_epoch):
        rows = [row for row in layers if row.kind in WEIGHTED and row.gradient is not None]
        if len(rows) > 2 and rows[-1].gradient:
            part = (rows[0].gradient or 0.0) / rows[-1].gradient
            worst = min(worst, (part, epoch, rows[0].layer, rows[-1].layer))
    if worst[0] > 1e-3:
        return None
    return Diagnosis(
        "vanishing gradients",
        f"in epoch {worst[1]} the gradient of {visible(worst[2])} is {worst[0]:.1g} times as long as that of "
        f"{visible(worst[3])}: the first layers do not learn",
        "ReLU instead of sigmoid or tanh, batch norm, connections around layers (resnet), or fewer layers",
    )


def _exploding(record: Record) -> Diagnosis | None:
    steps = [row for row in record.steps if math.isfinite(row.gradient_norm)]
    if not steps:
        return None
    worst = max(steps, key=lambda row: row.gradient_norm)
    if worst.gradient_norm < 1e3:
        return None
    return Diagnosis(
        "exploding gradients",
        f"the gradient is {worst.gradient_norm:.3g} long at step {worst.step:,} (epoch {worst.epoch}); "
        f"its median is {median(row.gradient_norm for row in steps):.3g}",
        "smaller first weights, batch norm, or a lower learning rate",
    )


def _wrong_start(record: Record) -> Diagnosis | None:
    if not record.steps or not record.steps[0].loss > 3 * record.guessing:
        return None
    return Diagnosis(
        "last layer starts wrong",
        f"the first loss is {record.steps[0].loss:.3g}; who knows nothing and says so has ln {record.classes} = "
        f"{record.guessing:.3g}",
        "smaller first weights in the last layer: it begins sure of what it cannot know, and first has to unlearn it",
    )


def _unmoved(record: Record) -> Diagnosis | None:
    scores = [row.score for row in record.epochs if row.score is not None]
    called = Counter(answer.predicted for answer in record.answers)
    if len(called) == 1 and len({answer.true for answer in record.answers}) > 1:
        ((name, n),) = called.items()
        evidence = f"each of the {n:,} validation pictures is called {visible(name)}"
    elif len(scores) > 2 and len(set(scores)) == 1 and scores[0] <= record.most_frequent:
        evidence = f"accuracy is {percent(scores[0])} after each of {len(scores)} epochs, no more than guessing gives"
    else:
        return None
    return Diagnosis(
        "a metric that does not move",
        evidence,
        "look whether the loss falls: if so, train longer; if not, change the learning rate, and look at the labels",
    )


def _worse(record: Record) -> Diagnosis | None:
    found = [(rival, name) for rival, name in record.rivals if rival.only_second > rival.only_first and rival.is_clear]
    if not found:
        return None
    n, (rival, name) = len(record.answers), max(found, key=lambda it: it[0].only_second - it[0].only_first)
    lead = (rival.only_second - rival.only_first) / n
    return Diagnosis(
        "worse than the simplest thing",
        f"of {plural(n, 'validation picture')} the network names {percent(record.accuracy, n)} rightly, and {name} "
        f"{percent(record.accuracy + lead, n)}: more than luck would do",
        "more epochs, another learning rate or another network; and look at the pictures and their labels",
    )


def _overfitted(record: Record) -> Diagnosis | None:
    rows = [row for row in record.epochs if row.valid_loss is not None and math.isfinite(row.valid_loss)]
    if len(rows) < FEW_EPOCHS:
        return None
    best, last = min(rows, key=lambda row: row.valid_loss or 0.0), rows[-1]
    low, high = best.valid_loss or 0.0, last.valid_loss or 0.0
    if high > 1.15 * low and high - low > 0.02 and last.train_loss < 0.9 * best.train_loss:
        return Diagnosis(
            f"overfitting from epoch {best.epoch} on",
            f"the loss on validation pictures was lowest then, {low:.3g}, and is {high:.3g} at the end, while that on "
            f"training pictures went on falling, from {best.train_loss:.3g} to {last.train_loss:.3g}",
            f"more pictures, augmentation, weight decay, a smaller network, or --epochs {best.epoch}",
        )
    far = high >= record.guessing or high > max(5 * last.train_loss, 0.7 * record.guessing)
    if not (far and last.train_loss < 0.85 * record.guessing and len(record.steps) >= FEW_STEPS):
        return None
    return Diagnosis(
        "overfitting",
        f"at the end the loss on training pictures is {last.train_loss:.3g}, and that on validation pictures "
        f"{high:.3g}; guessing has {record.guessing:.3g}: what was learned does not hold for other pictures",
        "more pictures, augmentation, weight decay or a smaller network; and look whether the labels are right",
    )


def _underfitted(record: Record) -> Diagnosis | None:
    losses = _blocks(record)
    if len(record.epochs) < FEW_EPOCHS or not losses or _diverged(record) or _crawled(record):
        return None
    last = record.epochs[-1]
    gap = abs((last.valid_loss or math.inf) - last.train_loss)
    if not (losses[-1] > 0.6 * record.guessing and gap < 0.2 * last.train_loss):
        return None
    return Diagnosis(
        "underfitting",
        f"the loss on the training pictures themselves ends at {losses[-1]:.3g}; guessing has {record.guessing:.3g}",
        "more epochs, another learning rate, a larger network, or less augmentation and weight decay",
    )


def _data(kinds: Sequence[str], illness: str, advice: str) -> Callable[[Record], Diagnosis | None]:
    """What `check` found of some kinds, as an illness."""

    def found(record: Record) -> Diagnosis | None:
        lines = [finding.line for finding in record.findings if finding.kind in kinds]
        return Diagnosis(illness, "; ".join(lines), advice) if lines else None

    return found


def _wrong_labels(record: Record) -> Diagnosis | None:
    if record.accuracy < 0.7 or record.accuracy <= record.most_frequent or _diverged(record):
        return None  # the network knows too little to be believed
    sure = sorted((it for it in record.answers if _is_surely_wrong(it)), key=lambda it: -it.loss)
    mistakes = sum(answer.true != answer.predicted for answer in record.answers)
    if len(sure) < max(3, 0.01 * len(record.answers)) or 2 * len(sure) < mistakes:
        return None
    named = ", ".join(f"{visible(it.name)} ({visible(it.true)}, called {visible(it.predicted)})" for it in sure[:3])
    return Diagnosis(
        "labels that look wrong",
        f"{len(sure):,} of {plural(mistakes, 'mistake')} on {plural(len(record.answers), 'validation picture')} are "
        f"sure ones, as they are where the label is wrong: {named}",
        "look at them; where the labels are wrong, so are some of the training pictures'",
    )


ILLNESSES: tuple[Callable[[Record], Diagnosis | None], ...] = (
    _diverged,
    _crawled,
    _exploding,
    _vanishing,
    _silent,
    _wrong_start,
    _stuck_updates,
    _unmoved,
    _worse,
    _underfitted,
    _overfitted,
    _data(("leaks",), "leaks", "--drop-leaks leaves those training pictures out"),
    _data(("label_conflicts",), "labels that contradict each other", "look at these pictures, and correct the labels"),
    _wrong_labels,
    _data(("imbalance",), "imbalance", "more pictures of the rare classes; read recall class by class, not accuracy"),
)


def _is_surely_wrong(answer: Answer) -> bool:
    """Whether the network is sure of another class, and all but excludes its own."""
    return not answer.right and answer.probability >= SURE and answer.loss >= -math.log(HOPELESS)


def _ran_away(record: Record) -> bool:
    """Whether the loss ends far above guessing, and far above where it began."""
    first, last = record.steps[0].loss, record.steps[-1].loss
    return last > 3 * record.guessing and last > 10 * first


def _rose(losses: list[float], record: Record) -> bool:
    """Whether a part of a training of enough steps is above the first and guessing: for good, or by far."""
    rise = max(losses) / max(losses[0], record.guessing)
    return len(record.steps) >= MANY_STEPS and (rise > 5 or (rise > 1.5 and losses[-1] >= 1.5 * losses[0]))


def _gained_nothing(losses: list[float], record: Record) -> bool:
    """Whether the loss did not fall, or in some step was so high that what it fell by is no gain."""
    highest, first = max(row.loss for row in record.steps), record.steps[0].loss
    return losses[-1] > 0.98 * first or highest > 3 * max(first, record.guessing)


def _blocks(record: Record) -> list[float]:
    """The mean loss of each of up to `BLOCKS` parts of the training, in their order."""
    losses = [row.loss for row in record.steps if math.isfinite(row.loss)]
    parts = min(BLOCKS, len(losses))
    ends = [len(losses) * part // parts for part in range(parts + 1)] if parts else []
    return [fmean(losses[start:end]) for start, end in itertools.pairwise(ends)]


def _highest_ratio(record: Record) -> float:
    """The greatest part of a layer's length by which its weights moved in a step that was looked at; 0 without one."""
    return max(
        (row.update / row.weights for row in record.layers if row.kind in WEIGHTED and row.weights and row.update),
        default=0.0,
    )
