"""Exhibits about pixels: what a picture is, how far two are apart, and many numbers at once."""

from __future__ import annotations

import timeit
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from PIL import Image
from torch import Tensor

from ..data.dataloaders import DataLoaders
from ..insight.drawing import panels, plain, show_picture
from ..interval import Accuracy
from .exhibit import Between, Shown, Which, exhibit, pick, pictures, refusal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LUMA = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)  # how bright red, green and blue look: ITU-R BT.601
TINT = torch.tensor([1.0, 0.6, 0.1]).view(3, 1, 1)  # orange
MOST_VALUES = 20_000_000  # pixel values looked at, for a large validation set


@exhibit(1, "How is a greyscale image represented on a computer? How about a colour image?")
def pixels_are_numbers(dls: DataLoaders, picture: Which = 0) -> Shown:
    """A greyscale image is a grid of whole numbers, one byte a pixel: 0 is black, 255 is white, between them is grey.

    MNIST's files are so too: their background is 0 and their strokes go up to 255, white on black. A plot with a
    reversed colour map paints them black on white, but the numbers stay. A colour image is three such grids of one
    size, its channels: how much red, green and blue light each pixel has. All three 0 is black, all three 255 is white.
    So the tensors have the shapes height × width, and 3 × height × width.
    """
    pixels, _ = pictures(dls)
    given = pick(pixels, picture)
    is_grey = len(given) == 1
    grey = given[0] if is_grey else (given * LUMA).sum(0).round().byte()
    colour = (given * TINT).round().byte() if is_grey else given
    black, white = (Image.new("L", (1, 1), value).convert("RGB").getpixel((0, 0)) for value in (0, 255))
    findings = {
        "grey_shape": list(grey.shape), "grey_bytes": grey.nbytes,
        "smallest": int(grey.min()), "largest": int(grey.max()),
        "colour_shape": list(colour.shape), "colour_bytes": colour.nbytes,
        "red_green_blue_of_0": black, "red_green_blue_of_255": white,
        "made_here": "the colour image, by tinting" if is_grey else "the grey image, by weighing red, green and blue",
    }  # fmt: skip
    return Shown(findings, _draw_numbers(grey, colour, is_grey))


@exhibit(3, 'How does the "pixel similarity" approach to classifying digits work?')
def pixel_similarity(dls: DataLoaders, picture: Which = 0, distance: Literal["l1", "rmse"] = "l1") -> Shown:
    """Average the training pictures of each class, pixel by pixel; a new picture belongs to the nearest average.

    No weight is trained: the averages are the whole model. "Near" is the mean absolute difference of the pixels, or the
    root of the mean squared one. It is a baseline: what a network must beat to be worth its trouble.
    """
    vocab = dls.vocab or []
    train, labels = pictures(dls)
    averages = torch.stack([train[labels == i].float().mean(0) / 255 for i in range(len(vocab))])

    valid, targets = pictures(dls, "valid", MOST_VALUES)
    x = valid.float() / 255
    if distance == "l1":
        columns = [(x - average).abs().mean((1, 2, 3)) for average in averages]
    else:
        columns = [(x - average).square().mean((1, 2, 3)).sqrt() for average in averages]
    distances = torch.stack(columns, dim=1)  # pictures × classes
    predicted = distances.argmin(1)
    right = Accuracy(int((predicted == targets).sum()), len(targets))
    nearest = pick(distances, picture).argsort()
    findings = {
        "accuracy": right.value, "interval": list(right.interval), "n": right.n, "guessing_gives": 1 / len(vocab),
        "class": vocab[targets[picture]], "answer": vocab[nearest[0]],
        "distances": {vocab[i]: round(distances[picture, i].item(), 4) for i in nearest.tolist()},
    }  # fmt: skip
    return Shown(findings, _draw_nearest(valid[picture], averages[nearest], findings))


@exhibit(7, "What are RMSE and L1 norm?")
def norms(dls: DataLoaders, picture: Which = 0, other: Which = 1) -> Shown:
    """Two ways to say with one number how far two pictures are apart, from the differences d of their n pixels.

    The L1 norm is the sum of |d|; divided by n it is the mean absolute difference, which chapter 4 and `F.l1_loss` use.
    The L2 norm is √(sum of d²); RMSE, the root mean squared error, is √(mean of d²), so it is the L2 norm divided by √n
    and not the norm itself. The norms grow with the number of pixels; the two means do not. Squaring gives one large
    difference more weight than many small ones, so RMSE is never below the mean absolute difference.
    """
    pixels, _ = pictures(dls)
    a, b = pick(pixels, picture) / 255.0, pick(pixels, other) / 255.0

    def measure(d: Tensor) -> dict[str, float]:
        n = d.numel()
        l1, l2 = d.abs().sum(), d.square().sum().sqrt()
        return {"L1 norm": l1.item(), "L2 norm": l2.item(), "mean |d|": (l1 / n).item(), "RMSE": (l2 / n**0.5).item()}

    d = (a - b).double()
    copies = (1, 2, 4, 8, 16)  # the same two pictures, laid side by side so many times
    grown = [measure(d.repeat(1, 1, k)) for k in copies]
    growth = {name: grown[-1][name] / max(grown[0][name], 1e-12) for name in grown[0]}
    findings = {"n": d.numel(), **grown[0], "times_greater_with_16_times_the_pixels": growth}
    return Shown(findings, _draw_norms(a, b, copies, grown))


