"""CIFAR-10 as fast as it goes, through the Learner: the network, the optimizer and all else are ordinary parts.

    python examples/cifar10_speedrun.py                      # downloads CIFAR-10 (170 MB) the first time
    python examples/cifar10_speedrun.py cifar-10-batches-bin # or its binary version in a folder
    python examples/cifar10_speedrun.py PATH 2               # two epochs instead of eight

Methods and figures are those of K. Jordan's "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (2024,
arXiv:2404.00498) and of the author's later version with the optimizer Muon, which reaches 94.0 % in 2.6 s on an A100.

It is meant for a GPU, and HAS NOT BEEN RUN ON ONE: on a CPU it was seen to learn from a few pictures, no more. What it
takes on a GPU, and whether it reaches 94 % there as the original does, is not known.
"""

import sys
import time
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sevensteps import Callback, DataLoaders, Learner, accuracy
from sevensteps.data.augment import Shift
from sevensteps.data.sources import read_source

BATCH_SIZE, EPOCHS, WIDTHS = 2000, 8, (64, 256, 256)
WHITENING_PART = 3 / 8  # of the training: afterwards the bias of the first layer stays
SMOOTHING, DECAY = 0.2, 2e-6 * BATCH_SIZE


# -- The network: whitened patches, three blocks, and a head ----------------------------------------------------------


class Net(nn.Sequential):
    """Scores (N×classes) for pictures (float32, N×3×32×32, 0 to 1)."""

    def __init__(self, pictures: Tensor, classes: int) -> None:
        whitening = whiten(pictures)
        blocks = [block(a, b) for a, b in zip((whitening.out_channels, *WIDTHS), WIDTHS, strict=False)]
        head = nn.Linear(WIDTHS[-1], classes, bias=False)
        head.weight.data /= head.weight.data.std() * WIDTHS[-1]
        super().__init__(whitening, nn.GELU(), *blocks, nn.MaxPool2d(3), nn.Flatten(), head)


def whiten(pictures: Tensor) -> nn.Conv2d:
    """A convolution whose outputs for 2×2 patches of `pictures` are uncorrelated and of variance 1; it stays so."""
    channels = pictures.shape[1]
    patches = F.unfold(pictures - 0.5, 2).transpose(1, 2).reshape(-1, 4 * channels)  # about zero: grey is no signal
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (vectors / (values + 5e-4).sqrt()).T.reshape(-1, channels, 2, 2)
    layer = nn.Conv2d(channels, 2 * len(filters), 2)
    layer.weight.data.copy_(torch.cat([filters, -filters]))
    layer.bias.data.copy_(-0.5 * layer.weight.data.sum((1, 2, 3)))  # as if 0.5 were taken off the pictures
    layer.weight.requires_grad_(False)
    return layer


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions; the first one halves the picture."""
    return nn.Sequential(
        conv(inputs, outputs),
        nn.MaxPool2d(2),
        norm(outputs),
        nn.GELU(),
        conv(outputs, outputs),
        norm(outputs),
        nn.GELU(),
    )


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3×3 convolution that begins by handing its inputs on."""
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.dirac_(layer.weight.data[:inputs])
    return layer


def norm(channels: int) -> nn.BatchNorm2d:
    """A batch norm that learns its bias only."""
    layer = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    layer.weight.requires_grad_(False)
    return layer


# -- The optimizer: Muon for the filters, SGD with Nesterov's momentum for the rest -----------------------------------


class Muon:
    """Filters go along the orthogonal matrix nearest to their momentum (kellerjordan.github.io/posts/muon)."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        params = [p for p in params if p.requires_grad]
        (whitening, *biases), heads, filters = ([p for p in params if p.ndim == rank] for rank in (1, 2, 4))
        rates = {"head": 0.67 * BATCH_SIZE / WIDTHS[-1] ** 2, "bias": 0.053 * BATCH_SIZE}  # the loss there is a sum
        self.param_groups: list[dict[str, Any]] = [
            {"params": filters, "lr": lr, "momentum": 0.6, "decay": 0.0},
            {"params": heads, "lr": rates["head"], "momentum": 0.85, "decay": DECAY / rates["head"]},
            {"params": biases, "lr": rates["bias"], "momentum": 0.85, "decay": DECAY / rates["bias"]},
            {"params": [whitening], "lr": rates["bias"], "momentum": 0.85, "decay": DECAY / rates["bias"]},
        ]
        self.averages = {p: torch.zeros_like(p) for group in self.param_groups for p in group["params"]}

    @torch.no_grad()
    def step(self) -> None:
        """Change the weights in place; those without a gradient stay."""
        for group in self.param_groups:
            for p in [p for p in group["params"] if p.grad is not None]:
                gradient = p.grad + group["decay"] * p
                average = self.averages[p].mul_(group["momentum"]).add_(gradient)
                update = gradient + group["momentum"] * average
                if p.ndim == 4:
                    p.mul_(len(p) ** 0.5 / p.norm())
                    update = orthogonal(update.reshape(len(p), -1)).view_as(p)
                p.sub_(group["lr"] * update)

    def zero_grad(self) -> None:
        """Forget the gradients: `backward` would add to them."""
        for p in self.averages:
            p.grad = None


def orthogonal(matrix: Tensor, steps: int = 3) -> Tensor:
    """About the orthogonal matrix nearest to `matrix`, by Newton and Schulz's iteration with a fifth power."""
    x = matrix.bfloat16() / (matrix.norm() + 1e-7)
    tall = len(x) > x.shape[1]
    x = x.T if tall else x
    for _ in range(steps):
        square = x @ x.T
        x = 3.4445 * x + (2.0315 * square @ square - 4.7750 * square) @ x
    return (x.T if tall else x).to(matrix.dtype)


