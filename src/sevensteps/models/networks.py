"""The networks of the house, from easy to hard. Each takes pixels 0 to 1 and gives one raw score a class.

Each is called with `DataLoaders`, or with an input shape and a number of classes:

>>> model = simple_net((1, 28, 28), 10)
>>> tuple(model(torch.zeros(5, 1, 28, 28)).shape)
(5, 10)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..errors import RequestError
from .evaluating import evaluating
from .layers import Conv, GlobalAvgPool, GlobalMaxPool, Normalize, Residual
from .registry import create, for_data, names, register

__all__ = ["convnet", "create", "for_data", "linear", "names", "register", "resnet", "resnet18", "simple_net"]

TINY_PX = 16  # up to this side every pixel counts; above it every second one is looked around from
SMALL_PX = 64  # up to this side a picture is looked at in full size; above it the first layers shrink it


@register
def linear(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """One layer: each class has one weight for each pixel, and a bias."""
    return nn.Sequential(_normalize(input_shape), nn.Flatten(), nn.Linear(math.prod(input_shape), classes))


@register
def simple_net(input_shape: tuple[int, ...], classes: int, *, hidden: int = 30) -> nn.Module:
    """Two linear layers with a ReLU between them, `hidden` units wide: chapter 4's network."""
    return nn.Sequential(
        _normalize(input_shape),
        nn.Flatten(),
        nn.Linear(math.prod(input_shape), hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )


@register
def convnet(input_shape: tuple[int, ...], classes: int, *, width: int = 16) -> nn.Module:
    """Four convolutions for pictures up to about 64 px; the first has `width` channels, the last four times that."""
    channels, height, side = _picture(input_shape)
    tiny = min(height, side) <= TINY_PX
    return nn.Sequential(
        _normalize(input_shape),
        Conv(channels, width, kernel=5, stride=1 if tiny else 2),
        Conv(width, 2 * width, pool=True),
        Conv(2 * width, 4 * width),
        Conv(4 * width, 4 * width),
        GlobalMaxPool(),
        nn.Linear(4 * width, classes),
    )


@register
def resnet(input_shape: tuple[int, ...], classes: int, *, width: int = 32) -> nn.Module:
    """A small residual network for colour and photographs to 224 px; stages of 1, 2, 4 and 8 × `width` channels."""
    channels, height, side = _picture(input_shape)
    large = min(height, side) > SMALL_PX
    stem = [Conv(channels, width, stride=2), Conv(width, width), nn.MaxPool2d(2)] if large else [Conv(channels, width)]
    widths = [width, width, 2 * width, 4 * width, 8 * width]
    stages = [Residual(widths[i], widths[i + 1], 1 if i == 0 else 2, pooled=True) for i in range(4)]
    return nn.Sequential(
        _normalize(input_shape),
        *stem,
        *stages,
        GlobalAvgPool(),
        nn.Dropout(0.2),
        nn.Linear(8 * width, classes),
    )


@register
def resnet18(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """The 18-layer residual network of He et al. 2015 (table 1), for whatever number of channels the pictures have."""
    stem = [Conv(_picture(input_shape)[0], 64, kernel=7, stride=2), nn.MaxPool2d(3, 2, padding=1)]
    widths = [64, 64, 128, 256, 512]
    stages = [
        nn.Sequential(Residual(widths[i], widths[i + 1], 1 if i == 0 else 2), Residual(widths[i + 1], widths[i + 1]))
        for i in range(4)
    ]
    return nn.Sequential(_normalize(input_shape), *stem, *stages, GlobalAvgPool(), nn.Linear(512, classes))


def _normalize(input_shape: tuple[int, ...]) -> Normalize:
    return Normalize(input_shape[0] if len(input_shape) == 3 else 1)


def _picture(input_shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(input_shape) != 3:
        raise RequestError(
            f"a convolution needs pictures, and the input has shape {input_shape}",
            hint="expected (channels, height, width); for other inputs use linear or simple_net",
        )
    return input_shape


def count_parameters(model: nn.Module) -> int:
    """How many numbers training changes."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def count_operations(model: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Multiply-adds for one picture in the convolutions and linear layers, counted by running one."""
    total = 0

    def count(module: nn.Module, inputs: object, output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output[0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            total += output[0].numel() * module.in_features

    hooks = [module.register_forward_hook(count) for module in model.modules()]
    try:
        with evaluating(model) as device, torch.no_grad():
            model(torch.zeros(1, *input_shape, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    return total
