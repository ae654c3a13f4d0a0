"""Exhibits about batches: why so many pictures at a time, and who puts them together."""

from __future__ import annotations

import time
import timeit
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor

from ..data.dataloader import DataLoader
from ..data.dataloaders import DataLoaders
from ..insight.drawing import draw, panels, percentages
from .classes import TwoClasses
from .exhibit import Between, Shown, exhibit, pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@exhibit(13, "Why does SGD use mini-batches?")
def mini_batches(
    dls: DataLoaders,
    batch_size: Annotated[int, Between(1, 1024)] = 64,
    epochs: Annotated[int, Between(1, 30)] = 3,
    seconds: Annotated[float, Between(0.01, 0.3)] = 0.08,
) -> Shown:
    """Because some dozens of pictures point nearly where all do, and cost little: so an epoch has many good steps.

    The gradient of n random pictures errs by about 1 / √n: four times as many only halve the error. A step takes its
    time even for one picture, so some dozens cost hardly more, and picture by picture an epoch takes longest; beyond,
    the time grows with n. All at once nothing errs, but an epoch is a single step: after equal epochs it is behind. In
    equal time it may keep up where pictures are as few as here; a step on a million takes as long as thousands on some
    dozens. Each size has here, at each time, the learning rate of eleven that suits it best.
    """
    data, lrs = TwoClasses.of(dls), 2 ** torch.arange(-6, 5, dtype=torch.float64)
    n, start, columns = len(data.x), data.random(), list(zip(data.x, data.y, strict=True))

    def gradient(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        w = w.clone().requires_grad_()
        return torch.autograd.grad(data._replace(x=x, y=y).squared_error(w).sum(), w)[0]

    def error(size: int) -> float:
        batches = DataLoader(columns, size, shuffle=True, drop_last=True)
        rounds = (batch for _ in range(-(-25 // len(batches))) for batch in batches)
        errors = torch.cat([gradient(start, x, y) - exact for x, y in rounds], 1)
        return float(errors.square().sum(0).mean().sqrt() / exact.norm())

    def cost(size: int) -> float:
        x, y = data.x.repeat(-(-size // n), 1)[:size], data.y.repeat(-(-size // n))[:size]
        return min(timeit.repeat(lambda: gradient(start, x, y), number=1, repeat=4))

    def train(size: int) -> dict[str, Any]:
        batches, w, passed = DataLoader(columns, size, shuffle=True), start.repeat(1, len(lrs)), 0.0
        times, losses = [passed], [data.squared_error(start).item()]
        while len(times) <= epochs or passed < seconds:
            began = time.perf_counter()
            for x, y in batches:
                w = w - lrs * gradient(w, x, y)  # a model for each learning rate, all trained at once
            passed += time.perf_counter() - began
            times.append(passed)
            losses.append(data.squared_error(w).nan_to_num(torch.inf).min().item())
        return {"steps_an_epoch": len(batches), "seconds_an_epoch": passed / (len(times) - 1),
                "loss_after_the_epochs": losses[epochs], "times": times, "losses": losses}  # fmt: skip

    exact, powers = gradient(start, data.x, data.y), [2**k for k in range(14)]
    findings = {
        "pictures": n, "epochs": epochs, "seconds": seconds,
        "gradient_errs_by": {size: error(size) for size in [*(power for power in powers if power < n), n]},
        "seconds_a_step": {size: cost(size) for size in powers},
        "batch_size": {size: train(size) for size in sorted({1, min(batch_size, n), n})},
    }  # fmt: skip
    return Shown(findings, _draw_mini_batches(findings))


@exhibit(24, "What does the DataLoader class do?")
def data_loader(
    dls: DataLoaders, batch_size: Annotated[int, Between(1, 8)] = 6, items: Annotated[int, Between(2, 40)] = 20
) -> Shown:
    """It gives any collection in batches, whose items are stacked into tensors; shuffled, in a new order each epoch.

    An epoch gives every item once. The last batch is shorter where the numbers do not come out even; it may be dropped.
    The collection may be anything that has a length and items: a list of pairs (picture, label), as here, a range, a
    text. Not shuffled, the items come in the collection's order, and files mostly lie sorted by class: a batch would
    then be all of one kind, and its gradient pull all one way.
    """
    pixels, labels = pictures(dls)
    chosen = torch.linspace(0, len(pixels) - 1, min(items, len(pixels))).long()
    pairs = list(zip(pixels[chosen] / 255.0, labels[chosen].tolist(), strict=True))
    given, shuffled = DataLoader(pairs, batch_size), DataLoader(pairs, batch_size, shuffle=True)
    orders: dict[str, list[list[int]]] = {}
    by_hand = []
    for name, loader in (("not shuffled", given), ("shuffled, epoch 1", shuffled), ("shuffled, epoch 2", shuffled)):
        orders[name] = []
        for xb, yb in loader:
            numbers = loader.indices.tolist()
            xs, ys = zip(*(pairs[number] for number in numbers), strict=True)
            by_hand.append(torch.equal(xb, torch.stack(xs)) and torch.equal(yb, torch.tensor(ys)))
            orders[name].append(numbers)
    findings = {
        "items": len(pairs), "batch_sizes": [len(batch) for batch in orders["not shuffled"]],
        "shape_of_a_batch": list(next(iter(given))[0].shape), "orders": orders, "same_as_by_hand": all(by_hand),
        "range(7) by 3": str([batch.tolist() for batch in DataLoader(range(7), 3)]),
        "range(7) by 3, the last dropped": str([batch.tolist() for batch in DataLoader(range(7), 3, drop_last=True)]),
        "'abcde' by 2": str([list(batch) for batch in DataLoader("abcde", 2)]),
    }  # fmt: skip
    return Shown(findings, _draw_data_loader(findings, pixels[chosen]))


def _draw_mini_batches(found: dict[str, Any]) -> Figure:
    figure, axes = panels(4, "Mini-batches: many steps an epoch, each quick and steady enough", size=(3.8, 3.6))
    n, epochs, errors, cost = found["pictures"], found["epochs"], found["gradient_errs_by"], found["seconds_a_step"]
    law = [errors[1] * ((n - size) / (n - 1) / size) ** 0.5 for size in errors]  # for draws without putting back
    draw(axes[0], "the gradient errs by 1 / √n,\nless and less is gained", "n, pictures in a batch",
         "error of the gradient, % of its length", (list(errors), percentages(errors.values()), "C0o", "measured"),
         (list(errors), percentages(law), "C7--", f"1 / √n, of {n} pictures in all"))  # fmt: skip
    draw(axes[1], "a step on a few pictures takes\nhardly longer than on one", "n, pictures in a batch",
         "microseconds a step", (list(cost), [1e6 * passed for passed in cost.values()], "C0o-", ""))  # fmt: skip
    axes[1].set(xscale="log", yscale="log")
    by_epoch, by_time = [], []
    for (size, one), style in zip(found["batch_size"].items(), ("C7", "C0", "C1"), strict=False):
        name = f"{'all' if size == n else size} a step"
        by_epoch.append((range(epochs + 1), one["losses"][: epochs + 1], style + "o-",
                         f"{name}, an epoch's steps: {one['steps_an_epoch']}"))  # fmt: skip
        by_time.append((one["times"], one["losses"], style, f"{name}, {1e3 * one['seconds_an_epoch']:.2g} ms an epoch"))
    draw(axes[2], "after equal epochs:\nthe more steps, the lower the loss", "epoch", "loss on all pictures", *by_epoch)
    draw(axes[3], "in equal time,\none by one makes few epochs", "seconds", "loss on all pictures", *by_time)
    axes[3].set_xlim(0, found["seconds"])
    axes[2].locator_params(axis="x", integer=True)
    for axis in axes[2:]:
        axis.set_yscale("log")
    return figure


def _draw_data_loader(found: dict[str, Any], pixels: Tensor) -> Figure:
    rows, columns = len(found["batch_sizes"]), found["batch_sizes"][0]
    side = min(0.7, 5 / columns)  # inches
    size = (max(2.5, 0.7 + side * columns), 0.5 + 1.25 * side * rows)
    figure, axes = panels(
        3, "A DataLoader gives each picture once an epoch; shuffled, in a new order each time", size=size
    )
    for axis, (name, batches) in zip(axes, found["orders"].items(), strict=True):
        _draw_batches(axis, batches, pixels)
        axis.set_title(name, fontsize=10)
        axis.set(xlim=(-0.5, columns - 0.5), ylim=(1.25 * rows - 0.4, -0.5), xticks=[])
    return figure


def _draw_batches(axis: Axes, batches: list[list[int]], pixels: Tensor) -> None:
    """A row of pictures for each batch, their numbers below them."""
    for row, batch in enumerate(batches):
        for column, number in enumerate(batch):
            middle, box = 1.25 * row, (column - 0.45, column + 0.45)
            picture = pixels[number].permute(1, 2, 0).numpy()
            axis.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=(*box, middle + 0.45, middle - 0.45))
            axis.text(column, middle + 0.65, str(number), ha="center", va="center", fontsize=7)
    axis.set_yticks([1.25 * row for row in range(len(batches))], [f"batch {row + 1}" for row in range(len(batches))])
    axis.tick_params(length=0)
    axis.grid(False)
    axis.spines[:].set_visible(False)
