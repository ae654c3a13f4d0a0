"""The answer to one picture explained as text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..words import NO_BREAK, percent, visible

if TYPE_CHECKING:
    from .explanation import Explanation
    from .influence import Influence
    from .neighbours import Neighbour

MOST_CLASSES = 5
MOST_EPOCHS = 40
MOST_PICTURES = 5
WIDTH = 80
STEP = 0.001  # a learning rate: the loss of so short a step is nearly what its gradient promises
BAR = 30  # characters for a probability of 1


def explanation_text(it: Explanation) -> str:
    """All of it, about a screen long; names with what hides in them made visible."""
    parts = [_answer(it), _looks_like(it), _pixels(it), _epochs(it), _otherwise(it)]
    lines = "\n\n".join(parts).replace(NO_BREAK, " ").split("\n")
    return "\n".join(_wrapped(line) for line in lines)


def _wrapped(line: str) -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent="    ", break_on_hyphens=False) if len(line) > WIDTH else line


def _answer(it: Explanation) -> str:
    verdict = {None: "", True: ", rightly", False: f", and is {visible(it.true or '')}"}[it.is_right]
    known = f" ({visible(it.found.known_by)})" if it.found.known_by else ", a picture that is none of the run's"
    head = f"{visible(it.found.name)}{known}\nis called {visible(it.called)}{verdict}"
    shown = it.probs.argsort(descending=True)[:MOST_CLASSES].tolist()
    if it.found.true is not None and it.found.true not in shown:
        shown.append(it.found.true)
    width = max(len(visible(it.vocab[i])) for i in shown)
    rows = [
        f"    {visible(it.vocab[i]):<{width}}  {percent(float(it.probs[i])):>7}  {percent(float(it.calibrated[i])):>7}"
        f"  {'█' * round(BAR * float(it.calibrated[i]))}"
        for i in shown
    ]
    title = f"    {'':<{width}}  {'raw':>7}  {'calibrated':>7} (temperature {it.temperature.value:.3g})"
    return "\n".join([head, title, *rows])


def _looks_like(it: Explanation) -> str:
    rows = [f"{visible(name)} {distance:.4f}" for name, distance in list(it.archetypes.items())[:MOST_CLASSES]]
    lines = [f"Nearest average pictures of a class, pixel by pixel: {', '.join(rows)}"]
    if it.neighbours.same:
        lines.append(f"In the training set itself: {_named(it.neighbours.same)}")
    if it.neighbours.features:
        lines.append(f"Training pictures that the network finds most alike: {_named(it.neighbours.features)}")
    lines.append(f"Training pictures with the nearest pixels: {_named(it.neighbours.pixels)}")
    if it.influences:
        step = f"A step at rate {STEP} on one training picture, of the last layer alone,"
        lines.append(f"{step} would make {visible(it.called)} surer most with {_pulling(it.influences.helping)}")
        lines.append(f"and less sure most with {_pulling(it.influences.opposing)} (by so much less or more loss)")
    return "\n".join(lines)


def _named(pictures: Sequence[Neighbour]) -> str:
    return ", ".join(f"{visible(one.name)} ({visible(one.true)})" for one in pictures[:MOST_PICTURES]) or "none"


def _pulling(pictures: Sequence[Influence]) -> str:
    most = pictures[:MOST_PICTURES]
    return (
        ", ".join(f"{visible(one.name)} ({visible(one.true)}) by {STEP * abs(one.strength):.2g}" for one in most)
        or "none"
    )


def _pixels(it: Explanation) -> str:
    seen = it.attributions
    share = float(seen.integrated.clamp(min=0).sum()), -float(seen.integrated.clamp(max=0).sum())
    return (
        f"The pixels give {visible(it.called)} a score of {seen.score:.4g}, a black picture {seen.black_score:.4g}. By "
        f"integrated gradients {share[0]:.4g} speaks for it and {share[1]:.4g} against: together that should be the "
        f"difference of the two scores, and misses it by {seen.completeness_error:.2g}. The figure shows where."
    )


def _epochs(it: Explanation) -> str:
    lines = ["After epoch, called (and the probability of its own class)"]
    every = max(1, -(-len(it.epochs) // MOST_EPOCHS))
    for row in it.epochs:
        if row.epoch % every and row.epoch not in (it.kept_after, it.epochs[-1].epoch):
            continue
        own = "" if row.probability_of_true is None else f"  ({percent(row.probability_of_true)})"
        mark = {None: " ", True: "✓", False: "✗"}[row.right]
        lines.append(f"    {row.epoch:>3}  {mark} {visible(row.called)} {percent(row.probability)}{own}")
    came = f"came to the run's model after epoch {it.kept_after}, to the last bit"
    proof = came if it.kept_after is not None else f"did NOT come to the run's model: {visible(it.why)}"
    return "\n".join([*lines, f"The training was made again for that, and {proof}"])


def _otherwise(it: Explanation) -> str:
    title = "How it came to be right" if it.is_right else "What would have shown it"
    return "\n".join([title, *(f"    {sentence}" for sentence in it.would_have_shown_it)])
