"""Exhibits about measures: the loss, which the weights obey, and the metrics, which people read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.dataloaders import DataLoaders
from ..insight.drawing import draw, panels, percentages, show_picture
from ..randomness import generator
from ..training.learner import Learner
from ..training.losses import cross_entropy
from ..training.metrics import accuracy, error_rate
from ..training.optimizers import AdamW
from .classes import AllClasses
from .exhibit import Between, Shown, exhibit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Epochs = Annotated[int, Between(1, 60)]
Rate = Annotated[float, Between(0.001, 10)]


@exhibit(11, "Are metrics calculated on the training set or the validation set, and why?")
def validation(dls: DataLoaders, wrong: Annotated[float, Between(0.01, 0.5)] = 0.2, epochs: Epochs = 40) -> Shown:
    """On the validation set: what counts is how right the network is on pictures that it has not learnt from.

    Training pictures it can learn by heart, so that its accuracy on them says little. The proof: a fifth (`wrong`) of
    the training labels is made wrong here, at random. The network learns these too, though nothing in the pictures says
    so, and its accuracy on its own pictures goes on rising when that on others has long stopped, or falls. Whoever
    chooses by the validation set stops in time; the accuracy to report is then that on a third set, never chosen by.
    """
    data = AllClasses.of(dls)
    n, classes, draws = len(data.y), len(data.names), generator(0, "tour")
    changed = torch.randperm(n, generator=draws)[: math.ceil(wrong * n)]
    labels = data.y.clone()
    labels[changed] += torch.randint(1, classes, changed.shape, generator=draws)  # any class but the right one
    labels %= classes
    learn = data._replace(y=labels).learner(data.network(200), opt_func=AdamW, metrics=accuracy)
    log = []
    for _ in range(epochs):
        learn.fit(1, 0.006)
        with torch.no_grad():
            preds = learn.model(data.x)
        log.append((accuracy(preds, labels).item(), accuracy(preds[changed], labels[changed]).item()))
    train, by_heart = map(list, zip(*log, strict=True))
    valid = [row.metrics["accuracy"] for row in learn.recorder.rows]
    findings = {
        "pictures": n, "wrong_labels": len(changed), "train_accuracy": train, "valid_accuracy": valid,
        "wrong_labels_repeated": by_heart, "best_epoch_by_train": train.index(max(train)) + 1,
        "best_epoch_by_valid": valid.index(max(valid)) + 1,
    }  # fmt: skip
    return Shown(findings, _draw_validation(findings))


@exhibit(16, "What is loss?")
def loss(dls: DataLoaders, lr: Rate = 0.1, epochs: Epochs = 20) -> Shown:
    """A number for how wrong the predictions are: the smaller the better, and changing smoothly with the weights.

    Each picture has its own: cross-entropy, the usual one for classes, is -log of the probability given to the right
    class. It is 0 for sure and right; log of the number of classes for giving all the same; and without limit for sure
    and wrong. The mean over a batch is the one number whose gradient the step follows. The pictures with the largest
    losses are worth a look: they are hard, odd, or have a wrong label.
    """
    data = AllClasses.of(dls)
    learn = data.learner(data.network())
    before = learn.validate()[0]
    learn.fit(epochs, lr)
    preds, targets = learn.get_preds()
    losses = -preds.log_softmax(1)[torch.arange(len(preds)), targets]  # -log of the right class's probability
    order = losses.argsort()
    halves = [accuracy(preds[half], targets[half]).item() for half in order.tensor_split(2)]
    findings = {
        "loss": losses.mean().item(), "loss_by_torch": F.cross_entropy(preds, targets).item(),
        "loss_after_each_epoch": [before, *(row.valid_loss for row in learn.recorder.rows)],
        "of_equal_probabilities": math.log(len(data.names)), "lowest": losses[order[:3]].tolist(),
        "highest": losses[order[-3:]].tolist(), "right_of_the_lower_half": halves[0], "right_of_the_higher": halves[1],
    }  # fmt: skip
    return Shown(findings, _draw_loss(findings, data, preds, losses, order))


@exhibit(22, "What is the difference between a loss function and a metric?")
def loss_or_metric(dls: DataLoaders, lr: Rate = 0.05, epochs: Epochs = 8) -> Shown:
    """The loss is for the weights, which follow its slope; a metric is for people, and no weight ever feels it.

    So the loss must change smoothly; a metric may be whatever people understand and care for. Trained with another
    metric the weights are the same to the last bit, with another loss they are others. The two need not agree. Scores
    multiplied by a number above 0 give the same answers, and so the same accuracy, at another loss: it also counts how
    sure they are. Of two sets of weights the one with the worse loss can have the better accuracy.
    """
    data = AllClasses.of(dls)

    def fit(loss_func: Any, metric: Any) -> Learner:
        learn = data.learner(data.network(), loss_func=loss_func, metrics=metric)
        learn.fit(epochs, lr)
        return learn

    def measure(scores: list[Tensor]) -> dict[str, list[float]]:
        return {"loss": [cross_entropy(one, targets).item() for one in scores],
                "accuracy": [accuracy(one, targets).item() for one in scores]}  # fmt: skip

    learners = (
        fit(cross_entropy, accuracy),
        fit(cross_entropy, error_rate),
        fit(F.multi_margin_loss, accuracy),
    )
    weights = [nn.utils.parameters_to_vector(learn.model.parameters()).detach() for learn in learners]
    scores, targets = learners[0].get_preds()
    factors, first = torch.logspace(-1.5, 1.5, 41), F.one_hot(torch.tensor(0), len(data.names))
    scaled = measure([factor * scores for factor in factors])
    shifted = measure([scores + shift * first for shift in torch.linspace(0, 10, 41)])  # in favour of the first class
    worst = max(scaled["loss"])
    clearly_better = (shifted["loss"][0] + worst) / 2
    right, better = min(
        one for one in zip(shifted["accuracy"], shifted["loss"], strict=True) if one[1] <= clearly_better
    )
    findings = {
        "other_metric_same_bits": torch.equal(weights[0], weights[1]),
        "other_loss_changes_weights_by": (weights[0] - weights[2]).abs().max().item(),
        "factors": factors.tolist(), "scaled": scaled, "shifted": shifted, "first_class": data.names[0],
        "better_loss": {"loss": better, "accuracy": right},
        "better_accuracy": {"loss": worst, "accuracy": scaled["accuracy"][0]},
    }  # fmt: skip
    return Shown(findings, _draw_both(findings, *weights))


def _draw_validation(found: dict[str, Any]) -> Figure:
    figure, axes = panels(2, "Metrics belong on the validation set", size=(5.2, 3.8))
    train, valid = percentages(found["train_accuracy"]), percentages(found["valid_accuracy"])
    best = found["best_epoch_by_valid"]
    epochs = range(1, len(train) + 1)
    draw(axes[0], "training accuracy goes on rising, validation accuracy does not", "epoch", "% right",
         (epochs, train, "C1", "training pictures"), (epochs, valid, "C0", "validation pictures"),
         ([best], [valid[best - 1]], "C0o", f"best, in epoch {best}"))  # fmt: skip
    draw(axes[1], f"{found['wrong_labels']} wrong labels, learnt by heart", "epoch",
         "% of them that it repeats", (epochs, percentages(found["wrong_labels_repeated"]), "C1", ""))  # fmt: skip
    for axis in axes:
        axis.set_ylim(0, 105)
    return figure


def _draw_loss(found: dict[str, Any], data: AllClasses, preds: Tensor, losses: Tensor, order: Tensor) -> Figure:
    figure, axes = panels(4, "Loss: how wrong, in a number for each picture", rows=2, size=(3.1, 2.8))
    right, means = (-losses).exp(), found["loss_after_each_epoch"]
    draw(axes[0], "loss = -log(probability)", "probability of the right class", "loss",
         (right[order], losses[order], "C0.-", "a validation picture"))  # fmt: skip
    draw(axes[4], "training lowers their mean", "epochs done", "mean loss",
         (range(len(means)), means, "C0.-", "of the validation pictures"))  # fmt: skip
    axes[4].axhline(found["of_equal_probabilities"], color="C7", linestyle="--", label="for equal probabilities")
    axes[4].legend(fontsize=8)
    shown = [*zip(axes[1:4], order, strict=False), *zip(axes[5:], order.flip(0), strict=False)]
    for axis, k in shown:
        name, answer = data.names[data.valid_y[k]], data.names[preds[k].argmax()]
        show_picture(axis, data.valid_pixels[k], f"label {name}\nanswer {answer}")
        axis.set_xlabel(f"{right[k]:.1%} for {name}: loss {losses[k]:.2g}")
    axes[1].set_ylabel("smallest losses")
    axes[5].set_ylabel("largest losses")
    return figure


def _draw_both(found: dict[str, Any], weights: Tensor, other_metric: Tensor, other_loss: Tensor) -> Figure:
    figure, axes = panels(3, "The loss moves the weights, the metric only looks on")
    draw(axes[0], "another metric: the same weights, to the last bit", "each weight, trained as usual",
         "the same weight, trained otherwise", (weights, other_loss, "C1.", "with another loss"),
         (weights, other_metric, "C0.", "with another metric"))  # fmt: skip
    scaled, shifted = ((found[name]["loss"], percentages(found[name]["accuracy"])) for name in ("scaled", "shifted"))
    draw(axes[1], f"{scaled[1][0]:.1f} % right at each factor, but another loss", "factor that multiplies the scores",
         "loss", (found["factors"], scaled[0], "C1", ""))  # fmt: skip
    axes[1].set_xscale("log")
    ends = [([found[name]["loss"]], [100 * found[name]["accuracy"]], style, name.replace("_", " "))
            for name, style in (("better_loss", "C0o"), ("better_accuracy", "C1o"))]  # fmt: skip
    draw(axes[2], "the worse loss can have the better accuracy", "loss on the validation pictures", "% right of them",
         (*scaled, "C1", "all scores × factor"), (*shifted, "C0.-", f"in favour of class {found['first_class']}"),
         *ends)  # fmt: skip
    axes[2].set_ylim(0, 105)
    return figure
