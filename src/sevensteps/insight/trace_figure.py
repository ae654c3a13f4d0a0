"""A step as one picture: the batch, its losses, the gradient and its path, the update, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from .autograd import Operation, operations
from .drawing import draw, panels, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .trace import Trace, TracedPart

MOST_PICTURES, COLUMNS, TILE_PX = 15, 5, 96
MOST_LAYERS = 16  # those with the most of what is shown
MOST_OPERATIONS = 14
REST = Operation("…", [], True)
HEALTHY = 1e-3  # update to weight, a rule of thumb: Karpathy, CS231n notes, "Ratio of weights:updates"


def trace_figure(trace: Trace) -> Figure:
    """Six panels, in the order of the steps."""
    title = f"Step {trace.step:,} (epoch {trace.epoch}): {trace.optimizer}, learning rate {trace.lr:.3g}"
    figure, axes = panels(3, title, rows=2, size=(5.2, 4.4))
    _draw_batch(axes[0], trace)
    _draw_losses(axes[1], trace)
    _draw_path(axes[2], trace)
    share = [(part, part.gradient) for part in trace.layers]
    _draw_layers(axes[3], share, trace, "4 gradient: its length, layer by layer", "length (L2 norm)")
    ratios = [(part, part.ratio) for part in trace.layers if part.ratio and math.isfinite(part.ratio)]
    unit = "update / weights (L2 norms); dashed: 1/1000, a rule of thumb"
    _draw_layers(axes[4], ratios, trace, "5 step: how far each layer's weights moved", unit)
    axes[4].axvline(HEALTHY, color="C1", linestyle="--")
    if ratios:
        axes[4].set_xscale("log")
        low, high = min(value for _, value in ratios), max(value for _, value in ratios)
        axes[4].set_xlim(min(low, HEALTHY) / 3, max(high, HEALTHY) * 3)
    _draw_outcome(axes[5], trace)
    return figure


def _draw_batch(axis: Axes, trace: Trace) -> None:
    """The pictures with the greatest loss, as the model saw them, and what it called them."""
    losses = trace.losses if len(trace.losses) else torch.zeros(len(trace.yb))
    chosen = losses.argsort(descending=True)[:MOST_PICTURES].tolist()
    axis.set_title(f"2 predict: {len(chosen)} of the {len(trace.yb)} pictures, greatest loss first", fontsize=10)
    axis.axis("off")
    if trace.xb.ndim != 4 or trace.xb.shape[1] not in (1, 3):
        axis.text(0.5, 0.5, "the inputs are no pictures", ha="center", transform=axis.transAxes)
        return
    rows = -(-len(chosen) // COLUMNS)
    for place, number in enumerate(chosen):
        row, column = divmod(place, COLUMNS)
        tile = axis.inset_axes((column / COLUMNS, 1 - (row + 0.98) / rows, 0.94 / COLUMNS, 0.68 / rows))
        image = F.interpolate(trace.xb[number : number + 1].float(), size=TILE_PX, mode="nearest")[0].clamp(0, 1)
        tile.imshow(image.permute(1, 2, 0).squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1)
        tile.set(xticks=[], yticks=[])
        picture = trace.pictures[number]
        is_wrong = picture.called not in (None, picture.true)
        said = f"\ncalled {plain(picture.called or '', 11)}" if is_wrong else ""
        tile.set_title(plain(picture.true) + said, fontsize=6.5, color="C3" if is_wrong else "black", pad=2)


def _draw_losses(axis: Axes, trace: Trace) -> None:
    title, loss = "3 loss, 6 repeat: what the step did to the batch", trace.loss_name.replace("_", " ")
    if not len(trace.losses):
        draw(axis, title, "", loss, ([0, 1], [trace.loss, trace.loss_after], "C0o-", "loss of the batch"))
        axis.set_xticks([0, 1], ["before", "after"])
        return
    order = trace.losses.argsort(descending=True)
    places = range(1, len(order) + 1)
    before, after = trace.losses[order], trace.losses_after[order]
    axis.vlines(places, before, after, color="C7", linewidth=1, alpha=0.6)
    draw(axis, title, "pictures of the batch, greatest loss first", f"{loss} of each picture",
         (places, before, "C0.", f"before, mean {trace.loss:.4g}"),
         (places, after, "C1.", f"after, mean {trace.loss_after:.4g}"))  # fmt: skip


def _draw_path(axis: Axes, trace: Trace) -> None:
    """The operations from the loss down, and the weights that get their gradients from them."""
    steps = operations(trace.graph)
    shown = steps if len(steps) <= MOST_OPERATIONS else [*steps[: MOST_OPERATIONS - 4], REST, *steps[-3:]]
    axis.set_title("4 gradient: the way back, from the loss to the weights", fontsize=10)
    axis.axis("off")
    height = 1 / max(len(shown), 1)
    box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "C0"}
    for row, (name, weights, follows) in enumerate(shown):
        y = 1 - (row + 0.5) * height
        if name == "…":
            axis.text(0.26, y, f"… {len(steps) - len(shown) + 1} more …", ha="center", va="center", fontsize=8)
        else:
            axis.text(0.26, y, plain(name, 22), ha="center", va="center", fontsize=8, bbox=box)
        if follows:
            axis.annotate("", (0.26, y + 0.36 * height), (0.26, y + 0.66 * height),
                          arrowprops={"arrowstyle": "->", "color": "C7"})  # fmt: skip
        if weights:
            axis.annotate(", ".join(plain(weight, 20) for weight in weights), (0.46, y), (0.56, y), va="center",
                          fontsize=8, color="C1", arrowprops={"arrowstyle": "<-", "color": "C1"})  # fmt: skip


def _draw_layers(axis: Axes, values: Sequence[tuple[TracedPart, float]], trace: Trace, title: str, unit: str) -> None:
    values = [pair for pair in values if math.isfinite(pair[1])]
    kept = sorted(values, key=lambda pair: -pair[1])[:MOST_LAYERS]
    rows = [pair for pair in values if pair in kept]
    names = [f"{plain(part.name, 18)} {trace.kinds.get(part.name, '')}" for part, _ in rows]
    axis.barh(range(len(rows)), [value for _, value in rows], color="C0")
    axis.set_yticks(range(len(rows)), names, fontsize=8)
    axis.invert_yaxis()
    axis.set_title(title if len(rows) == len(values) else f"{title} ({len(rows)} of {len(values)})", fontsize=10)
    axis.set_xlabel(unit)


def _draw_outcome(axis: Axes, trace: Trace) -> None:
    """The batch and the validation set before and after, as a small table."""
    from matplotlib.transforms import Bbox

    before, after = trace.valid
    rows = [("loss of the batch", trace.loss, trace.loss_after)]
    rows += [(f"{plain(name, 24)} of valid", value, after.get(name, float("nan"))) for name, value in before.items()]
    axis.set_title("6 repeat, 7 stop: what came of it", fontsize=10)
    axis.axis("off")
    height = 0.12 * (len(rows) + 1)
    table = axis.table(
        [[name, f"{old:.5g}", f"{new:.5g}", f"{new - old:+.2g}"] for name, old, new in rows],
        colLabels=["", "before", "after", "change"],
        colWidths=[0.46, 0.18, 0.18, 0.18],
        cellLoc="right",
        bbox=Bbox.from_bounds(0, 1 - height, 1, height),
        edges="horizontal",
    )
    table.auto_set_font_size(False)
    table.set_fontsize(10)
