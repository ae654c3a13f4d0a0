"""Exhibits about the loop: an epoch, all epochs, and `Learner`, which does the same and is given the parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor, nn

from ..data.dataloader import DataLoader
from ..data.dataloaders import DataLoaders
from ..insight.drawing import draw, panels, percentages, table
from ..training.callbacks import Callback
from ..training.learner import Learner
from ..training.losses import cross_entropy, mnist_loss
from ..training.metrics import accuracy, name_of
from ..training.optimizers import SGD
from .classes import AllClasses, TwoClasses
from .exhibit import Between, Shown, exhibit, grad_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Epochs = Annotated[int, Between(1, 20)]
Rate = Annotated[float, Between(0.001, 10)]


@exhibit(25, "Write pseudocode for the basic steps of each epoch of SGD.")
def one_epoch(
    dls: DataLoaders,
    batch_size: Annotated[int, Between(1, 1024)] = 64,
    lr: Annotated[float, Between(0.001, 1000)] = 30,
    epochs: Epochs = 4,
) -> Shown:
    """For each batch: predict, loss, gradient, step, zero. After the last batch: validate.

    An epoch shows every training picture once, in another order each time, so it has as many steps as there are
    batches; where the pictures do not divide evenly the last batch is shorter. Each step starts from the weights that
    the one before it left. Validation comes after the steps, on other pictures, and changes no weight.
    """
    train, valid = TwoClasses.of(dls), TwoClasses.of(dls, "valid")
    batches = DataLoader(list(zip(train.x, train.y, strict=True)), batch_size, shuffle=True)
    w = train.random().requires_grad_()
    orders, sizes, losses, accuracies = [], [], [], [valid.accuracy(w).item()]
    for _ in range(epochs):
        order = []
        for xb, yb in batches:
            preds = xb @ w  # predict
            loss: Any = mnist_loss(preds, yb[:, None])  # loss
            loss.backward()  # gradient
            w.data -= lr * grad_of(w)  # step
            w.grad = None  # zero
            order += batches.indices.tolist()
            sizes.append(len(yb))
            losses.append(loss.item())
        before = w.detach().clone()
        accuracies.append(valid.accuracy(w).item())  # validate
        changed = not torch.equal(w, before)
        orders.append(order)
    findings = {
        "pictures": len(train.x), "steps_an_epoch": len(batches), "batch_sizes": sizes[: len(batches)],
        "every_picture_once": all(sorted(order) == list(range(len(train.x))) for order in orders),
        "first_pictures_of_each_epoch": [order[:5] for order in orders], "loss": losses,
        "valid_accuracy": accuracies, "validation_changed_the_weights": changed, "classes": train.names,
    }  # fmt: skip
    return Shown(findings, _draw_epoch(findings))


@exhibit(32, "What information do we have to pass to Learner?")
def learner_needs(dls: DataLoaders, lr: Rate = 0.1, epochs: Epochs = 5) -> Shown:
    """The data and the model; and mostly the loss, the optimizer and the metrics.

    `dls` has the training and the validation batches, and `model` makes scores of them. `loss_func` says how wrong the
    scores are: on training batches for the gradient, on validation batches to be read. `opt_func` makes, once, from the
    parameters and a learning rate the optimizer, which steps. `metrics` are for people, on validation batches alone.
    Without data or model there is no Learner; for the others it has cross-entropy, SGD and no metric. How many epochs
    and at what learning rate, `fit` is told.
    """
    data, asked = AllClasses.of(dls), Counter[str]()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def asking(*args: Any, **options: Any) -> Any:
            asked[name] += 1
            return function(*args, **options)

        return asking

    class Batches(Callback):
        def before_batch(self) -> None:
            asked["dls"] += 1

    model = data.network()
    model.register_forward_hook(lambda *_: asked.update(["model"]))
    given: dict[str, Any] = {
        "dls": data.loaders(), "model": model, "loss_func": counted("loss_func", cross_entropy),
        "opt_func": counted("opt_func", SGD), "metrics": counted("metrics", accuracy),
    }  # fmt: skip
    left_out = {}
    for name in given:
        others = {other: value for other, value in given.items() if other != name}
        try:
            default = getattr(Learner(**others, device="cpu"), name)
            left_out[name] = name_of(default) if default else "none"
        except TypeError as error:
            left_out[name] = f"TypeError: {error}"
    learn = Learner(**given, cbs=Batches(), device="cpu", threads=torch.get_num_threads(), quiet=True)
    learn.fit(epochs, lr)
    train_loss, valid_loss, right = map(list, zip(*learn.recorder.values, strict=True))
    findings = {
        "asked": {name: asked[name] for name in given}, "left_out": left_out,
        "training_batches": len(given["dls"].train), "validation_batches": len(given["dls"].valid),
        "train_loss": train_loss, "valid_loss": valid_loss, "accuracy": right,
    }  # fmt: skip
    return Shown(findings, _draw_needs(findings))


@exhibit(33, "Show the basic steps of a training loop.")
def training_loop(dls: DataLoaders, lr: Rate = 0.1, epochs: Epochs = 5) -> Shown:
    """For each epoch, for each batch: predict, loss, gradient, step, zero; after each epoch, validate.

    `Learner.fit` is this loop: from the same first weights, with the same batches, it comes to the same weights, to the
    last bit. Whatever it has besides, such as the recorder and callbacks, listens.
    """
    data = AllClasses.of(dls)
    model, batches = data.network(30), data.loaders().train
    opt, losses, accuracies = SGD(model.parameters(), lr), [], []
    for _ in range(epochs):
        for xb, yb in batches:
            preds = model(xb)  # predict
            loss = cross_entropy(preds, yb)  # loss
            loss.backward()  # gradient
            opt.step()  # step
            opt.zero_grad()  # zero
            losses.append(loss.item())
        with torch.no_grad():
            accuracies.append(accuracy(model(data.valid_x), data.valid_y).item())  # validate

    learn = data.learner(data.network(30), loss_func=cross_entropy, opt_func=SGD, metrics=accuracy)
    learn.fit(epochs, lr)
    by_hand, by_learner = (nn.utils.parameters_to_vector(one.parameters()).detach() for one in (model, learn.model))
    findings = {
        "epochs": epochs, "steps": len(losses), "weights": len(by_hand), "same_bits": torch.equal(by_hand, by_learner),
        "loss_by_hand": losses, "loss_by_learner": learn.recorder.losses, "accuracy_by_hand": accuracies,
        "accuracy_by_learner": [row.metrics["accuracy"] for row in learn.recorder.rows],
    }  # fmt: skip
    return Shown(findings, _draw_loop(findings, by_hand, by_learner))


def _draw_epoch(found: dict[str, Any]) -> Figure:
    figure, axes = panels(3, f"An epoch of SGD, learning to tell {' from '.join(found['classes'])}")
    n, right = found["steps_an_epoch"], percentages(found["valid_accuracy"])
    parts = [(f"      {part}", f"{n}") for part in ("predict", "loss", "gradient", "step", "zero")]
    rows = [("for each batch:", "times an epoch"), *parts, ("validate", "1")]
    table(axes[0], f"what an epoch of {found['pictures']} pictures does", rows, (0.55, 0.35))
    curves = []
    for epoch in range(len(right) - 1):
        steps = range(n * epoch, n * (epoch + 1))
        losses = [found["loss"][step] for step in steps]
        curves.append(([step + 1 for step in steps], losses, f"C{epoch % 10}.-", f"epoch {epoch + 1}"))
    draw(axes[1], "a step for each batch", "step", "loss of the step's batch", *curves)
    draw(axes[2], "then validation, on other pictures", "epochs done", "% right of the validation pictures",
         (range(len(right)), right, "C7o-", ""))  # fmt: skip
    axes[2].set_ylim(0, 105)
    for axis in axes[1:]:
        axis.locator_params(axis="x", integer=True)
    return figure


def _draw_needs(found: dict[str, Any]) -> Figure:
    figure, axes = panels(3, "What Learner is given, and what it asks each of them for", size=(4.9, 3.6))
    epochs, missing = range(1, len(found["accuracy"]) + 1), "error: it is needed"
    purposes = ("batches", "scores", "how wrong", "an optimizer", "for people")
    rows = [("name", "asked for", "times", "left out")]
    for (name, times), purpose in zip(found["asked"].items(), purposes, strict=True):
        default = found["left_out"][name]
        rows.append((name, purpose, f"{times}", missing if default.startswith("TypeError") else default))
    batches = f"{found['training_batches']} training and {found['validation_batches']} validation batches"
    table(axes[0], f"epochs: {len(epochs)}, each of {batches}", rows, (0.22, 0.26, 0.15, 0.37))
    train, valid = (
        (epochs, found[f"{split}_loss"], style, split) for split, style in (("train", "C1o-"), ("valid", "C0o-"))
    )
    draw(axes[1], "the loss, which the optimizer lowers", "epoch", "mean loss", train, valid)
    draw(axes[2], "the metric, for people", "epoch", "% right of the validation pictures",
         (epochs, percentages(found["accuracy"]), "C0o-", ""))  # fmt: skip
    axes[2].set_ylim(0, 105)
    for axis in axes[1:]:
        axis.locator_params(axis="x", integer=True)
    return figure


def _draw_loop(found: dict[str, Any], by_hand: Tensor, by_learner: Tensor) -> Figure:
    same = "the same weights, to the last bit" if found["same_bits"] else "not quite the same weights"
    figure, axes = panels(3, f"The loop by hand and Learner.fit: {same}")
    steps, epochs = range(1, found["steps"] + 1), range(1, found["epochs"] + 1)
    draw(axes[0], "the loss of each step", "step", "loss of the step's batch",
         (steps, found["loss_by_learner"], "C0o", "Learner.fit"),
         (steps, found["loss_by_hand"], "C1", "by hand"))  # fmt: skip
    draw(axes[1], "validation after each epoch", "epoch", "% right of the validation pictures",
         (epochs, percentages(found["accuracy_by_learner"]), "C0o", "Learner.fit"),
         (epochs, percentages(found["accuracy_by_hand"]), "C1", "by hand"))  # fmt: skip
    axes[1].set_ylim(0, 105)
    axes[1].locator_params(axis="x", integer=True)
    draw(axes[2], f"all {found['weights']:,} weights at the end", "by hand", "by Learner.fit",
         (by_hand, by_learner, "C0.", "a weight"))  # fmt: skip
    return figure
