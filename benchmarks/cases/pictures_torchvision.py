"""From folders of pictures to the end of the first training epoch, and later epochs: ImageFolder and a plain loop.

tutorial: `ToTensor` for each picture. tuned: bytes to the batch and floats there, channels last, bfloat16, the fused
optimizer. `--variant data` reads the batches, in the tuned way, and trains nothing.
"""

import argparse
import copy
import time
from collections.abc import Iterator
from pathlib import Path

import case
import networks
import torch
import torchvision_operators  # noqa: F401 - before torchvision
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder


def read_grey(path: str) -> Image.Image:
    return Image.open(path).convert("L")


def loader(folder: Path, options: argparse.Namespace) -> DataLoader:
    pictures = case.SOURCES[options.source]
    grey, side = pictures.channels == 1, pictures.side
    resize = [] if grey else [transforms.Resize(side), transforms.CenterCrop(side)]
    as_tensor = transforms.ToTensor() if options.variant == "tutorial" else transforms.PILToTensor()
    data = ImageFolder(folder, transforms.Compose([*resize, as_tensor]), **({"loader": read_grey} if grey else {}))
    return DataLoader(
        data,
        batch_size=pictures.batch_size,
        shuffle=True,
        num_workers=options.workers,
        persistent_workers=options.workers > 0,
    )


class Floats:
    """The batches of a loader with xb as float32 from 0 to 1."""

    def __init__(self, batches: DataLoader) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for xb, yb in self.batches:
            yield (xb if xb.is_floating_point() else xb.float() / 255), yb


def main() -> None:
    options = case.options()
    case.set_up(options)
    tuned, bf16 = options.variant == "tuned", options.precision == "bf16"
    pictures, clock, begun = case.SOURCES[options.source], case.Clock(), time.perf_counter()
    train = Floats(loader(options.work / options.source / "train", options))
    if options.variant == "data":
        clock.passes(train, 1 + options.epochs)
        case.finish_pictures(begun, clock)
        return
    model = getattr(networks, pictures.network)(pictures.classes)
    untrained = copy.deepcopy(model)
    if tuned:
        model.to(memory_format=torch.channels_last)
    opt = torch.optim.AdamW(model.parameters(), lr=case.LR[pictures.network], fused=tuned or None)
    for _ in range(1 + options.epochs):
        model.train()
        clock.start()
        for xb, yb in train:
            if tuned:
                xb = xb.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
            opt.zero_grad()
        clock.stop()
    check = case.learned_pictures(untrained, model, train)
    case.finish_pictures(begun, clock, precision="bf16" if bf16 else "fp32", check=check)


if __name__ == "__main__":
    main()
