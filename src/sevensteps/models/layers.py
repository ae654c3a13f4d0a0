"""The parts that the networks are made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Normalize(nn.Module):
    """Pixels 0 to 1 to mean 0 and standard deviation 1, by the training pictures' own figures.

    The figures travel with the weights, so that a picture is treated alike in training and ever after.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((channels,), 0.5))
        self.register_buffer("std", torch.full((channels,), 0.25))

    def set(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Take the figures of the training pictures, one of each a channel."""
        self.mean.copy_(torch.tensor(mean))
        self.std.copy_(torch.tensor(std))

    def forward(self, xb: Tensor) -> Tensor:
        """Any shape with the channels second, or none of them."""
        shape = (-1, *[1] * (xb.ndim - 2))
        return (xb - self.mean.view(shape)) / self.std.view(shape)


class BatchNorm(nn.BatchNorm2d):
    """torch's batch norm, which also takes a training batch of one value a channel: by the figures gathered so far."""

    def forward(self, input: Tensor) -> Tensor:
        """N×C×H×W to the same."""
        if self.training and input.numel() == input.shape[1]:  # one picture, of 1×1 by now: it has no spread
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)


class Conv(nn.Sequential):
    """Convolution without bias, batch norm, and a ReLU unless `act` is False.

    With `pool`, each 2×2 pixels become their greatest right after the convolution: a quarter is left to normalise.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, act: bool = True, pool: bool = False
    ) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            *([nn.MaxPool2d(2, ceil_mode=True)] if pool else []),
            BatchNorm(outputs),
            *([nn.ReLU()] if act else []),
        )


class Residual(nn.Module):
    """Two convolutions beside a shortcut (He et al. 2015, "Deep Residual Learning", figure 5 left).

    Where the block halves the picture, `pooled` averages on the shortcut before its 1×1 convolution (He et al.
    2018, "Bag of Tricks", ResNet-D); else the 1×1 convolution itself strides, as in the first paper.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, *, pooled: bool = False) -> None:
        super().__init__()
        self.convs = nn.Sequential(Conv(inputs, outputs, stride=stride), Conv(outputs, outputs, act=False))
        shortcut: list[nn.Module] = []
        if stride > 1 and pooled:
            shortcut.append(nn.AvgPool2d(stride, ceil_mode=True))
        if stride > 1 or inputs != outputs:
            shortcut.append(Conv(inputs, outputs, 1, 1 if pooled else stride, act=False))
        self.shortcut = nn.Sequential(*shortcut)
        if pooled:
            last = self.convs[1]
            assert isinstance(last, Conv)
            batch_norm = last[1]
            assert isinstance(batch_norm, nn.BatchNorm2d)
            nn.init.zeros_(batch_norm.weight)  # each block begins as its shortcut alone (Goyal et al. 2017)

    def forward(self, xb: Tensor) -> Tensor:
        """N×inputs×H×W to N×outputs×H/stride×W/stride, rounded up."""
        return F.relu(self.convs(xb) + self.shortcut(xb))


class GlobalMaxPool(nn.Module):
    """The greatest value of each channel, N×C×H×W to N×C: did the feature occur anywhere?"""

    def forward(self, xb: Tensor) -> Tensor:
        """N×C×H×W to N×C."""
        return F.adaptive_max_pool2d(xb, 1).flatten(1)  # the gradient of amax takes nine times as long


class GlobalAvgPool(nn.Module):
    """The mean of each channel, N×C×H×W to N×C: how much of the feature is there?"""

    def forward(self, xb: Tensor) -> Tensor:
        """N×C×H×W to N×C."""
        return xb.mean((2, 3))
