"""A step as text: each of the seven with its formula, and the numbers beside it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..words import NO_BREAK, percent, plural, visible
from .autograd import operations

if TYPE_CHECKING:
    from .trace import Trace

WIDTH = 80
MOST_LETTERS = 19  # of a name in a table
MOST_OF_CLASS = 10  # letters of a class's name
MOST_PICTURES = 8  # those with the greatest loss
MOST_LAYERS = 24
MOST_OPERATIONS = 30


def trace_text(trace: Trace) -> str:
    """The whole step, about a screen long; names of pictures and classes with what hides in them made visible."""
    steps = (_initialise, _predict, _loss, _gradient, _step, _repeat, _stop)
    head = (
        f"Step {trace.step:,}: epoch {trace.epoch}, batch {trace.step_in_epoch + 1} of {trace.steps_per_epoch}; "
        f"{trace.optimizer}, {_rates(trace)}"
    )
    return "\n\n".join([head, *(step(trace) for step in steps)]).replace(NO_BREAK, " ")


def _rates(trace: Trace) -> str:
    rates = sorted({trace.lrs[name] for name in trace.gradients})
    if len(rates) < 2:
        return f"learning rate {trace.lr:.4g}"
    return f"learning rates {rates[0]:.4g} to {rates[-1]:.4g}, by parameter group"


def _initialise(trace: Trace) -> str:
    rows = [
        (_name(part.name), trace.kinds.get(part.name, ""), f"{part.weights:,}", _short(part.weight))
        for part in trace.layers
    ]
    weights = f"{plural(sum(part.weights for part in trace.layers), 'weight')} as this step found them"
    return _titled(1, "initialise", weights, _table(("layer", "", "weights", "length"), rows, MOST_LAYERS))


def _predict(trace: Trace) -> str:
    shapes = f"preds = model(xb): {_shape(trace.xb)} → {_shape(trace.preds)}"
    rows = sorted(trace.pictures, key=lambda row: -(row.loss or 0.0))
    shown = [
        (_name(row.name), _name(row.true, MOST_OF_CLASS), _name(row.called or "", MOST_OF_CLASS),
         _percent(row.probability), _percent(row.probability_of_true), _short(row.loss))
        for row in rows
    ]  # fmt: skip
    head = ("picture, by its loss", "is", "called", "sure", "own class", "loss")
    return _titled(2, "predict", shapes, _table(head, shown, MOST_PICTURES))


def _loss(trace: Trace) -> str:
    mean = f", mean over {plural(len(trace.losses), 'picture')}" if _is_mean(trace) else ""
    return _titled(3, "loss", f"loss = {trace.loss_name}(preds, yb) = {trace.loss:.6g}{mean}")


def _gradient(trace: Trace) -> str:
    rows = [(_name(part.name), _short(part.gradient), _bar(part.gradient, trace.layers)) for part in trace.layers]
    return _titled(
        4,
        "gradient",
        f"loss.backward(): for each weight one number, {_short(trace.gradient_norm)} long in all",
        _table(("layer", "length", ""), rows, MOST_LAYERS),
        "It came, from the loss back to the weights (| is where another way goes on):\n" + _path(trace),
        f"Without a gradient: {', '.join(map(visible, trace.without_gradient))}" if trace.without_gradient else "",
    )


def _step(trace: Trace) -> str:
    formula = f"after = before - lr × {'gradient' if trace.is_plain else 'direction'}"
    made = f"direction: what {trace.optimizer} makes of the gradients so far and the weight decay"
    rows = [
        (_name(it.parameter + "".join(f"[{i}]" for i in it.place)), _signed(it.before), _signed(it.gradient),
         "" if trace.is_plain else _signed(it.direction), _signed(it.after), _percent(part.ratio))
        for it, part in zip(trace.moved, trace.layers, strict=True)
    ]  # fmt: skip
    head = ("most moved of layer", "before", "gradient", "" if trace.is_plain else "direction", "after", "layer")
    told = "layer: by how much of their length its weights moved"
    return _titled(5, "step", formula, "" if trace.is_plain else made, _table(head, rows, MOST_LAYERS), told)


def _repeat(trace: Trace) -> str:
    return _titled(6, "repeat", f"the same batch again: loss {trace.loss:.6g} → {trace.loss_after:.6g}")


def _stop(trace: Trace) -> str:
    before, after = trace.valid
    if not before:
        return _titled(7, "stop", "there is no validation set")
    rows = [f"{visible(name)} {value:.6g} → {after.get(name, math.nan):.6g}" for name, value in before.items()]
    return _titled(7, "stop", "not yet, or now? The validation set:", *rows)


def _titled(number: int, name: str, what: str, *more: str) -> str:
    body = "\n".join(textwrap.indent(part, "    ") for part in more if part)
    return f"{number} {name:<11}{what}" + (f"\n{body}" if body else "")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], most: int) -> str:
    """Columns that stand under their names: the first ones to the left, figures to the right."""
    shown = [head, *rows[:most]]
    widths = [max(len(row[column]) for row in shown) for column in range(len(head))]
    figures = [column > 0 and any(row[column][:1].isdigit() or row[column][:1] in "-+<>" for row in rows if row[column])
               for column in range(len(head))]  # fmt: skip
    lines = [
        "  ".join(
            f"{cell:>{width}}" if right else f"{cell:<{width}}"
            for cell, width, right in zip(row, widths, figures, strict=True)
        )
        for row in shown
    ]
    if len(rows) > most:
        lines.append(f"… and {len(rows) - most} more")
    return "\n".join(line.rstrip() for line in lines)


def _path(trace: Trace) -> str:
    steps = operations(trace.graph)
    words = [
        (" → " if it.follows else " | ")
        + (f"{it.name} ({', '.join(map(visible, it.weights))})" if it.weights else it.name)
        for it in steps
    ]
    rest = [f" → … {len(words) - MOST_OPERATIONS} more"] if len(words) > MOST_OPERATIONS else []
    way = "".join([*words[:MOST_OPERATIONS], *rest])[3:]
    return "\n".join(textwrap.wrap(way, WIDTH - 4, break_long_words=False))


def _bar(value: float, parts: Iterable[object]) -> str:
    most = max((getattr(part, "gradient", 0.0) for part in parts), default=0.0)
    return "█" * round(30 * value / most) if 0 < most < math.inf and value <= most else ""


def _is_mean(trace: Trace) -> bool:
    return bool(len(trace.losses)) and abs(float(trace.losses.mean()) - trace.loss) <= 1e-3 * abs(trace.loss) + 1e-6


def _shape(value: Any) -> str:
    """The shape of a tensor, or of each that a dict or a tuple holds."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{visible(str(key))} {_shape(part)}' for key, part in value.items())}}}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_shape, value))})"
    return "×".join(map(str, getattr(value, "shape", [type(value).__name__])))


def _name(name: str, most: int = MOST_LETTERS) -> str:
    """A name as a table has room for it: its beginning, and more of its end, where files and weights differ."""
    shown = visible(name)
    return shown if len(shown) <= most else f"{shown[: most // 3]}…{shown[most // 3 + 1 - most :]}"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _signed(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:+.6f}" if 1e-4 <= abs(value) < 1e4 or not value else f"{value:+.3e}"


def _percent(value: float | None) -> str:
    return "" if value is None else percent(value)
