"""Which pixels carried the answer: gradient × input, integrated gradients, and the class activation of Grad-CAM.

All from the gradient of one class's score with regard to the pixels; the model is left as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import RequestError
from ..models.evaluating import evaluating
from .features import batch_size

TOLERANCE = 0.01  # of the difference of the scores that integrated gradients are to add up to
LEAST_STEPS, MOST_STEPS = 27, 243  # points on the way from black; each round has three times as many


@dataclass(frozen=True, eq=False)
class Attributions:
    """How much each pixel did for the score of one class; below 0 it spoke against the class. Float32, on the CPU.

    `gradient_input` and `integrated` (C×H×W): by the gradient at the picture itself, and by its mean on the way from
    a black picture. `activation` (H×W): how much of what speaks for the class the last feature maps see there, 0 or
    above, and 0 everywhere where that is nothing; None for a network without convolutions. `score` and `black_score`
    are the scores of the class for the picture and for black.
    """

    gradient_input: Tensor
    integrated: Tensor
    activation: Tensor | None
    score: float
    black_score: float

    @property
    def completeness_error(self) -> float:
        """How far `integrated` is from adding up to `score - black_score`, as it should (axiom of completeness)."""
        return abs(float(self.integrated.double().sum()) - (self.score - self.black_score))


def attributions(model: nn.Module, x: Tensor, label: int) -> Attributions:
    """What each pixel of `x` (float, C×H×W, 0 to 1) did for the score of class `label`, in evaluation mode.

    Gradient × input: Shrikumar et al. 2016, "Not Just a Black Box". Integrated gradients: Sundararajan, Taly, Yan 2017,
    "Axiomatic Attribution for Deep Networks"; to a completeness error of 1 % of the score's difference from black's,
    or of what 243 steps leave. The picture is compared with black because that is the absence of light for any
    network and data, and because gradient × input then asks the same in a single step; a black pixel gets 0.
    Class activation: Selvaraju et al. 2017, "Grad-CAM", for the last feature maps, with what normalises and rectifies
    them. Raises `RequestError` for no picture, no such class, or scores without a gradient.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False))
    >>> _ = nn.init.constant_(model[1].weight, 3.0)
    >>> attributions(model, torch.tensor([[[0.5, 1.0]]]), label=0).integrated
    tensor([[[1.5000, 3.0000]]])
    """
    if x.ndim != 3 or not x.is_floating_point():
        raise RequestError(f"a picture of shape {tuple(x.shape)} and type {x.dtype}", hint="expected float, C×H×W")
    with evaluating(model) as device, torch.inference_mode(False), torch.enable_grad():
        picture = x.detach().to(device).clone()
        score_of = partial(_scores, model, label)
        xb = picture[None].requires_grad_()
        with _last_maps(model) as maps:
            score = score_of(xb)
        gradient, *slopes = _gradients(score, [xb, *maps])
        if gradient is None:
            raise RequestError("the scores have no gradient with regard to the pixels", hint="a layer detaches them")
        activation = _activation(maps, slopes, picture)
        of_picture, of_black = (float(one.detach()) for one in (score, score_of(torch.zeros_like(xb))))
        integrated = _integrated(score_of, picture, of_picture - of_black)
    return Attributions(
        (gradient[0] * picture).float().cpu(), integrated.float().cpu(), activation, of_picture, of_black
    )


def _scores(model: nn.Module, label: int, xb: Tensor) -> Tensor:
    """The score of class `label` for each picture, shape (N,)."""
    preds: Tensor = model(xb.clone())  # which the model may change in place
    if preds.ndim != 2 or not 0 <= label < preds.shape[1]:
        raise RequestError(f"class {label} of scores of shape {tuple(preds.shape)}", hint="expected N×classes")
    return preds[:, label]


def _gradients(score: Tensor, of: list[Tensor]) -> list[Tensor | None]:
    """Of a score with regard to each tensor; None where it does not depend on it."""
    return list(torch.autograd.grad(score, of, allow_unused=True)) if score.requires_grad else [None] * len(of)


def _integrated(score_of: Callable[[Tensor], Tensor], picture: Tensor, difference: float) -> Tensor:
    """The mean gradient on the way from black to the picture, by the midpoint rule, times the picture: C×H×W.

    Of three times as many midpoints each third is one that was there before.
    """
    total, steps = torch.zeros_like(picture), LEAST_STEPS
    new = torch.arange(steps)
    while True:
        for part in new.split(batch_size(picture)):
            way = (part.to(picture) + 0.5) / steps
            xb = (way.view(-1, 1, 1, 1) * picture).requires_grad_()
            total += torch.autograd.grad(score_of(xb).sum(), xb)[0].sum(0)
        integrated = picture * total / steps
        if abs(float(integrated.sum()) - difference) <= TOLERANCE * abs(difference) or steps == MOST_STEPS:
            return integrated
        steps *= 3
        new = torch.arange(steps)
        new = new[new % 3 != 1]


def _activation(maps: list[Tensor], slopes: list[Tensor | None], picture: Tensor) -> Tensor | None:
    """The feature maps (1×K×h×w), each times its mean slope, added up; what is above 0, in the picture's size."""
    if not maps or slopes[0] is None:
        return None
    seen = (maps[0] * slopes[0].mean((2, 3), keepdim=True)).sum(1, keepdim=True).relu()
    return F.interpolate(seen, picture.shape[1:], mode="bilinear")[0, 0].detach().float().cpu()


@contextmanager
def _last_maps(model: nn.Module) -> Iterator[list[Tensor]]:
    """A list that holds, once the model has run, the last output with a height and a width after its convolutions.

    Not that of the last `Conv2d` itself: batch norm and ReLU make of it what the next layer sees, and in a residual
    block it may be the shortcut's alone. Outputs of a single pixel have no place to show.
    """
    maps: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, output: object) -> None:
        after = bool(maps) or isinstance(module, nn.Conv2d)
        if after and isinstance(output, Tensor) and output.ndim == 4 and output[0, 0].numel() > 1:
            maps[:] = [output]

    hooks = [module.register_forward_hook(keep) for module in model.modules()]
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()
