"""What to use where the user does not say: the network, and how to train it, from the pictures' size and number."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..data.augment import Affine, Augment, Chain, Flip, Shift
from ..data.preprocessing import Preprocessing
from ..models.networks import SMALL_PX

MOST_STEPS = 700  # small sets get more epochs, until training has about this many steps
EPOCHS_AT_MOST = 30


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: `lr` is the greatest learning rate of one cycle."""

    epochs: int
    lr: float
    batch_size: int
    weight_decay: float
    augment: Augment | None


def default_network(preprocessing: Preprocessing) -> str:
    """`convnet` for small grey pictures, `resnet` for colour and for photographs."""
    small = min(preprocessing.height, preprocessing.width) <= SMALL_PX
    return "convnet" if small and preprocessing.channels == 1 else "resnet"


def recipe_for(network: str, pictures: int, preprocessing: Preprocessing) -> Recipe:
    """The recipe for a registered network on so many training pictures of this size.

    Pictures in colour are mirrored, small grey ones are not: they may be letters or digits.
    """
    side = min(preprocessing.height, preprocessing.width)
    batch_size = 256 if pictures >= 20_000 else 64 if pictures >= 1_000 else 32
    steps = max(1, math.ceil(pictures / batch_size))
    photographs = side > SMALL_PX
    if network in ("linear", "simple_net"):
        features = preprocessing.channels * preprocessing.height * preprocessing.width
        epochs, lr, augment = 10, 3e-3 * min(1.0, 784 / features), None  # each output sums over all pixels
    elif photographs:
        epochs, lr, augment = 15, 3e-3, Chain((Affine(), Flip()))
    else:
        flips = (Flip(),) if preprocessing.channels == 3 else ()
        epochs, lr, augment = (
            4 if network == "convnet" else 8,
            2e-2 * math.sqrt(batch_size / 256) if network == "convnet" else 5e-3,
            Chain((Shift(max(1, round(side / 16))), *flips)),
        )
    epochs = max(epochs, min(EPOCHS_AT_MOST, MOST_STEPS // steps))
    return Recipe(epochs, lr, batch_size, 0.05, augment)
