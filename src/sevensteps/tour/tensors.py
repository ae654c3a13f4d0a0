"""Exhibits about tensors: how many axes they have and how long these are, their memory, their products."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.dataloaders import DataLoaders
from ..insight.drawing import panels, show_picture
from .classes import TwoClasses
from .exhibit import Between, Shown, Which, exhibit, pick, pictures, refusal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXES = ["picture", "channel", "row", "column"]
Count = Annotated[int, Between(2, 200)]  # of pictures


@exhibit(5, "What is a rank-3 tensor?")
def rank_3(dls: DataLoaders, count: Count = 20) -> Shown:
    """Numbers along three axes: it takes three indices to name one of them. A stack of grey pictures is such a tensor.

    The first index chooses the picture, the second the row in it, the third the column. One index leaves a rank-2
    tensor, a picture; two leave rank 1, a row of pixels; three leave rank 0, a single number. Any axis may be cut: one
    row of all the pictures has rank 2 as well. Not every rank-3 tensor is a stack, though: one colour picture has three
    axes by itself, channel, row and column, so that a stack of those has rank 4.
    """
    pixels, labels = pictures(dls)
    colour = pixels[labels == labels[0]][:count]  # of one class; each with its channels
    grey = [picture.float().mean(0) for picture in colour]
    stack = torch.stack(grey)
    row, column = stack.shape[1] // 2, stack.shape[2] // 2
    tensors = {
        "stack": stack, "stack[0]": stack[0], "stack[0, row]": stack[0, row],
        "stack[0, row, column]": stack[0, row, column], "stack[:, row]": stack[:, row],
        "one_picture_with_channels": colour[0], "all_with_channels": colour,
    }  # fmt: skip
    findings = {
        "shape": {name: list(tensor.shape) for name, tensor in tensors.items()},
        "rank": {name: tensor.ndim for name, tensor in tensors.items()},
        "row": row, "column": column, "number": stack[0, row, column].item(),
        "number_in_the_picture": grey[0][row][column].item(),
    }  # fmt: skip
    return Shown(findings, _draw_rank_3(stack, row, column))


@exhibit(6, "What is the difference between tensor rank and shape? How do you get the rank from the shape?")
def rank_and_shape(dls: DataLoaders, count: Count = 20) -> Shown:
    """The shape says how long each axis is, the rank how many axes there are: `len(t.shape)`, or `t.ndim`.

    A single number has the shape () and the rank 0. The lengths multiplied are how many numbers there are, so a tensor
    may change its shape, and its rank too, and keep its numbers: a linear layer wants each picture as one row. `len(t)`
    is not the rank, but the length of the first axis. Nor is this the rank of linear algebra, how many rows of a matrix
    are independent of each other.
    """
    pixels, _ = pictures(dls)
    batch = pixels[:: -(-len(pixels) // count)]
    row, column = batch.shape[2] // 2, batch.shape[3] // 2
    tensors = {
        "a pixel": batch[0, 0, row, column], "a row": batch[0, 0, row], "a channel": batch[0, 0],
        "a picture": batch[0], "a batch": batch, "batch.flatten(1)": batch.flatten(1),
    }  # fmt: skip
    findings = {
        "shape": {name: list(tensor.shape) for name, tensor in tensors.items()},
        "rank": {name: len(tensor.shape) for name, tensor in tensors.items()},
        "numbers": {name: math.prod(tensor.shape) for name, tensor in tensors.items()},
        "torch_agrees": all((len(t.shape), math.prod(t.shape)) == (t.ndim, t.numel()) for t in tensors.values()),
        "len_of_the_batch": len(batch),
        "independent_rows_of_the_channel": int(torch.linalg.matrix_rank(batch[0, 0].double())),
    }
    return Shown(findings, _draw_ranks(tensors))


@exhibit(9, "Create a 3×3 tensor with the numbers 1 to 9, double it, select the bottom-right four numbers.")
def bottom_right(dls: DataLoaders, picture: Which = 0) -> Shown:
    """`t = torch.arange(1, 10).view(3, 3)`, then `doubled = 2 * t`, then `doubled[1:, 1:]`: 10, 12, 16, 18.

    Doubling makes a new tensor; t stays as it is. The slice makes none: it looks at the memory of the doubled one from
    a later start, with the same strides, so what is written into the slice is written into that tensor as well. Counted
    from the end, `[-2:, -2:]` is the same slice. Chosen by lists of indices, or with `clone()`, the numbers are copied.
    """
    t = torch.arange(1, 10).view(3, 3)
    doubled = 2 * t
    corner = doubled[1:, 1:]
    by_lists = doubled[[[1], [2]], [1, 2]]
    findings = {
        "t": t.tolist(), "doubled": doubled.tolist(), "corner": corner.tolist(),
        "counted_from_the_end": doubled[-2:, -2:].tolist(), "by_lists": by_lists.tolist(),
        "corner_starts_at": corner.storage_offset(), "strides": [list(doubled.stride()), list(corner.stride())],
        "same_memory": {
            "doubled and t": _same_memory(doubled, t), "corner and doubled": _same_memory(corner, doubled),
            "by lists and doubled": _same_memory(by_lists, doubled),
        },
    }  # fmt: skip
    small = [t, doubled.clone(), corner.clone(), doubled]
    corner.zero_()
    findings |= {"doubled_after_corner_zero": doubled.tolist(), "t_after_it": t.tolist()}

    pixels = pick(pictures(dls)[0], picture).int()
    twice = 2 * pixels
    quarter = twice[:, twice.shape[1] // 2 :, twice.shape[2] // 2 :]
    large = [pixels, twice.clone(), quarter.clone(), twice]
    quarter.zero_()
    findings["quarter_of_the_picture"] = list(quarter.shape)
    findings["picture_black_there"] = bool((twice[:, -quarter.shape[1] :, -quarter.shape[2] :] == 0).all())
    return Shown(findings, _draw_corners(small, large))


@exhibit(27, "What does view do in PyTorch?")
def view(dls: DataLoaders, picture: Which = 0) -> Shown:
    """It gives the same numbers another shape, and copies none: the same memory is read with other strides.

    So what is written into the view is written into the original. The new shape must hold exactly as many numbers; one
    length may be -1, which torch works out. Where no strides can read the memory in the new order, as for a transposed
    picture in one row, `view` refuses; there `reshape` copies, else it is a view as well. Contiguous memory is enough
    for every view, but not needed: every second picture of a stack is not contiguous, and yet can be viewed as rows.
    """
    pixels, _ = pictures(dls)
    original = pick(pixels, picture).float().mean(0)  # grey
    height, width = original.shape
    together = next((k for k in range(2, height) if height % k == 0), height)
    flat, wide = original.view(-1), original.view(-1, together * width)  # all in a row, and two rows in each, or so
    every_second = pixels[:20:2]
    findings = {
        "shapes": [list(tensor.shape) for tensor in (original, flat, wide, original.T)],
        "strides": [list(tensor.stride()) for tensor in (original, flat, wide, original.T)],
        "same_memory": _same_memory(flat, original) and _same_memory(wide, original),
        "same_order": flat.tolist() == wide.flatten().tolist() == [value for row in original for value in row],
        "one_row_too_many": refusal(lambda: original.view(height + 1, width)),
        "transposed_in_a_row": refusal(lambda: original.T.view(-1)),
        "reshape_copies": {
            "the picture": not _same_memory(original.reshape(-1), original),
            "transposed": not _same_memory(original.T.reshape(-1), original),
        },
        "every_second_contiguous": every_second.is_contiguous(),
        "every_second_viewed": list(every_second.view(len(every_second), -1).shape),
    }  # fmt: skip
    written = original.clone()
    written.view(-1)[: height // 2 * width] = 255
    findings["white_rows_after_writing_half_of_the_view"] = int((written == 255).all(1).sum())
    return Shown(findings, _draw_views(original, flat, wide, written))


@exhibit(29, "What does the @ operator do?")
def matrix_product(dls: DataLoaders, count: Annotated[int, Between(2, 6)] = 3) -> Shown:
    """It multiplies matrices: number i, j of a @ b is row i of a times column j of b, number by number, added up.

    So the rows of a must be as long as the columns of b: m × k @ k × n gives m × n, and others are refused. With
    pictures as rows and weights as columns, one `@` gives each picture's score for each column; with a bias added that
    is a linear layer. `*` is another thing: number by number, for shapes that broadcast, and nothing is added up. The
    order counts. Two vectors give one number; in front of the last two axes, others count matrices.
    """
    data = TwoClasses.of(dls)
    of_one, of_other = data.x[data.y == 1], data.x[data.y == 0]
    a = torch.cat([of_one[:count], of_other[:count]])  # pictures × pixels
    b = torch.stack([of_one.mean(0), of_other.mean(0)], dim=1)  # pixels × classes: their average pictures
    product = a @ b

    by_hand = torch.zeros(len(a), b.shape[1], dtype=torch.float64)
    for i in range(len(a)):
        for j in range(b.shape[1]):
            for k in range(len(b)):
                by_hand[i, j] += a[i, k] * b[k, j]
    two_stacks = torch.stack([a, -a]) @ b
    findings = {
        "shapes": [list(tensor.shape) for tensor in (a, b, product)], "products_added_up": a.numel() * b.shape[1],
        "a_loop_differs_by": (product - by_hand).abs().max().item(),
        "a_linear_layer_differs_by": (product + 1 - F.linear(a, b.T, torch.ones(2).double())).abs().max().item(),
        "star_gives": list((a * a).shape), "star_of_these": refusal(lambda: a * b),
        "other_order": refusal(lambda: b @ a), "two_vectors_give_rank": (a[0] @ b[:, 0]).ndim,
        "a_stack_of_2": list(two_stacks.shape), "classes": data.names,
    }  # fmt: skip
    return Shown(findings, _draw_product(data, a, b, product))


def _same_memory(one: Tensor, other: Tensor) -> bool:
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def _shape(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape))


def _box(axis: Axes, left: float, top: float, right: float, bottom: float, colour: str = "C1") -> None:
    x, y = [left, right, right, left, left], [top, top, bottom, bottom, top]
    axis.plot(x, y, colour, linewidth=2, clip_on=False)


def _draw_rank_3(stack: Tensor, row: int, column: int) -> Figure:
    figure, axes = panels(4, "A rank-3 tensor has three axes: picture, row, column", size=(3.3, 3.5))
    height, width = stack.shape[1:]
    for k in reversed(range(min(4, len(stack)))):  # the first one in front
        left, bottom = 0.35 * k * width, 0.35 * k * height
        show_picture(axes[0], stack[k], f"stack: rank 3\n{_shape(stack)}")
        axes[0].images[-1].set_extent((left, left + width, bottom, bottom + height))
    axes[0].autoscale()
    show_picture(axes[1], stack[0], f"stack[0]: rank 2, a picture\n{_shape(stack[0])}")
    axes[1].axhline(row, color="C0", linewidth=2)
    axes[2].plot(stack[0, row].tolist(), "C0.-")
    axes[2].set_title(f"stack[0, {row}]: rank 1, a row\n{width}", fontsize=10)
    axes[2].set(xlabel="column", ylabel="brightness", ylim=(-10, 350), yticks=(0, 50, 100, 150, 200, 255))
    number = stack[0, row, column].item()
    for axis, y in ((axes[1], row), (axes[2], number)):
        axis.plot(column, y, "C1o", markersize=8)
    label = f"stack[0, {row}, {column}]: rank 0,\nthe number {number:.0f}"
    axes[2].text(0.5, 0.97, label, transform=axes[2].transAxes, color="C1", ha="center", va="top")
    show_picture(axes[3], stack[:, row], f"stack[:, {row}]: rank 2, row {row} of each\n{_shape(stack[:, row])}")
    axes[3].set(xlabel="column", ylabel="picture", aspect="auto")
    return figure


def _draw_ranks(tensors: dict[str, Tensor]) -> Figure:
    title = "The rank is how many axes there are, the shape how long each of them is"
    figure, axes = panels(len(tensors), title, rows=2, size=(2.4, 2.5))
    longest = max(max(tensor.shape, default=1) for tensor in tensors.values())
    for (name, tensor), top, bars in zip(tensors.items(), axes, axes[len(tensors) :], strict=False):
        is_flat = name.startswith("batch")
        show_picture(top, _image(tensor), name)
        top.set_aspect("auto" if is_flat else "equal")
        top.spines[:].set_visible(True)
        bars.bar(range(tensor.ndim), list(tensor.shape), color="C0", width=0.6)
        for k, length in enumerate(tensor.shape):
            bars.text(k, length, f"{length:,}", ha="center", va="bottom")
        bars.set_xticks(range(tensor.ndim), ["picture", "number"] if is_flat else AXES[4 - tensor.ndim :], fontsize=8)
        bars.set(yscale="log", ylim=(0.5, 10 * longest), xlim=(-0.6, max(tensor.ndim, 1) - 0.4))
        bars.tick_params(left=False, labelleft=False, which="both")
        bars.set_title(f"rank {tensor.ndim}\nshape {tuple(tensor.shape)}", fontsize=10)
    axes[len(tensors)].set(ylabel="length of the axis (log scale)", xlabel="no axis")
    return figure


def _image(tensor: Tensor) -> Tensor:
    """What can be seen of a tensor of any rank: a row as a strip, of a batch (N×C×H×W) some pictures as one (C×H×W)."""
    if tensor.ndim < 2:
        return tensor.view(1, -1).expand(-(-tensor.numel() // 8), -1)
    if tensor.ndim < 4:
        return tensor[..., :: 1 + tensor.shape[-1] // 2000]
    side, gap = min(3, math.isqrt(len(tensor))), 1 + tensor.shape[3] // 40
    grid: Tensor = F.pad(tensor[: side * side], (0, gap, 0, gap), value=255).unflatten(0, (side, side))
    return grid.permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)[:, :-gap, :-gap]


def _draw_corners(small: list[Tensor], large: list[Tensor]) -> Figure:
    figure, axes = panels(4, "A slice is a window: what is written into it is in the whole", rows=2, size=(2.5, 2.7))
    titles = ("t", "doubled = 2 * t", "corner = doubled[1:, 1:]", "doubled after corner.zero_()")
    for axis, title, tensor in zip(axes, titles, small, strict=False):
        show_picture(axis, tensor, title, high=36)
        for row, line in enumerate(tensor.tolist()):
            for column, value in enumerate(line):
                axis.text(column, row, value, ha="center", va="center", color="white", fontsize=14)
    titles = ("a picture", "twice as bright", "its bottom-right quarter", "after quarter.zero_()")
    for axis, title, tensor in zip(axes[4:], titles, large, strict=True):
        show_picture(axis, tensor, title)
    _box(axes[1], 0.5, 0.5, 2.5, 2.5)
    height, width = large[0].shape[1:]
    _box(axes[5], width // 2 - 0.5, height // 2 - 0.5, width - 0.5, height - 0.5)
    return figure


def _draw_views(original: Tensor, flat: Tensor, wide: Tensor, written: Tensor) -> Figure:
    figure, axes = panels(5, "A view: the same numbers in the same memory, read in another shape", size=(2.8, 3.2))
    width, rows = original.shape[1], len(original) // len(wide)
    half = len(original) // 2 * width
    show_picture(axes[0], original, f"the picture: {_shape(original)}\nstrides {width}, 1")
    show_picture(axes[1], wide, f"view(-1, {wide.shape[1]}): {_shape(wide)},\n{rows} of its rows in each")
    show_picture(axes[2], flat[None], f"view(-1): {len(flat):,},\nall its rows in one")
    axes[2].set(aspect="auto", box_aspect=0.25)
    show_picture(axes[3], written, f"view(-1)[:{half}] = 255:\nthe picture is white there")
    show_picture(axes[4], original.T, f"transposed: strides 1, {width},\nview(-1) refuses, reshape copies")
    for axis in axes:
        axis.spines[:].set_visible(True)
    return figure


def _draw_product(data: TwoClasses, a: Tensor, b: Tensor, product: Tensor) -> Figure:
    figure, axes = panels(3, "a @ b: each row of a times each column of b, added up", rows=2, size=(3.6, 2.9))
    classes = " and ".join(data.names)
    titles = (
        f"a: {_shape(a)}\na picture in each row",
        f"b: {_shape(b)}, the average\npictures of {classes} as columns",
        f"a @ b: {_shape(product)}\neach row with each column",
    )
    for axis, title, matrix in zip(axes, titles, (a, b, product), strict=False):
        show_picture(axis, matrix, title, high=matrix.abs().max().item(), signed=True)
        axis.set_aspect("auto")
        axis.images[0].set_interpolation("nearest")
    for row, line in enumerate(product.tolist()):
        for column, value in enumerate(line):
            axes[2].text(column, row, f"{value:.3f}", ha="center", va="center", bbox={"color": "white", "pad": 1.5})
    _box(axes[0], -0.5, -0.5, a.shape[1] - 0.5, 0.5, "C2")
    _box(axes[1], -0.5, -0.5, 0.5, len(b) - 0.5, "C2")
    _box(axes[2], -0.5, -0.5, 0.5, 0.5, "C2")
    parts = {"a[0], the row in the box": a[0], "b[:, 0], the column in the box": b[:, 0]}
    parts[f"a[0] * b[:, 0]: its {a.shape[1]} numbers\nadd up to {product[0, 0]:.3f}"] = a[0] * b[:, 0]
    for axis, (title, part) in zip(axes[3:], parts.items(), strict=True):
        show_picture(axis, part.view(data.shape), title, high=part.abs().max().item(), signed=True)
    figure.supxlabel("red is above 0, blue is below", fontsize=10)
    return figure
