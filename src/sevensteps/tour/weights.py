"""Exhibits about weights: how they start, who works out their gradients, and what a bias adds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.dataloaders import DataLoaders
from ..insight.drawing import draw, panels, show_picture
from ..randomness import generator
from ..training.losses import mnist_loss
from .classes import TwoClasses
from .exhibit import Between, Shown, exhibit, grad_of, refusal

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@exhibit(15, "How do we initialise the weights?")
def initial_weights(
    dls: DataLoaders, steps: Annotated[int, Between(2, 500)] = 100, layers: Annotated[int, Between(2, 50)] = 20
) -> Shown:
    """At random, so that they differ, and with a spread that fits the number of inputs.

    Units of a layer whose weights, in and out, start equal get equal gradients, and stay copies of one another for
    ever: 30 are worth one. Where all weights are 0, with ReLU between two layers, none of them ever moves; one
    linear layer alone may start at 0. A unit adds up n products. With random weights of spread √(2 / n) and ReLUs
    the sums stay about equally large from layer to layer (He and others, 2015); with half of that they vanish after
    many layers, with twice that they explode. At the end, `requires_grad_()` makes torch keep track, so that there
    will be gradients.
    """
    data, hidden, width = TwoClasses.of(dls), 30, 200
    n = data.x.shape[1]
    x = data.x + 1 / n**0.5  # so that black is 0

    def draws(rows: int, columns: int, spread: float, seed: int) -> Tensor:
        return spread * torch.randn(rows, columns, generator=generator(seed, "tour"), dtype=torch.float64)

    def equal(value: float) -> tuple[Tensor, Tensor]:
        return data.x.new_full((n, hidden), value), data.x.new_full((hidden, 1), value)

    def network(first: Tensor, second: Tensor) -> Tensor:
        return F.relu(x @ first) @ second

    def train(model: Callable[..., Tensor], *weights: Tensor) -> list[float]:
        losses = []
        for w in weights:
            w.requires_grad_()
        for _ in range(steps):
            loss: Any = mnist_loss(model(*weights), data.y[:, None])
            loss.backward()
            losses.append(loss.item())
            for w in weights:
                w.data -= 10 * grad_of(w)
                w.grad = None
        return losses

    at_random = draws(n, hidden, (2 / n) ** 0.5, 0), draws(hidden, 1, (2 / hidden) ** 0.5, 1)
    starts = {"all 0": equal(0.0), "all 0.1": equal(0.1), "random": at_random}
    losses = {name: train(network, *weights) for name, weights in starts.items()}
    losses["all 0, one linear layer"] = train(lambda w: x @ w, data.x.new_zeros(n, 1))
    units = {name: first.detach().T for name, (first, _) in starts.items()}

    sizes: dict[str, list[float]] = {}
    for name, factor in {"half of √(2 / n)": 0.5, "√(2 / n)": 1, "twice √(2 / n)": 2}.items():
        h, sizes[name] = x, [1.0]
        for layer in range(layers):
            h = F.relu(h @ draws(h.shape[1], width, factor * (2 / h.shape[1]) ** 0.5, layer))
            sizes[name].append((h.square().mean() / x.square().mean()).sqrt().item())
    findings = {
        "hidden_units": hidden, "loss": losses,
        "different_units": {name: len(rows.round(decimals=6).unique(dim=0)) for name, rows in units.items()},
        "root_mean_square_after_each_layer": sizes,
    }  # fmt: skip
    return Shown(findings, _draw_initial(findings, units, data.shape))


@exhibit(19, "Do you need to know how to calculate gradients yourself?")
def automatic_gradients(dls: DataLoaders, hidden: Annotated[int, Between(1, 100)] = 50) -> Shown:
    """No: torch works them out, for whatever you compute with its functions. You need to know what they mean.

    Each function of torch brings its own derivative, and `backward` joins them by the chain rule. That is no estimate:
    where pen and paper have a formula, as for the squared error or the loss of a sigmoid, the two agree up to rounding.
    It goes on where nobody would want to write the formula down; there trying, by raising and lowering single weights,
    confirms it, but to try all of them would take two predictions for each.
    """
    data = TwoClasses.of(dls)
    x, y, n = data.x, data.y[:, None], len(data.x)
    w = data.random().requires_grad_()
    scores = x @ w.detach()
    p = 1 / (1 + torch.exp(-scores))
    on_paper = {
        "squared error": (data.squared_error, 2 / n * x.T @ (scores - y)),
        "mnist_loss": (data.loss, 1 / n * x.T @ ((1 - 2 * y) * p * (1 - p))),
    }
    compared = {}
    for name, (loss, by_hand) in on_paper.items():
        w.grad = None
        loss(w).backward()
        compared[name] = (grad_of(w)[:, 0], by_hand[:, 0])

    shapes = [(x.shape[1], hidden), (hidden, hidden), (hidden, hidden), (hidden, 1)]
    sizes = [rows * columns for rows, columns in shapes]
    weights = torch.randn(sum(sizes), generator=generator(0, "tour"), dtype=torch.float64) / hidden**0.5

    def network(weights: Tensor) -> Any:
        a, b, c, d = (part.view(shape) for part, shape in zip(weights.split(sizes), shapes, strict=True))
        h = torch.tanh(x @ a)
        h = h + torch.sin(h @ b) * torch.sigmoid(h @ c)
        return mnist_loss(h.exp().log1p() @ d, y)

    network(weights.requires_grad_()).backward()
    some = torch.randperm(len(weights), generator=generator(1, "tour"))[:100]
    nudges = 1e-5 * F.one_hot(some, len(weights)).double()
    with torch.no_grad():
        tried = [(network(weights + nudge) - network(weights - nudge)) / 2e-5 for nudge in nudges]
    compared["network"] = (grad_of(weights)[some], torch.stack(tried))
    findings = {
        "largest_gradient": {name: by_torch.abs().max().item() for name, (by_torch, _) in compared.items()},
        "largest_difference": {name: (a - b).abs().max().item() for name, (a, b) in compared.items()},
        "weights_of_the_network": len(weights), "weights_tried": len(some), "predictions_to_try_all": 2 * len(weights),
    }  # fmt: skip
    return Shown(findings, _draw_compared(compared, len(weights)))


@exhibit(28, "What are the bias parameters, and why do we need them?")
def bias(dls: DataLoaders, brighter: Annotated[float, Between(-0.5, 0.5)] = 0) -> Shown:
    """The b in x @ w + b: a number added to the score, whatever the picture. It is trained as the weights are.

    Without it a black picture, all of whose x are 0, has a score of 0 with any weights: the line of the scores goes
    through the origin. A pixel's brightness is never below 0, so by one pixel alone all scores have one sign or are 0:
    no more than black and not black could be told apart (a score of 0 decides nothing: it counts as half right). With b
    the line crosses 0 where it fits best, as if all pictures had been made brighter or darker by the best amount; how
    bright they are as a whole (try `brighter`) no longer matters. b is also the weight of an input that is always 1,
    for which other pixels can stand in, in part.
    """
    data = TwoClasses.of(dls)
    x, target = (data.x * data.x.shape[1] ** 0.5 + 1) / 2, 2 * data.y[:, None] - 1  # black is 0; the classes +1 and -1
    of_one, of_other = x[data.y == 1], x[data.y == 0]
    apart = (of_one.mean(0) - of_other.mean(0)).abs() / (
        of_one.std(0, correction=0) + of_other.std(0, correction=0) + 1e-6
    )
    pixel = int(apart.argmax())  # the one by which the classes differ most
    shifts = torch.linspace(-1, 1, 201, dtype=torch.float64)

    def fit(x: Tensor, always: float) -> tuple[Tensor, Tensor]:
        inputs = F.pad(x, (0, 1), value=always)
        w = torch.linalg.pinv(inputs) @ target  # the least squared error that weights can give
        return w[..., 0], inputs @ w

    findings: dict[str, Any] = {"classes": data.names, "pixel": pixel}
    losses = {}
    for name, always in (("without", 0.0), ("with", 1.0)):
        one = x[:, pixel : pixel + 1]
        w, scores = fit(one + brighter, always)
        right = (scores * target > 0).double() + 0.5 * (scores == 0)  # who cannot decide guesses
        losses[name] = (fit(one + shifts[:, None, None], always)[1] - target).square().mean((1, 2))
        findings[name] = {
            "weight": w[0].item(), "bias": w[1].item(), "loss": (scores - target).square().mean().item(),
            "right": right.mean().item(), "scores_above_0": int((scores > 0).sum()),
            "scores_below_0": int((scores < 0).sum()),
            "loss_of_all_pixels": (fit(x + brighter, always)[1] - target).square().mean().item(),
        }  # fmt: skip
    black = torch.zeros(1, x.shape[1], dtype=torch.float64)
    findings["black_scores_with_1000_weights"] = (black @ data.random(1000)).abs().max().item()
    return Shown(findings, _draw_bias(findings, data, x + brighter, shifts, losses))


@exhibit(30, "What does the backward method do?")
def backward(dls: DataLoaders) -> Shown:
    """It goes back from the loss over all that was computed, and adds to `.grad` of each weight that weight's gradient.

    While predictions and loss were computed, torch noted each function in a graph of `grad_fn`s. `backward` follows it
    to its leaves, the weights: it multiplies by each function's derivative, the chain rule, and adds where ways meet.
    It returns nothing and changes no weight; that is the step's work. What was in `.grad` stays in the sum: two calls
    leave twice the gradient. After a call the graph is let go, so that one more fails, unless the one before it was
    told `retain_graph=True`. The loss has to be one number; of several, `backward` must be told how much each counts.
    """
    data = TwoClasses.of(dls)
    w, b = data.random().requires_grad_(), torch.zeros(1, dtype=torch.float64, requires_grad=True)
    preds = data.x @ w + b
    loss: Any = mnist_loss(preds, data.y[:, None])

    leaves = {id(w): " into w.grad", id(b): " into b.grad"}

    def name(node: Any) -> str:
        return type(node).__name__ + leaves.get(id(getattr(node, "variable", None)), "")

    ways, waiting = [], [loss.grad_fn]
    for node in waiting:  # which grows meanwhile
        for behind, _ in node.next_functions:
            if behind is not None:  # the pictures need no gradient
                ways.append((name(node), name(behind)))
                if behind not in waiting:
                    waiting.append(behind)

    before = w.detach().clone()
    returned = loss.backward(retain_graph=True)
    once = grad_of(w).clone()
    loss.backward()
    findings = {
        "graph": [" → ".join(way) for way in ways], "returned": repr(returned),
        "weights_changed": not torch.equal(w, before), "gradient_of_w": list(grad_of(w).shape),
        "gradient_of_b": grad_of(b).tolist(), "kept_for_preds": preds.retains_grad,
        "kept_for_pictures": data.x.requires_grad, "after_two_calls": (grad_of(w).norm() / once.norm()).item(),
        "one_call_more": refusal(lambda: loss.backward()),
        "of_several_numbers": refusal(lambda: (data.x @ w).backward()),
    }  # fmt: skip
    return Shown(findings, _draw_backward(ways, data, once, grad_of(w)))


def _draw_initial(found: dict[str, Any], units: dict[str, Tensor], shape: tuple[int, ...]) -> Figure:
    figure, axes = panels(4, "Weights start at random, and with a spread that fits", size=(3.8, 3.6))
    losses, sizes = found["loss"], found["root_mean_square_after_each_layer"]
    for name, style in zip(losses, ("C7", "C1", "C0", "C7:"), strict=True):
        axes[0].plot(losses[name], style, label=name)
    axes[0].legend(fontsize=8)
    axes[0].set_title("the loss, by how the weights start", fontsize=10)
    axes[0].set(xlabel="step", ylabel="loss", ylim=(0, 0.8))
    for axis, name in zip(axes[1:], ("all 0.1", "random"), strict=False):
        tiles = F.pad(units[name][:9].view(-1, *shape), (0, 1, 0, 1), value=float("nan")).unflatten(0, (3, 3))
        image = tiles.permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)  # of rows and columns of tiles one picture
        different, hidden = found["different_units"][name], found["hidden_units"]
        became = "all are the same" if different == 1 else f"{different} differ"
        title = f"weights of 9 of {hidden} units, red above 0;\nstarted {name}, after training {became}"
        show_picture(axis, image, title, high=image.nan_to_num().abs().max().item(), signed=True)
    for name, style in zip(sizes, ("C7.-", "C0.-", "C1.-"), strict=True):
        axes[3].semilogy(sizes[name], style, label=name)
    axes[3].legend(fontsize=8, title="spread of the weights")
    axes[3].set_title("half the spread vanishes, twice explodes", fontsize=10)
    axes[3].set(xlabel="layer", ylabel="root mean square; of the input it is 1")
    return figure


def _draw_compared(compared: dict[str, tuple[Tensor, Tensor]], weights: int) -> Figure:
    figure, axes = panels(3, "Torch's gradients are those of pen and paper, and go on where paper ends", size=(4, 3.8))
    titles = {
        "squared error: on paper\n2 · xᵀ(xw − y) / n": "by hand",
        "mnist_loss: on paper\nxᵀ((1 − 2y) · p · (1 − p)) / n": "by hand",
        f"a network of {weights:,} weights:\n100 of them, raised and lowered": "by trying",
    }
    for axis, (title, how), (ours, theirs) in zip(axes, titles.items(), compared.values(), strict=True):
        ends = [-ours.abs().max().item(), ours.abs().max().item()]
        draw(axis, title, "gradient by backward", f"gradient {how}",
             (ends, ends, "C7", "equal"), (ours, theirs, "C0.", "one weight each"))  # fmt: skip
        axis.locator_params(nbins=4)
    return figure


def _draw_bias(found: dict[str, Any], data: TwoClasses, x: Tensor, shifts: Tensor, losses: dict[str, Tensor]) -> Figure:
    figure, axes = panels(4, "A bias lets the line of the scores cross 0 where it fits", size=(3.7, 3.6))
    pixel = found["pixel"]
    channel, row, column = (int(i) for i in torch.unravel_index(torch.tensor(pixel), data.shape))
    of_which = f" (its {('red', 'green', 'blue')[channel]})" if data.shape[0] == 3 else ""
    kinds = list(zip(data.names, (data.y == 1, data.y == 0), (1, -1), ("C0o", "C3x"), strict=True))
    for axis, (name, mine, _, _) in zip(axes, kinds, strict=False):
        title = f"average {name}, and the pixel{of_which}"
        show_picture(axis, x[mine].mean(0).view(data.shape)[channel], title, high=1)
        axis.plot(column, row, "C1s", markersize=14, fillstyle="none", markeredgewidth=3)
    for name, mine, side, style in kinds:
        scattered = side + torch.linspace(-0.1, 0.1, int(mine.sum()))
        axes[2].plot(x[mine, pixel], scattered, style, alpha=0.4, label=name)
    ends = torch.tensor([min(0.0, x[:, pixel].min().item()), x[:, pixel].max().item()])
    for name, style in (("without", "C7"), ("with", "C1")):
        one = found[name]
        label = f"{name} bias: {100 * one['right']:.0f} % right"
        axes[2].plot(ends, one["weight"] * ends + one["bias"], style, linewidth=2.5, label=label)
        axes[3].plot(shifts, losses[name], style, linewidth=2.5, label=f"{name} bias")
    axes[2].axhline(0, color="black", linewidth=0.8)
    axes[2].set(
        xlabel="brightness of the pixel: 0 is black, 1 white",
        ylabel="score; the classes are +1 and -1",
        ylim=(-2.2, 2.2),
    )
    axes[2].set_title("without it, the line goes through the origin\n(a score of 0 counts as half right)", fontsize=10)
    axes[3].set(xlabel="added to the brightness of all pictures", ylabel="mean squared error")
    axes[3].set_title("without it, the brightness as a whole matters", fontsize=10)
    axes[2].legend(fontsize=7, ncol=2)
    axes[3].legend(fontsize=8)
    return figure


def _draw_backward(ways: list[tuple[str, str]], data: TwoClasses, once: Tensor, twice: Tensor) -> Figure:
    figure, axes = panels(3, "backward goes from the loss to the weights, and adds to their .grad", size=(4.4, 4.4))
    depth = {ways[0][0]: 0}
    for _ in ways:  # enough rounds for the longest way
        for name, behind in ways:
            if name in depth:
                depth[behind] = max(depth.get(behind, 0), depth[name] + 1)
    levels = [[name for name, level in depth.items() if level == k] for k in range(max(depth.values()) + 1)]
    passed = {level for name, behind in ways for level in range(depth[name] + 1, depth[behind])}
    place = {
        name: ((k + 1) / (len(level) + 1) - 0.25 * (depth[name] in passed), -depth[name])
        for level in levels
        for k, name in enumerate(level)
    }
    for name, where in place.items():
        text = name.replace(" into ", "\ninto ")
        box = {"boxstyle": "round", "color": "C1" if "into" in name else "C0", "alpha": 0.25}
        axes[0].text(*where, text, ha="center", va="center", fontsize=9, bbox=box)
    for name, behind in ways:
        arrow = {"arrowstyle": "->", "shrinkA": 12, "shrinkB": 14}
        axes[0].annotate("", place[behind], place[name], arrowprops=arrow)
    axes[0].set(xlim=(0, 1), ylim=(-len(levels) + 0.5, 0.5))
    axes[0].set_title("loss = where(y == 1, 1 - p, p).mean()\np = sigmoid(x @ w + b), and its graph", fontsize=10)
    axes[0].axis("off")
    what = "w.grad after one call, each weight at its pixel;\nabove 0 red, below 0 blue"
    show_picture(axes[1], once.view(data.shape), what, high=once.abs().max().item(), signed=True)
    ends = [once.min().item(), once.max().item()]
    draw(axes[2], "a second call adds the same again", "w.grad after one call", "w.grad after two calls",
         (ends, [2 * end for end in ends], "C7", "twice as much"), (once, twice, "C0.", "one weight each"))  # fmt: skip
    axes[2].locator_params(nbins=4)
    return figure
