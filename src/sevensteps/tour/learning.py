"""Exhibits about learning: gradients, steps, losses. All ask one small question: the first class, or the second?"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.dataloader import DataLoader
from ..data.dataloaders import DataLoaders
from ..insight.drawing import draw, panels, show_picture
from ..training.losses import mnist_loss
from .classes import TwoClasses
from .exhibit import Between, Shown, exhibit, grad_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Steps = Annotated[int, Between(2, 500)]


@exhibit(14, "What are the seven steps in SGD?")
def seven_steps(dls: DataLoaders, lr: Annotated[float, Between(0.001, 1000)] = 10, steps: Steps = 100) -> Shown:
    """Initialise, predict, loss, gradient, step, repeat, stop.

    (1) Initialise the weights, at random. For each batch: (2) predict, (3) measure by the loss how wrong that is,
    (4) take the loss's gradient for every weight, (5) step: subtract learning rate × gradient from the weights, and
    forget the gradient. (6) Repeat from 2 with the next batch, until it is time to (7) stop: after so many steps, as
    here, or when the validation set says that it no longer helps.
    """
    train, valid = TwoClasses.of(dls), TwoClasses.of(dls, "valid")
    batches = DataLoader(list(zip(train.x, train.y, strict=True)), batch_size=64, shuffle=True)
    log: list[tuple[float, float, float]] = []
    rounds = (batch for _ in count() for batch in batches)
    w = train.random().requires_grad_()  # 1 initialise
    for xb, yb in rounds:
        preds = xb @ w  # 2 predict
        loss: Any = mnist_loss(preds, yb[:, None])  # 3 loss
        loss.backward()  # 4 gradient; it is added into w.grad
        length = grad_of(w).norm().item()
        w.data -= lr * grad_of(w)  # 5 step
        w.grad = None
        log.append((loss.item(), length, valid.accuracy(w).item()))
        if len(log) == steps:
            break  # 7 stop; else 6 repeat
    losses, lengths, accuracies = map(list, zip(*log, strict=True))
    findings = {
        "1 initialise": f"{len(w)} random weights", "2 predict": f"{min(64, len(train.x))} scores, one a picture",
        "3 loss": f"{losses[0]:.3g}", "4 gradient": f"{lengths[0]:.3g} long",
        "5 step": f"weights - lr × gradient, {lr * lengths[0]:.3g} long", "6 repeat": "from 2, with the next batch",
        "7 stop": f"after {steps} steps; the last batch's loss {losses[-1]:.3g}", "loss": losses,
        "valid_accuracy": accuracies, "classes": train.names,
    }  # fmt: skip
    return Shown(findings, _draw_seven(findings, len(batches)))


@exhibit(17, "Why can't we always use a high learning rate?")
def learning_rates(dls: DataLoaders, steps: Annotated[int, Between(2, 50)] = 20) -> Shown:
    """A gradient knows the slope here, not how far the slope goes on: too long a step lands beyond the valley's floor.

    Along a direction in which the loss curves by c, a step of learning rate lr multiplies the distance to the floor by
    1 - lr × c. Up to lr = 1 / c that shrinks it; from there to 2 / c it changes sides at each step, it bounces, and
    still shrinks; above 2 / c it lands higher on the other side each time, and the loss grows without end: it diverges.
    The most curved direction sets the limit. For this squared error c is the same everywhere; other losses change
    theirs.
    """
    data = TwoClasses.of(dls)
    curvatures, directions = data.curvatures
    bent, limit = directions[:, -1], 2 / curvatures[-1]
    floor = (2 * data.x.T @ data.y / len(data.x)) @ bent / curvatures[-1]
    swept = torch.cat([torch.logspace(-2.5, 0.3, 40), torch.linspace(0.9, 1.1, 21)]).sort().values
    factors = torch.cat([torch.tensor([0.25, 0.95, 1.05]), swept]).double()
    lrs = limit * factors
    w = data.random().repeat(1, len(lrs)).requires_grad_()  # a model for each learning rate, all trained at once
    losses, places = [], []
    for _ in range(steps + 1):
        loss = data.squared_error(w)
        loss.sum().backward()
        losses.append(loss.detach())
        places.append(bent @ w.detach() - floor)
        w.data -= lrs * grad_of(w)
        w.grad = None
    loss_of, place_of = torch.stack(losses), torch.stack(places)  # steps × learning rates
    crossings = (place_of[1:] * place_of[:-1] < 0).sum(0)
    findings: dict[str, Any] = {"curvature": curvatures[-1].item(), "limit": limit.item(), "steps": steps}
    for name, lr, loss, n in zip(("low", "high", "too_high"), lrs, loss_of.T, crossings, strict=False):
        ends = {"first_loss": loss[0].item(), "last_loss": loss[-1].item()}
        findings[name] = {"lr": lr.item(), **ends, "crossed_the_floor": int(n)}
    findings["sweep"] = {"lr": lrs[3:].tolist(), "last_loss": loss_of[-1, 3:].tolist()}
    return Shown(findings, _draw_rates(findings, place_of[:, :3]))


@exhibit(18, "What is a gradient?")
def gradient(dls: DataLoaders, h: Annotated[float, Between(1e-7, 1e-2)] = 1e-4) -> Shown:
    """For each weight one number: how fast the loss rises when that weight alone is raised a little.

    If it is 0.02, raising the weight by 0.001 raises the loss by about 0.00002; if it is negative, the loss falls. All
    of them together point where the loss rises fastest, so a step goes the other way. `loss.backward()` works them out
    by the chain rule, returns nothing, and adds them into each weight's `.grad`. Trying, by raising and lowering each
    weight by h and looking at the loss, gives the same numbers, but takes two predictions for every weight.
    """
    data = TwoClasses.of(dls)
    w = data.random().requires_grad_()
    returned = data.loss(w).backward()
    grad, w = grad_of(w)[:, 0], w.detach()

    each = h * torch.eye(len(w), dtype=torch.float64)  # column i raises weight i by h
    tried = (data.loss(w + each) - data.loss(w - each)) / (2 * h)

    anywhere = F.normalize(data.random(1000, seed=1), dim=0)  # directions of length 1
    slopes = (data.loss(w + h * anywhere) - data.loss(w - h * anywhere)) / (2 * h)
    findings = {
        "weights": len(w), "loss": data.loss(w).item(), "largest_gradient": grad.abs().max().item(),
        "largest_error_of_trying": (grad - tried).abs().max().item(), "slope_along_the_gradient": grad.norm().item(),
        "steepest_of_1000_directions": slopes.max().item(), "backward_returns": returned, "classes": data.names,
    }  # fmt: skip
    return Shown(findings, _draw_gradient(data, w, grad, tried))


@exhibit(20, "Why can't we use accuracy as a loss function?")
def accuracy_as_loss(dls: DataLoaders, places: Annotated[int, Between(1, 20)] = 8) -> Shown:
    """Because its gradient is 0 almost everywhere: no weight would ever move.

    Accuracy changes only when a picture's score passes the threshold, and then it jumps. Between the jumps a small
    change of a weight changes no answer, so accuracy is a staircase: flat on its steps, without a slope at their edges.
    Torch gives no gradient at all through `>` or `==`. A loss moves with the scores: each small change counts.
    """
    data = TwoClasses.of(dls)
    h, somewhere = 1e-9, data.random(places, seed=2)
    nudges = h * torch.eye(len(somewhere), dtype=torch.float64)
    moved = torch.cat([data.accuracy(w[:, None] + nudges) - data.accuracy(w[:, None] - nudges) for w in somewhere.T])
    weights = somewhere.clone().requires_grad_()
    data.loss(weights).sum().backward()
    findings = {
        "gradients_looked_at": len(moved), "share_zero_for_accuracy": (moved == 0).double().mean().item(),
        "share_zero_for_the_loss": (grad_of(weights) == 0).double().mean().item(),
        "torch_has_a_gradient_of_accuracy": data.accuracy(weights).requires_grad,
    }  # fmt: skip
    return Shown(findings, _draw_stairs(data, somewhere[:, :1], grad_of(weights)[:, :1]))


@exhibit(21, "Draw the sigmoid function; what is special about its shape?")
def sigmoid(dls: DataLoaders) -> Shown:
    """sigmoid(x) = 1 / (1 + exp(-x)) takes any number to one between 0 and 1, smoothly, and it always rises.

    It is 0.5 at 0, where it is steepest with a slope of 0.25, and ever flatter far out on both sides; it reaches
    neither 0 nor 1, though a computer's numbers do round to them. It has a slope above 0 everywhere, so a gradient
    comes through, the less of it the surer the answer is; and because it only rises, it keeps the order of the scores.
    """
    x = torch.linspace(-8, 8, 1601, dtype=torch.float64, requires_grad=True)
    y: Any = 1 / (1 + torch.exp(-x))
    y.sum().backward()
    slope, y = grad_of(x), y.detach()
    data, valid = TwoClasses.of(dls), TwoClasses.of(dls, "valid")
    scores = 6 * (valid.x @ torch.linalg.pinv(data.x, rtol=0.1) @ (data.y - 0.5))  # least squares
    findings = {
        "at_0": torch.tensor(0.0).sigmoid().item(), "lowest": y.min().item(), "highest": y.max().item(),
        "always_rises": bool((y.diff() > 0).all()), "steepest_slope": slope.max().item(),
        "symmetric_within": (y + y.flip(0) - 1).abs().max().item(),
        "float32_says_1_from": int((torch.arange(200).sigmoid() == 1).nonzero()[0]),
        "order_of_the_scores_kept": bool((scores.sigmoid()[scores.argsort()].diff() >= 0).all()),
    }  # fmt: skip
    return Shown(findings, _draw_sigmoid(x.detach(), y, slope, valid, scores))


@exhibit(31, "Why do we have to zero the gradients?")
def zeroing(dls: DataLoaders, speed: Annotated[float, Between(0.01, 0.9)] = 0.5, steps: Steps = 60) -> Shown:
    """Because `backward` adds to what is in `.grad`: each step would follow the sum of all the gradients so far.

    Two backward calls leave twice the gradient. In training, step k would subtract lr × the sum of k gradients, all but
    one of them taken at weights that are gone. As a ball that rolls without friction, the weights run past the valley's
    floor and up again; they pass low places, but come to rest in none. (With momentum, which lets old gradients fade,
    they do.) Adding is on purpose: several small batches can make up a large one. Here the learning rate is half
    (`speed`) of the highest possible one.
    """
    data = TwoClasses.of(dls)
    lr = speed * 2 / data.curvatures[0][-1].item()
    w, after = data.random().requires_grad_(), []
    for _ in range(2):
        data.squared_error(w).backward()
        after.append(grad_of(w).norm().item())

    def train(zero: bool) -> tuple[list[float], list[float]]:
        w, losses, lengths = data.random().requires_grad_(), [], []
        for _ in range(steps):
            loss = data.squared_error(w)
            loss.backward()
            losses.append(loss.item())
            lengths.append(lr * grad_of(w).norm().item())
            w.data -= lr * grad_of(w)
            if zero:
                w.grad = None
        return losses, lengths

    (loss_zeroed, zeroed), (loss_kept, kept) = train(True), train(False)
    findings = {
        "after_two_backwards": after[1] / after[0], "lr": lr, "steps": steps, "step_length_zeroed": zeroed,
        "step_length_not_zeroed": kept, "loss_zeroed": loss_zeroed, "loss_not_zeroed": loss_kept,
    }  # fmt: skip
    return Shown(findings, _draw_zeroing(findings))


def _draw_seven(found: dict[str, Any], an_epoch: int) -> Figure:
    figure, axes = panels(3, f"The seven steps, learning to tell {' from '.join(found['classes'])}")
    axes[0].axis("off")
    for k, (name, what) in enumerate(list(found.items())[:7]):
        axes[0].text(0, 0.92 - k * 0.15, f"{name}: {what}", fontsize=10, va="center")
    draw(axes[0], "the steps, with the numbers of the first batch", "", "")
    steps, percent = range(1, len(found["loss"]) + 1), [100 * value for value in found["valid_accuracy"]]
    epochs = torch.tensor(found["loss"]).split(an_epoch)
    middles = [an_epoch * k + len(part) / 2 + 0.5 for k, part in enumerate(epochs)]
    draw(axes[1], "it is driven down: the loss", "step", "loss", (steps, found["loss"], "C7", "of the step's batch"),
         (middles, [part.mean().item() for part in epochs], "C0o-", "mean of an epoch"))  # fmt: skip
    right = "% right of the validation pictures"
    draw(axes[2], "what people read: the accuracy", "step", right, (steps, percent, "C1", ""))
    return figure


def _draw_rates(found: dict[str, Any], places: Tensor) -> Figure:
    figure, axes = panels(4, "A learning rate that is too high bounces, then diverges")
    for axis, name, place in zip(axes, ("low", "high", "too_high"), places.T, strict=False):
        x, half, one = torch.linspace(-1.1, 1.1, 200) * place.abs().max(), found["curvature"] / 2, found[name]
        what = f"lr = {one['lr']:.3g}, {one['lr'] / found['limit']:.2f} of the limit:\nover the floor in "
        curves = ((x, half * x**2, "C7", ""), (place, half * place**2, "C1.-", "steps"))
        start = (place[:1], half * place[:1] ** 2, "C0o", "start")
        draw(axis, f"{what}{one['crossed_the_floor']} of {found['steps']} steps",
             "place along the most curved direction", "loss above the floor", *curves, start)  # fmt: skip
    untrained, sweep = found["low"]["first_loss"], found["sweep"]
    axes[3].axvline(found["limit"], color="C1", linestyle="--", label=f"limit 2 / c = {found['limit']:.3g}")
    axes[3].axhline(untrained, color="C7", label="loss at the start")
    draw(axes[3], "low is slow, above the limit it diverges", "learning rate", f"loss after {found['steps']} steps",
         (sweep["lr"], sweep["last_loss"], "C0", "trained"))  # fmt: skip
    axes[3].set(xscale="log", yscale="log", ylim=(0.5 * min(sweep["last_loss"]), 1e4 * untrained))
    return figure


def _draw_gradient(data: TwoClasses, w: Tensor, grad: Tensor, tried: Tensor) -> Figure:
    figure, axes = panels(3, "A gradient: for each weight, how fast the loss rises when it is raised")
    i, high = int(grad.abs().argmax()), grad.abs().max().item()
    change = torch.linspace(-30, 30, 121, dtype=torch.float64)
    moved = w.repeat(1, len(change))
    moved[i] += change
    tangent = (change, data.loss(w) + grad[i] * change, "C1--", f"slope {grad[i]:.2g}: its gradient")
    draw(axes[0], "the weight with the largest gradient", "change of this weight", "loss",
         (change, data.loss(moved), "C0", "loss"), tangent)  # fmt: skip
    draw(axes[1], "the chain rule and trying agree", "gradient by backward", "gradient by trying",
         (grad, tried, "C0.", "one weight each"), ([-high, high], [-high, high], "C7:", "equal"))  # fmt: skip
    axes[1].locator_params(nbins=4)
    what = "each gradient at its pixel; raising its weight\nraises the loss if red, lowers it if blue"
    show_picture(axes[2], grad.view(data.shape), what, high=high, signed=True)
    return figure


def _draw_stairs(data: TwoClasses, w: Tensor, grad: Tensor) -> Figure:
    figure, axes = panels(2, "Accuracy is a staircase, the loss a slope", size=(5.2, 3.6))
    downhill, way = -F.normalize(grad, dim=0), torch.linspace(0, 5, 5001, dtype=torch.float64)
    jumps = way[1:][data.accuracy(w + downhill * way).diff() != 0]
    way = way / 5 * (1.2 * jumps[min(6, len(jumps) - 1)] if len(jumps) else 5)  # as far as the seventh stair
    walk, moved = w + downhill * way, "how far the weights have moved downhill"
    accuracies, losses = (way, 100 * data.accuracy(walk), "C0", ""), (way, data.loss(walk), "C1", "")
    draw(axes[0], "accuracy: flat, and now and then a jump", moved, "% right of the training pictures", accuracies)
    draw(axes[1], "loss: each small change counts", moved, "loss", losses)
    return figure


def _draw_sigmoid(x: Tensor, y: Tensor, slope: Tensor, valid: TwoClasses, scores: Tensor) -> Figure:
    figure, axes = panels(2, "sigmoid(x) = 1 / (1 + exp(-x)): any number in, a probability out", size=(5.2, 3.8))
    draw(axes[0], "an S that always rises and stays between 0 and 1", "x", "sigmoid(x)",
         (x, y, "C0", "sigmoid"), (x, slope, "C1--", "its slope, at most 0.25"))  # fmt: skip
    curve = torch.linspace(scores.min().item(), scores.max().item(), 200)
    kinds = zip(valid.names, (scores[valid.y == 1], scores[valid.y == 0]), ("C0o", "C1x"), strict=True)
    dots = [(mine, mine.sigmoid(), style, f"pictures of {name}") for name, mine, style in kinds]
    draw(axes[1], "validation pictures, scored by a small linear model", "score", f"probability of {valid.names[0]}",
         (curve, curve.sigmoid(), "C7", ""), *dots)  # fmt: skip
    return figure


def _draw_zeroing(found: dict[str, Any]) -> Figure:
    figure, axes = panels(2, "Without zeroing, gradients add up, and the weights never come to rest", size=(5.2, 3.6))
    steps, titles = range(1, found["steps"] + 1), ("lr × what is in .grad", "what becomes of the loss")
    for axis, title, key in zip(axes, titles, ("step_length", "loss"), strict=True):
        zeroed = (steps, found[f"{key}_zeroed"], "C0", "zeroed before each step")
        never = (steps, found[f"{key}_not_zeroed"], "C1", "never zeroed")
        draw(axis, title, "step", key.replace("_", " "), zeroed, never)
    return figure
