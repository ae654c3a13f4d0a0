"""Exhibits about descent: whose gradient a step follows, and what the step does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.dataloader import DataLoader
from ..data.dataloaders import DataLoaders
from ..insight.drawing import draw, panels, percentages, show_picture
from ..training.optimizers import SGD, BasicOptim
from .classes import TwoClasses
from .exhibit import Between, Shown, exhibit, refusal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@exhibit(12, "What is SGD?")
def sgd(
    dls: DataLoaders,
    batch_size: Annotated[int, Between(1, 1024)] = 16,
    epochs: Annotated[int, Between(1, 30)] = 10,
    speed: Annotated[float, Between(0.01, 0.9)] = 0.25,
) -> Shown:
    """Stochastic gradient descent: many small steps downhill, each by the gradient of a few pictures drawn at random.

    A step subtracts learning rate × gradient from the weights. The gradient of all pictures is exact, but a look at all
    of them buys a single step. That of a random batch errs, one way or another, and is right on average: the mean over
    the batches of an epoch is the gradient of all. So the same looks buy many steps, some of them uphill, which come
    much further down. Random changes, of which those stay that help, come less far: they do not know the way. Here the
    learning rate is a quarter (`speed`) of the highest one that descent by all pictures stands.
    """
    data = TwoClasses.of(dls)
    start, lr = data.random(), speed * 2 / data.curvatures[0][-1]
    batches = DataLoader(list(zip(data.x, data.y, strict=True)), batch_size, shuffle=True)

    def gradient(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        w = w.clone().requires_grad_()
        return torch.autograd.grad(data._replace(x=x, y=y).squared_error(w), w)[0]

    def descend(batches: Any) -> Tensor:
        path = [start]
        for _ in range(epochs):
            for x, y in batches:
                path.append(path[-1] - lr * gradient(path[-1], x, y))
        return torch.cat(path, 1)  # weights × steps

    def wander() -> Tensor:
        path, length = [start], 1.0
        for way in F.normalize(data.random(3 * epochs, seed=4), dim=0).T:  # a gradient takes as long as 3 predictions
            tried = path[-1] + length * way[:, None]
            better = bool(data.squared_error(tried) < data.squared_error(path[-1]))
            path.append(tried if better else path[-1])
            length *= 1.5 if better else 0.9
        return torch.cat(path, 1)

    paths = {"SGD": descend(batches), "all pictures a step": descend([(data.x, data.y)]), "random changes": wander()}
    losses = {name: data.squared_error(path) for name, path in paths.items()}
    exact = gradient(start, data.x, data.y)
    drawn = torch.cat([gradient(start, x, y) for x, y in batches], 1)  # a column for each batch
    shares = torch.tensor([len(y) / len(data.y) for _, y in batches], dtype=torch.float64)
    findings = {
        "pictures": len(data.x), "batch_size": batch_size, "epochs": epochs, "lr": lr.item(),
        "steps": {name: path.shape[1] - 1 for name, path in paths.items()}, "loss_before": losses["SGD"][0].item(),
        "loss_after": {name: loss[-1].item() for name, loss in losses.items()},
        "a_batchs_gradient_errs_by": ((drawn - exact).norm(dim=0).mean() / exact.norm()).item(),
        "their_mean_errs_by": ((drawn @ shares[:, None] - exact).norm() / exact.norm()).item(),
        "share_of_sgds_steps_uphill": (losses["SGD"].diff() > 0).double().mean().item(),
    }  # fmt: skip
    return Shown(findings, _draw_sgd(findings, data, paths, losses, exact, drawn))


@exhibit(23, "What is the function to calculate new weights using a learning rate?")
def new_weights(
    dls: DataLoaders, lr: Annotated[float, Between(0.001, 100)] = 30, steps: Annotated[int, Between(2, 200)] = 20
) -> Shown:
    """weights - learning rate × gradient: `w -= lr * w.grad`. SGD subtracts.

    The gradient says where the loss rises, so the step goes the other way; added, it climbs. A small step lowers the
    loss by as much as the gradient promises, lr × its squared length; for a large one the slope does not last. The
    optimizers do the same: `BasicOptim` to the last bit, `SGD` and `torch.optim.SGD` with one rounding instead of two,
    as in `w.sub_(w.grad, alpha=lr)`. Write it under `torch.no_grad()`, or on `w.data`: else torch refuses to change in
    place a weight that asks for a gradient.
    """
    data = TwoClasses.of(dls)
    start = data.random() / 10

    def gradient(w: Tensor) -> Tensor:
        w = w.clone().requires_grad_()
        return torch.autograd.grad(data.loss(w), w)[0]

    def by_hand(new: Any) -> Tensor:
        path = [start]
        for _ in range(steps):
            path.append(new(path[-1], gradient(path[-1])))
        return torch.cat(path, 1)  # weights × steps

    def by_optimizer(opt_func: Any) -> Tensor:
        w = start.clone().requires_grad_()
        opt = opt_func([w], lr=lr)
        for _ in range(steps):
            w.grad = gradient(w)
            opt.step()
        return w.detach()

    down, up = by_hand(lambda w, grad: w - lr * grad), by_hand(lambda w, grad: w + lr * grad)
    rounded_once = by_hand(lambda w, grad: torch.sub(w, grad, alpha=lr))[:, -1:]
    watched, grad = start.clone().requires_grad_(), gradient(start)
    lrs = torch.logspace(-2, 3, 41, dtype=torch.float64)
    kept = (data.loss(start) - data.loss(start - lrs * grad)) / (lrs * grad.square().sum())
    findings = {
        "lr": lr, "steps": steps, "loss_subtracting": data.loss(down).tolist(), "loss_adding": data.loss(up).tolist(),
        "same_bits_as_BasicOptim": torch.equal(by_optimizer(BasicOptim), down[:, -1:]),
        "rounded_once_same_bits_as_SGD": torch.equal(by_optimizer(SGD), rounded_once),
        "rounding_changes_weights_by": (down[:, -1:] - rounded_once).abs().max().item(),
        "share_of_the_promised_fall": dict(zip(lrs[::8].tolist(), kept[::8].tolist(), strict=True)),
        "refused": refusal(lambda: watched.sub_(lr * grad)),
    }  # fmt: skip
    return Shown(findings, _draw_new_weights(findings, data, down, lr * grad, lrs, kept))


def _draw_sgd(
    found: dict[str, Any],
    data: TwoClasses,
    paths: dict[str, Tensor],
    losses: dict[str, Tensor],
    exact: Tensor,
    drawn: Tensor,
) -> Figure:
    figure, axes = panels(3, "SGD: many small steps, each by the gradient of a few random pictures")
    along = F.normalize(exact, dim=0)
    across = torch.linalg.svd(drawn - along @ (along.T @ drawn), full_matrices=False)[0][:, :1]
    for arrows, colour, width, whose in ((drawn, "C0", 0.004, str(found["batch_size"])), (exact, "C1", 0.012, "all")):
        x, y = torch.cat([along, across], 1).T @ arrows
        axes[0].quiver(
            0 * x, 0 * y, x, y, angles="xy", scale_units="xy", scale=1,
            color=colour, width=width, label=f"of {whose} pictures",
        )  # fmt: skip
        axes[0].update_datalim(torch.stack([x, y], 1).numpy())
    axes[0].legend(fontsize=8, loc="upper left")
    axes[0].margins(y=0.25)
    draw(axes[0], "a batch's gradient errs, their mean does not", "along the gradient of all pictures", "across it")

    curvatures, directions = (part[..., [-1, -2]] for part in data.curvatures)
    floor = (2 * data.x.T @ data.y / len(data.x)) @ directions / curvatures
    curves = []
    for name, style in (("SGD", "C0.-"), ("all pictures a step", "C1o-")):
        curves.append((*(directions.T @ paths[name] - floor[:, None]), style, f"{name}: {found['steps'][name]} steps"))
    draw(axes[1], "SGD's way is crooked, in many more steps", "place along the most curved direction",
         "along the second most curved", *curves)  # fmt: skip
    axes[1].locator_params(nbins=6)
    _contours(axes[1], *curvatures.tolist())

    looks = zip(losses.items(), ("C0", "C1o-", "C7"), strict=True)
    curves = [(torch.linspace(0, found["epochs"], len(loss)), loss, style, name) for (name, loss), style in looks]
    draw(axes[2], "for equal work, the lowest loss", "epochs: looks at every picture", "loss on all pictures", *curves)
    axes[2].set_yscale("log")
    return figure


def _contours(axis: Axes, most: float, second: float) -> None:
    """Lines of equal loss around the floor, for how much it curves along both axes."""
    ranges = (torch.linspace(*ends, 80) for ends in (axis.get_xlim(), axis.get_ylim()))
    x, y = torch.meshgrid(*ranges, indexing="xy")
    axis.contour(x, y, most / 2 * x**2 + second / 2 * y**2, 12, colors="0.8", linewidths=0.8, zorder=0)


def _draw_new_weights(
    found: dict[str, Any], data: TwoClasses, down: Tensor, change: Tensor, lrs: Tensor, kept: Tensor
) -> Figure:
    figure, axes = panels(5, "new weights = weights - learning rate × gradient", size=(3, 3))
    high = max(down[:, :2].abs().max().item(), change.abs().max().item())
    show_picture(axes[0], down[:, 0].view(data.shape), "weights, red above 0", high=high, signed=True)
    show_picture(axes[1], change.view(data.shape), f"- {found['lr']:g} × gradient", high=high, signed=True)
    show_picture(axes[2], down[:, 1].view(data.shape), "= new weights", high=high, signed=True)
    steps = range(found["steps"] + 1)
    draw(axes[3], "subtracted it goes down, added it climbs", "step", "loss",
         (steps, found["loss_subtracting"], "C0", "w - lr × gradient"),
         (steps, found["loss_adding"], "C1", "w + lr × gradient"))  # fmt: skip
    draw(axes[4], "a small step keeps the slope's promise", "learning rate", "fall of the loss, % of lr × |gradient|²",
         (lrs, percentages(kept), "C0", ""))  # fmt: skip
    axes[4].set(xscale="log", ylim=(0, 110))
    return figure
