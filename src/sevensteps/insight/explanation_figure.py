"""The answer to one picture explained as a figure: its pixels, its likes, how sure it is, its way through training."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..words import NO_BREAK, percent
from .drawing import draw, panels, plain, show_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .explanation import Explanation

MOST_CLASSES = 10
MOST_SPOTS = 32  # to a side: single pixels of a photograph are too many to be seen


def explanation_figure(it: Explanation) -> Figure:
    """Its pixels, the training pictures most like it, how sure it is, and its way through the training."""
    sure = percent(float(it.calibrated.max())).replace(NO_BREAK, " ")
    verdict = {None: "", True: ", rightly", False: f", and is {plain(it.true or '')}"}[it.is_right]
    figure, axes = panels(4, f"Called {plain(it.called)} ({sure}){verdict}", rows=3, size=(3.6, 3.2))
    _draw_pixels(axes[:4], it)
    how = "to the network" if it.neighbours.features else "pixel by pixel"
    for axis in axes[4:8]:
        axis.axis("off")
    for number, (axis, near, pixels) in enumerate(zip(axes[4:8], it.most_like, it.nearest, strict=False), start=1):
        show_picture(axis, pixels, f"training picture no. {number}\nmost alike {how}: {plain(near.true)}")
    _draw_probabilities(axes[8], it)
    _draw_archetypes(axes[9], it)
    _draw_epochs(axes[10], it)
    axes[11].axis("off")
    axes[11].set_title("how it came to be right" if it.is_right else "what would have shown it", fontsize=10)
    sentences = [plain(sentence.replace(NO_BREAK, " "), 300) for sentence in it.would_have_shown_it]
    told = "\n\n".join(textwrap.fill(sentence, 42) for sentence in sentences)
    axes[11].text(0, 0.97, told, fontsize=9, va="top", transform=axes[11].transAxes)
    return figure


def _draw_pixels(axes: list[Axes], it: Explanation) -> None:
    show_picture(axes[0], it.found.pixels, f"the picture{'' if it.true is None else f', a {plain(it.true)}'}")
    seen = it.attributions
    for axis, values, title in (
        (axes[1], seen.integrated, "integrated gradients"),
        (axes[2], seen.gradient_input, "gradient × input"),
    ):
        block = max(1, min(values.shape[1:]) // MOST_SPOTS)
        shown = F.avg_pool2d(values.sum(0)[None, None], block)[0, 0] * block**2  # what each spot does in all
        show_picture(axis, shown, f"{title}:\nred for {plain(it.called)}, blue against", high=_high(shown), signed=True)
    if seen.activation is None:
        axes[3].axis("off")
        return
    show_picture(axes[3], it.found.pixels.float().mean(0), f"class activation: where it\nsees {plain(it.called)}")
    axes[3].imshow(seen.activation.numpy(), cmap="inferno", alpha=0.55, vmin=0)


def _high(values: Tensor) -> float:
    """The value shown in full colour: few pixels lie beyond it."""
    return float(torch.quantile(values.abs().flatten()[: 1 << 20], 0.99)) or 1.0


def _draw_probabilities(axis: Axes, it: Explanation) -> None:
    shown = it.probs.argsort(descending=True)[:MOST_CLASSES].tolist()
    for side, probs, colour, name in ((-0.2, it.calibrated, "C0", "calibrated"), (0.2, it.probs, "C7", "raw")):
        places = [place + side for place in range(len(shown))]
        axis.barh(places, probs[shown].tolist(), height=0.38, color=colour, label=name)
    axis.set_yticks(range(len(shown)), [plain(it.vocab[i]) for i in shown], fontsize=8)
    axis.invert_yaxis()
    axis.set(xlim=(0, 1), xlabel="probability")
    axis.set_title(_of_all("how sure it is", len(shown), it), fontsize=10)
    axis.legend(fontsize=8, loc="lower right")


def _of_all(title: str, shown: int, it: Explanation) -> str:
    return title if shown == len(it.vocab) else f"{title}\n({shown} of {len(it.vocab)} classes)"


def _draw_archetypes(axis: Axes, it: Explanation) -> None:
    rows = list(it.archetypes.items())[:MOST_CLASSES]
    axis.barh(range(len(rows)), [distance for _, distance in rows], color="C1")
    axis.set_yticks(range(len(rows)), [plain(name) for name, _ in rows], fontsize=8)
    axis.invert_yaxis()
    axis.set_title(_of_all("how far from each class's average picture", len(rows), it), fontsize=10)
    axis.set_xlabel("mean absolute difference of pixels")


def _draw_epochs(axis: Axes, it: Explanation) -> None:
    epochs = [row.epoch for row in it.epochs]
    if it.true is None:
        draw(axis, "through the training", "after epoch", "probability of what it was called",
             (epochs, [row.probability for row in it.epochs], "C0o-", ""))  # fmt: skip
    else:
        draw(axis, f"through the training: how sure of {plain(it.true)}", "after epoch", "its raw probability",
             (epochs, [row.probability_of_true for row in it.epochs], "C0-", ""))  # fmt: skip
        for right, style, name in ((True, "C2o", "called right"), (False, "C3x", "called wrong")):
            rows = [row for row in it.epochs if row.right is right]
            axis.plot([row.epoch for row in rows], [row.probability_of_true or 0.0 for row in rows], style, label=name)
        axis.legend(fontsize=8)
    axis.set_ylim(-0.05, 1.05)