@exhibit(8, "How can you apply a calculation on thousands of numbers at once, much faster than a Python loop?")
def numbers_at_once(dls: DataLoaders, runs: Annotated[int, Between(1, 50)] = 5) -> Shown:
    """Put them in a tensor and say the calculation once for all of them: its loop runs in compiled code.

    A Python loop looks up types and makes an object for each number; a tensor holds plain numbers in a row, and one
    call works through them with vector instructions, on several cores or on a GPU. The call itself costs some
    microseconds, so for ten numbers the loop may win. How many times faster it is depends on the calculation, on how
    many numbers there are and on the machine: what this one needed is measured here, the best of several runs.
    """
    pixels, _ = pictures(dls)
    values = pixels.flatten()[:60_000] / 255.0
    rows: list[dict[str, float]] = []
    for n in (10, 100, 1_000, 10_000, 30_000):  # from 32,768 on torch takes several cores: on a busy machine it waits
        n = min(n, len(values) // 2)
        a, b = values[:n], values[-n:]
        listed_a, listed_b = a.tolist(), b.tolist()

        def loop(x: list[float] = listed_a, y: list[float] = listed_b) -> float:
            return sum(abs(p - q) for p, q in zip(x, y, strict=True)) / len(x)

        def at_once(x: Tensor = a, y: Tensor = b) -> float:
            return (x - y).abs().mean().item()

        often = max(5, 2_000 // n)  # so that what is timed lasts longer than the clock's tick
        slow, fast = (min(timeit.repeat(f, number=often, repeat=runs)) / often for f in (loop, at_once))
        rows.append({"numbers": n, "loop_seconds": slow, "tensor_seconds": fast, "times_faster": slow / fast,
                     "they_differ_by": abs(loop() - at_once())})  # fmt: skip
    findings = {"sizes": rows, "best_of_runs": runs, "torch": torch.__version__, "threads": torch.get_num_threads()}
    return Shown(findings, _draw_times(rows, runs))


@exhibit(10, "What is broadcasting?")
def broadcasting(dls: DataLoaders, count: Annotated[int, Between(2, 256)] = 16) -> Shown:
    """The rule that lets tensors of different shapes be added, compared and so on without copying either of them.

    Line the shapes up from the right. Two sizes fit where they are equal, or where one is 1 or missing; the tensor with
    the 1 is then read again and again along that axis, as if it were that long. Nothing is copied: the expanded tensor
    looks at the same memory, with a stride of 0, so a step along the axis moves by no number at all. Sizes that differ,
    neither of them 1, do not fit, and torch refuses.
    """
    pixels, _ = pictures(dls)
    x = pixels[:: -(-len(pixels) // count)] / 255.0  # pictures × channels × height × width
    mean = x.mean(0)  # channels × height × width
    difference = x - mean
    one_by_one = torch.stack([picture - mean for picture in x])
    expanded = mean.expand_as(x)
    findings = {
        "pictures": list(x.shape), "mean_picture": list(mean.shape), "difference": list(difference.shape),
        "same_as_one_by_one": bool(torch.equal(difference, one_by_one)),
        "expanded_strides": list(expanded.stride()), "same_memory": expanded.data_ptr() == mean.data_ptr(),
        "bytes_of_the_mean_picture": expanded.untyped_storage().nbytes(), "bytes_of_copies": x.nbytes,
        "refused": refusal(lambda: x - torch.zeros(x.shape[-1] + 1)),
    }  # fmt: skip
    return Shown(findings, _draw_broadcast(x, mean, difference))


def _draw_numbers(grey: Tensor, colour: Tensor, is_grey: bool) -> Figure:
    figure, axes = panels(3, "A picture is a grid of numbers, a colour picture is three", rows=2, size=(3.6, 3.6))
    height, width = grey.shape
    side = min(10, height, width)
    top, left = (height - side) // 2, (width - side) // 2
    show_picture(axes[0], grey, f"grey: {height} × {width} numbers" + ("" if is_grey else ", made from the colours"))
    x, y = [left - 0.5, left + side - 0.5], [top - 0.5, top + side - 0.5]
    axes[0].plot([x[0], x[1], x[1], x[0], x[0]], [y[0], y[0], y[1], y[1], y[0]], color="C1", clip_on=False)
    crop = grey[top : top + side, left : left + side]
    show_picture(axes[1], crop, "inside the box: 0 is black, 255 is white")
    for row, line in enumerate(crop.tolist()):
        for column, value in enumerate(line):
            ink = "black" if value > 127 else "white"
            axes[1].text(column, row, value, ha="center", va="center", fontsize=8, color=ink)
    show_picture(axes[2], colour, f"colour: 3 × {height} × {width} numbers" + (", tinted here" if is_grey else ""))
    for axis, channel, name in zip(axes[3:], colour, ("red", "green", "blue"), strict=True):
        show_picture(axis, channel, f"its {name} channel: 0 is no {name}, 255 is full")
    return figure


def _draw_nearest(picture: Tensor, averages: Tensor, findings: dict[str, Any]) -> Figure:
    columns = min(6, 1 + len(averages))
    rows = min(2, -(-(1 + len(averages)) // columns))
    figure, axes = panels(columns, "Which class's average picture is nearest?", rows=rows, size=(2, 2.1))
    show_picture(axes[0], picture, f"a picture of class\n{plain(findings['class'])}")
    names = list(findings["distances"].items())
    for axis, average, (name, distance) in zip(axes[1:], averages, names, strict=False):
        show_picture(axis, average, f"{plain(name)}\nat {distance:.3f}", high=1)
    axes[1].title.set(color="C1", fontweight="bold")
    for axis in axes[1 + len(averages) :]:
        axis.axis("off")
    result = f"right for {findings['accuracy']:.1%} of {findings['n']:,} validation pictures"
    figure.supxlabel(f"the classes' average pictures, nearest first\n{result}", fontsize=10)
    return figure


def _draw_norms(a: Tensor, b: Tensor, copies: tuple[int, ...], grown: list[dict[str, float]]) -> Figure:
    figure, axes = panels(4, "How far apart are two pictures?", size=(3.2, 3))
    show_picture(axes[0], a, "a", high=1)
    show_picture(axes[1], b, "b", high=1)
    show_picture(axes[2], a - b, "d = a - b: red above 0, blue below", high=1, signed=True)
    for name, style in {"L1 norm": "C0o-", "L2 norm": "C1s-", "mean |d|": "C0o--", "RMSE": "C1s--"}.items():
        axes[3].plot(copies, [one[name] for one in grown], style, label=name)
    axes[3].set(xscale="log", yscale="log" if grown[0]["RMSE"] else "linear")  # equal pictures: all is 0
    axes[3].set_title("norms grow, means stay", fontsize=10)
    axes[3].set(xlabel="copies of both pictures, side by side", ylabel="value")
    axes[3].set_xticks(copies, map(str, copies))
    axes[3].set_ylim(top=100 * max(grown[-1].values()) + 1)
    axes[3].legend(fontsize=8, ncol=2, loc="upper center", handlelength=3.5)
    return figure


def _draw_times(rows: list[dict[str, float]], runs: int) -> Figure:
    figure, (axis,) = panels(1, "Mean |a - b| of n numbers: a Python loop, or one tensor call", size=(7, 4))
    for key, name, colour in (("loop", "Python loop", "C1"), ("tensor", "tensors", "C0")):
        seconds = [row[key + "_seconds"] * 1e6 for row in rows]
        axis.loglog([row["numbers"] for row in rows], seconds, "o-", color=colour, label=name)
    for row in rows:
        where = (row["numbers"], row["loop_seconds"] * 1e6)
        times = row["times_faster"]
        told = f"{times:.3g} × faster" if times >= 1 else f"{1 / times:.2g} × slower"
        axis.annotate(told, where, (-6, 6), textcoords="offset points", ha="right", bbox={"color": "white", "pad": 1})
    axis.set(xlabel="n, how many numbers", ylabel=f"time in microseconds, best of {runs}")
    axis.set_title("beside the loop's points: how much faster the tensors are", fontsize=10)
    axis.margins(0.25, 0.15)
    axis.legend()
    return figure


def _draw_broadcast(x: Tensor, mean: Tensor, difference: Tensor) -> Figure:
    figure, axes = panels(4, "Broadcasting: one picture is subtracted from each", rows=3, size=(2.2, 2.1))
    shown = min(4, len(x))
    for k, axis in enumerate(axes):
        row, column = divmod(k, 4)
        if column >= shown:
            axis.axis("off")
        elif row == 0:
            show_picture(axis, x[column], high=1)
        elif row == 1:
            show_picture(axis, mean, "" if column == 0 else "read again", high=1)
            axis.images[0].set_alpha(1 if column == 0 else 0.35)
        else:
            show_picture(axis, difference[column], high=1, signed=True)
    for axis, name, tensor in zip(
        axes[::4], ("pictures", "- their mean", "= difference"), (x, mean, difference), strict=True
    ):
        axis.set_ylabel(f"{name}\n{' × '.join(map(str, tensor.shape))}")
    told = "the pale ones are no copies: the same memory is read again, with a stride of 0"
    figure.supxlabel(f"{told}\ndifferences: red above 0, blue below", fontsize=10)
    return figure
