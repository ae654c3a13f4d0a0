"""Exhibits about data before they are batches: folders, lists, pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import torch
import torch.utils.data
from torch import Tensor

from ..data.dataloader import DataLoader
from ..data.dataloaders import DataLoaders
from ..insight.drawing import panels, plain, show_picture
from ..randomness import generator
from .exhibit import Between, Shown, exhibit, pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_VALUES = 20_000_000  # pixel values looked at, for a large training set
MOST_ASKED = 500  # pictures of a split that are looked up


@exhibit(2, "How are the files and folders in MNIST_SAMPLE structured, and why?")
def folders(dls: DataLoaders) -> Shown:
    """A folder for each split, `train` and `valid`; in each a folder for each class, `3` and `7`, with its pictures.

    So a picture's place says all about it: the class folder is its label, and the split says whether the model may
    learn from it. (`labels.csv` beside them says the same again.) The splits are kept apart because pictures can be
    learned by heart: who looks up the nearest training picture finds each of those again and is right, even where the
    labels were dealt out at random. Only pictures that were never seen tell memory from learning; none is in both.
    """
    train, labels = pictures(dls, "train", MOST_VALUES)
    valid, targets = pictures(dls, "valid", MOST_VALUES)
    at_random = labels[_shuffled(len(labels))]
    skip = 1 + max(train.shape[2:]) // 64  # of a large picture, not every pixel
    known = train[:, :, ::skip, ::skip].flatten(1).float()
    right, right_random = {}, {}
    for split, pixels, truth, dealt in (("train", train, labels, at_random), ("valid", valid, targets, targets)):
        every = -(-len(pixels) // MOST_ASKED)
        asked = pixels[::every, :, ::skip, ::skip].flatten(1).float()
        nearest = torch.cdist(asked, known).argmin(1)  # the number of a training picture
        right[split] = (labels[nearest] == truth[::every]).double().mean().item()
        right_random[split] = (at_random[nearest] == dealt[::every]).double().mean().item()

    seen = {picture.numpy().tobytes() for picture in train}
    first = {split: loader.collection.names[0] for split, loader in dls.splits.items()}
    findings = {
        "pictures": {f"{split}/{name}": n for split, table in dls.counts.items() for name, n in table.items()},
        "first_names": first, "came_in_such_folders": first["train"].startswith("train/"),
        "valid_pictures_also_in_train": sum(picture.numpy().tobytes() in seen for picture in valid),
        "right_by_heart": right, "right_by_heart_with_random_labels": right_random,
    }  # fmt: skip
    return Shown(findings, _draw_folders(dls, {"train": (train, labels), "valid": (valid, targets)}, findings))


@exhibit(4, "What is a list comprehension? Create one that selects odd numbers from a list and doubles them.")
def list_comprehension(dls: DataLoaders, most: Annotated[int, Between(5, 12)] = 9) -> Shown:
    """`[2 * n for n in numbers if n % 2 == 1]`: a new list, with the value of an expression for each item that passes.

    It does what a loop with an `if` and an `append` does. Read it as `for`, then `if`, then the expression in front:
    the test sees a number before it is doubled; afterwards none would be odd. The old list stays as it is. In Python
    -3 % 2 is 1, so negative odd numbers pass too (in C it is -1). The items may be anything: out of some pictures, the
    negatives of one class. For tensors a mask does the same in one call.
    """
    numbers = list(range(1, most + 1))
    doubled = [2 * n for n in numbers if n % 2 == 1]

    by_loop = []
    for n in numbers:
        if n % 2 == 1:
            by_loop.append(2 * n)

    pixels, labels = pictures(dls)
    some = _shuffled(len(pixels))[:most]
    names = [(dls.vocab or [])[label] for label in labels[some].tolist()]
    wanted = max(names, key=names.count)
    negatives = [255 - x for x, y in zip(pixels[some], names, strict=True) if y == wanted]
    by_mask = 255 - pixels[some][torch.tensor([y == wanted for y in names])]
    findings = {
        "numbers": numbers, "odd_ones_doubled": doubled, "a_loop_gives_the_same": by_loop == doubled,
        "odd_ones_after_doubling": len([m for m in [2 * n for n in numbers] if m % 2 == 1]),
        "negative_ones": [2 * n for n in [-3, -2, -1] if n % 2 == 1],
        "classes": names, "wanted": wanted, "negatives": len(negatives),
        "a_mask_gives_the_same": torch.equal(torch.stack(negatives), by_mask),
    }  # fmt: skip
    return Shown(findings, _draw_comprehension(numbers, pixels[some], names, wanted))


@exhibit(
    26,
    "Create a function that, given [1,2,3,4] and 'abcd', returns [(1,'a'),(2,'b'),(3,'c'),(4,'d')]; "
    "what is special about that data structure?",
)
def pairs(dls: DataLoaders, batch_size: Annotated[int, Between(1, 8)] = 4) -> Shown:
    """`list(zip(a, b))`: a list of tuples, each an input and its target. PyTorch asks no more of a dataset.

    A dataset has a length, `len(dset)`, and gives each item by its number, `dset[i]`; a list of pairs does both, so a
    `DataLoader` takes it, shuffles it, and stacks the inputs of a batch into one tensor and the targets into another.
    The `zip` alone does not: it has no length and no numbers, and is used up after one pass. It also stops at the end
    of the shorter one, without a word, unless it is told `strict=True`.
    """

    def pair(a: Any, b: Any) -> list[tuple[Any, Any]]:
        return list(zip(a, b, strict=True))

    pixels, labels = pictures(dls, "train", MOST_VALUES)
    dset = pair(pixels, labels.tolist())
    xb, yb = next(iter(DataLoader(dset, batch_size, shuffle=True)))

    in_order = next(iter(DataLoader(dset, batch_size)))
    of_torch = next(iter(torch.utils.data.DataLoader(dset, batch_size, generator=generator(0, "tour"))))  # type: ignore
    once = zip([1, 2, 3, 4], "abcd", strict=True)
    findings = {
        "pairs": str(pair([1, 2, 3, 4], "abcd")), "length": len(dset),
        "batch_inputs": list(xb.shape), "batch_targets": yb.tolist(),
        "torch_makes_the_same_batch": all(map(torch.equal, in_order, of_torch)),
        "a_zip_has": {"length": hasattr(once, "__len__"), "items_by_number": hasattr(once, "__getitem__")},
        "a_zip_gives": {"first_pass": len(list(once)), "second_pass": len(list(once))},
        "of_4_and_3_a_zip_makes": len(list(zip([1, 2, 3, 4], "abc"))),  # noqa: B905 - it is what is shown
    }  # fmt: skip
    return Shown(findings, _draw_pairs(dls.vocab or [], dset, xb, yb))


def _shuffled(n: int) -> Tensor:
    return torch.randperm(n, generator=generator(0, "tour"))


def _draw_folders(dls: DataLoaders, splits: dict[str, tuple[Tensor, Tensor]], found: dict[str, Any]) -> Figure:
    vocab = dls.vocab or []
    columns = min(4, len(vocab)) + 1
    figure, axes = panels(columns, "A picture's folders say its split and its class", rows=2, size=(2.3, 2.7))
    for k, (split, (pixels, labels)) in enumerate(splits.items()):
        *row, bars = axes[k * columns : (k + 1) * columns]
        for label, (axis, name) in enumerate(zip(row, vocab, strict=False)):
            mine = pixels[labels == label]
            show_picture(axis, mine[0] if len(mine) else torch.zeros(1, 1), f"{split}/{plain(name, 14)}/")
            axis.set_xlabel(f"{found['pictures'][f'{split}/{name}']:,} pictures")
        shares = [100 * found[key][split] for key in ("right_by_heart", "right_by_heart_with_random_labels")]
        bars.bar_label(bars.bar((0, 1), shares, color=("C0", "C1")), fmt="%.0f %%")
        bars.set(ylim=(0, 119), yticks=(0, 50, 100), ylabel="% right")
        bars.set_xticks((0, 1), ("true\nlabels", "random\nlabels"))
        bars.set_title(f"train learned by heart,\nmeasured on {split}", fontsize=10)
    more = len(vocab) + 1 - columns
    notes = [f"and {more} more {'class' if more == 1 else 'classes'} in each split"] if more else []
    if not found["came_in_such_folders"]:
        notes.append("these pictures did not come in such folders")
    figure.supxlabel("; ".join(notes), fontsize=10)
    return figure


def _draw_comprehension(numbers: list[int], pixels: Tensor, names: list[str], wanted: str) -> Figure:
    title = "A list comprehension: for each item, if it passes, the expression"
    figure, (axis,) = panels(1, title, size=(len(numbers) + 2, 6.4))
    steps = {0.0: "for n in numbers", -0.8: "if n % 2 == 1", -1.6: "2 * n",
             -2.8: "for x, y in pairs", -3.8: f"if y == {plain(wanted, 10)!r}", -4.8: "255 - x"}  # fmt: skip
    first, second, third, *rest = steps
    for column, n in enumerate(numbers):
        for height, number in {first: n, second: n, third: 2 * n}.items():
            if n % 2 == 1 or height == first:
                axis.text(column, height, str(number), ha="center", va="center", fontsize=18)
    for column, (x, y) in enumerate(zip(pixels, names, strict=True)):
        axis.text(column, rest[0] + 0.5, plain(y, 10), ha="center", fontsize=8)
        for height, picture in zip(rest, (x, x, 255 - x), strict=True):
            if y == wanted or height == rest[0]:
                show_picture(axis, picture)
                axis.images[-1].set_extent((column - 0.45, column + 0.45, height - 0.45, height + 0.45))
    axis.set_yticks(list(steps), steps.values(), family="monospace")
    axis.tick_params(length=0)
    axis.set(xlim=(-0.5, len(numbers) - 0.5), ylim=(-5.3, 0.4))
    axis.grid(visible=False)
    return figure


def _draw_pairs(vocab: list[str], dset: list[tuple[Tensor, int]], xb: Tensor, yb: Tensor) -> Figure:
    columns = max(4, len(xb))
    title = "A list of pairs is a dataset, and a DataLoader makes batches of it"
    figure, axes = panels(columns, title, rows=3, size=(1.9, 2.1))
    first, second, third = (axes[k : k + columns] for k in range(0, 3 * columns, columns))
    for axis in axes:
        axis.axis("off")
    for i, (axis, one) in enumerate(zip(first, zip([1, 2, 3, 4], "abcd", strict=True), strict=False)):
        show_picture(axis, torch.full((1, 1), 240), f"pairs[{i}]")
        axis.text(0, 0, str(one), ha="center", va="center", fontsize=20)
    for i, (axis, (x, y)) in enumerate(zip(second, dset, strict=False)):
        show_picture(axis, x, f"dset[{i}] = (x, {y})")
    for i, (axis, x, y) in enumerate(zip(third, xb, yb.tolist(), strict=False)):
        show_picture(axis, x, f"xb[{i}], yb[{i}] = {y}")
    classes = {y for _, y in dset[:columns]} | set(yb.tolist())
    names = ", ".join(f"{y} is {plain(vocab[y], 10)}" for y in sorted(classes))
    what = "x is a picture, xb a batch of them; the target is the number of its class"
    figure.supxlabel(f"{what}:\n{names}", fontsize=10)
    return figure
