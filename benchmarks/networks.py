"""The networks that every rival trains, in plain `torch.nn`: no rival's own layers, no sevensteps'.

`cases/step_keras.py` has the first two once more, in Keras' layers.
"""

from torch import Tensor, nn


def cnn(classes: int = 10) -> nn.Sequential:
    """Three convolutions for 28×28 grey pictures, N×1×28×28 to N×classes."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(1),  # the global max pool of torch.nn; `amax` has a much slower gradient on a CPU
        nn.Flatten(),
        nn.Linear(64, classes),
    )


def mlp() -> nn.Sequential:
    """Chapter 4's network: 784 pixels, 30 units, one score. N×784 to N×1."""
    return nn.Sequential(nn.Linear(784, 30), nn.ReLU(), nn.Linear(30, 1))


def resnet(classes: int = 5) -> nn.Sequential:
    """A small residual network for photographs of 128 px, N×3×128×128 to N×classes."""
    return nn.Sequential(
        *_convolution(3, 32, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        Residual(32, 32, 1),
        Residual(32, 64, 2),
        Residual(64, 128, 2),
        Residual(128, 256, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(256, classes),
    )


class Residual(nn.Module):
    """Two convolutions beside a shortcut (He et al. 2015, figure 5 left)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            *_convolution(inputs, outputs, stride=stride), nn.ReLU(), *_convolution(outputs, outputs)
        )
        self.shortcut = nn.Sequential(*(_convolution(inputs, outputs, size=1, stride=stride) if stride > 1 else []))

    def forward(self, xb: Tensor) -> Tensor:
        return (self.convs(xb) + self.shortcut(xb)).relu()


def _convolution(inputs: int, outputs: int, *, size: int = 3, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)]
