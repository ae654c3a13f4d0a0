"""Chapter 4 of fastbook in one file: from pixel similarity to a residual network, on the 3s and 7s of MNIST.

    python examples/chapter4.py               # downloads MNIST_SAMPLE (3 MB) the first time
    python examples/chapter4.py mnist_sample  # or a folder with {train,valid}/{3,7}/*.png

Needs `pip install "sevensteps[fastbook]"`. Takes about half a minute on two cores.
"""

import sys
from pathlib import Path

import torch
from torch import nn

from sevensteps import mnist_loss
from sevensteps.fastbook import (
    SGD,
    DataLoader,
    DataLoaders,
    F,
    Image,
    ImageDataLoaders,
    L,
    Learner,
    URLs,
    accuracy,
    cnn_learner,
    resnet18,
    tensor,
    untar_data,
)


def pictures(folder: Path) -> torch.Tensor:
    """All pictures of a folder: float32, N×28×28, 0 to 1."""
    return torch.stack([tensor(Image.open(file)) for file in sorted(folder.iterdir())]).float() / 255


def is_right(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The fraction where a score above 0 goes with target 1, and one below with target 0."""
    return ((scores > 0) == targets.bool()).float().mean()


path = Path(sys.argv[1]) if len(sys.argv) > 1 else untar_data(URLs.MNIST_SAMPLE)
torch.manual_seed(4)

# -- Pixels: a picture is a tensor ------------------------------------------------------------------------------------

threes, sevens = pictures(path / "train" / "3"), pictures(path / "train" / "7")
valid_threes, valid_sevens = pictures(path / "valid" / "3"), pictures(path / "valid" / "7")
print(f"{len(threes):,} threes and {len(sevens):,} sevens of {tuple(threes.shape[1:])} pixels to learn from")

# -- The baseline: is it more like the average three, or like the average seven? --------------------------------------

mean3, mean7 = threes.mean(0), sevens.mean(0)


def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a - b).abs().mean((-1, -2))  # broadcasting: one `a` or a thousand


def looks_like_3(x: torch.Tensor) -> torch.Tensor:
    return distance(x, mean3) < distance(x, mean7)


on_threes = looks_like_3(valid_threes).float().mean()
on_sevens = 1 - looks_like_3(valid_sevens).float().mean()
print(f"pixel similarity:  {on_threes:.4f} on 3s, {on_sevens:.4f} on 7s, {(on_threes + on_sevens) / 2:.4f} in all")

# -- A gradient: how the output moves when the input does -------------------------------------------------------------

x = tensor(3.0).requires_grad_()
(x**2).backward()
print(f"the slope of x² at 3 is {x.grad:.0f}")

# -- The seven steps by hand: a weight for each pixel -----------------------------------------------------------------

train_x, valid_x = torch.cat([threes, sevens]).view(-1, 784), torch.cat([valid_threes, valid_sevens]).view(-1, 784)
train_y = tensor([1] * len(threes) + [0] * len(sevens)).unsqueeze(1)
valid_y = tensor([1] * len(valid_threes) + [0] * len(valid_sevens)).unsqueeze(1)
dl = DataLoader(list(zip(train_x, train_y, strict=True)), batch_size=256)
valid_dl = DataLoader(list(zip(valid_x, valid_y, strict=True)), batch_size=256)

weights, bias = torch.randn(784, 1).requires_grad_(), torch.randn(1).requires_grad_()  # initialise
for _ in range(20):  # repeat, and stop
    for xb, yb in dl:
        preds = xb @ weights + bias  # predict
        loss = mnist_loss(preds, yb)  # loss
        loss.backward()  # gradient
        for p in (weights, bias):
            p.data -= 1.0 * p.grad  # step
            p.grad = None
print(f"one layer by hand: {is_right(valid_x @ weights + bias, valid_y):.4f} after 20 epochs")

# -- The same by a Learner, then with a second layer ------------------------------------------------------------------

dls = DataLoaders(dl, valid_dl)
learn = Learner(dls, nn.Linear(784, 1), opt_func=SGD, loss_func=mnist_loss, metrics=is_right, quiet=True)
learn.fit(10, lr=1.0)
print(f"one layer:         {learn.recorder.values[-1][2]:.4f} after 10 epochs")

two_layers = nn.Sequential(nn.Linear(784, 30), nn.ReLU(), nn.Linear(30, 1))
learn = Learner(dls, two_layers, opt_func=SGD, loss_func=mnist_loss, metrics=is_right, quiet=True)
learn.fit(40, 0.1)
print(f"two layers:        {L(learn.recorder.values).itemgot(2)[-1]:.4f} after 40 epochs")

# -- Eighteen layers, once over the pictures --------------------------------------------------------------------------

dls = ImageDataLoaders.from_folder(path)
learn = cnn_learner(dls, resnet18, pretrained=False, loss_func=F.cross_entropy, metrics=accuracy, quiet=True)
learn.fit_one_cycle(1, 0.1)
print(f"eighteen layers:   {learn.recorder.values[-1][2]:.4f} after 1 epoch")