def to_zero(progress: float, lr: float) -> float:
    """From `lr` to 0, in a straight line."""
    return lr * (1 - progress)


class SettleWhitening(Callback):
    """The learning rate of the first layer's bias goes to zero sooner than the others."""

    def before_step(self) -> None:
        whitening = self.learn.opt.param_groups[-1]
        whitening["lr"] *= max(0.0, 1 - self.learn.progress / WHITENING_PART) / (1 - self.learn.progress)


# -- Augmentation, in training and at the end -------------------------------------------------------------------------


class AlternatingFlip(Callback):
    """Each picture is mirrored every other time: a coin decides only which time is the first."""

    def before_fit(self) -> None:
        draws = torch.Generator().manual_seed(self.learn.seed)
        self.first = torch.randint(0, 2, (self.learn.dls.train.n,), generator=draws).to(self.learn.device)

    def before_batch(self) -> None:
        learn = self.learn
        if learn.training:
            indices = learn.dls.train.indices.to(learn.device)
            mirrored = ((self.first[indices] + learn.epoch) % 2).bool()
            learn.xb = torch.where(mirrored[:, None, None, None], learn.xb.flip(-1), learn.xb)


@torch.inference_mode()
def seen_six_times(model: nn.Module, xb: Tensor) -> Tensor:
    """Scores for pictures as they are, and moved by one pixel to two corners, each of them mirrored too."""
    edges = F.pad(xb, (1, 1, 1, 1), "reflect")
    views = [(0.5, xb), (0.25, edges[..., :-2, :-2]), (0.25, edges[..., 2:, 2:])]
    return sum(weight * (model(view) + model(view.flip(-1))) / 2 for weight, view in views)


# -- The run ----------------------------------------------------------------------------------------------------------


def main() -> None:
    source, epochs = (sys.argv[1:2] or ["cifar10"])[0], int((sys.argv[2:3] or [EPOCHS])[0])
    data = read_source(source)
    data.splits["valid"] = data.splits.pop("test")  # looked at once, at the end: nothing is chosen by it
    dls = DataLoaders.from_data(data, batch_size=BATCH_SIZE, augment=Shift(2))
    some = torch.from_numpy(data.splits["train"].x[:5000]) / 255

    torch.manual_seed(0)
    for run in ("to warm up", "timed"):
        learn = Learner(
            dls, Net(some, len(dls.vocab)), opt_func=Muon, lr=0.24, metrics=accuracy, quiet=True,
            loss_func=nn.CrossEntropyLoss(label_smoothing=SMOOTHING), cbs=[SettleWhitening(), AlternatingFlip()],
        )  # fmt: skip
        waiting = torch.cuda.synchronize if learn.device.type == "cuda" else lambda: None
        begun = time.perf_counter()
        for _ in dls.train.batches(seed=0, epoch=0, device=learn.device):
            pass
        waiting()
        loaded = dls.train.n / (time.perf_counter() - begun)
        begun = time.perf_counter()
        learn.fit(1 if run == "to warm up" else epochs, schedule=to_zero)
        waiting()
        seconds = time.perf_counter() - begun
    right = [
        seen_six_times(learn.model, xb).argmax(1) == yb
        for xb, yb in dls.valid.batches(seed=0, epoch=0, device=learn.device)
    ]
    print(f"{learn.device}, {learn.precision}: {loaded:,.0f} pictures a second, loaded and shifted")
    print(f"{epochs} epochs and their validation took {seconds:.2f} s")
    print(f"test accuracy {learn.recorder.values[-1][2]:.4f}, and {torch.cat(right).float().mean():.4f} seen six times")


if __name__ == "__main__":
    main()
