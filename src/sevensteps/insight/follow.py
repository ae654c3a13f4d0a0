"""One picture through a training: what it was called after every epoch, when it was learned and when forgotten."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.decoders import decode_all
from ..data.preprocessing import as_input
from ..data.store import stamps
from ..errors import RefusedPicture, RequestError
from ..training.callbacks import Callback
from ..training.plan import Plan


class Found(NamedTuple):
    """A picture to look at: its pixels (uint8, C×H×W), where it is among the data, and its class, if that is known.

    `split` and `number` are None for a picture that is none of the data's; `known_by` says where its class is from.
    """

    name: str
    pixels: Tensor
    split: str | None
    number: int | None
    true: int | None
    known_by: str


class AfterEpoch(NamedTuple):
    """What it was called after an epoch (0 is before the first): `loss` and `right` are None for an unknown class."""

    epoch: int
    called: str
    probability: float
    probability_of_true: float | None
    loss: float | None
    right: bool | None


class Follow(Callback):
    """Asks the model for one picture after every epoch; `rows` holds the answers.

    `kept_after` is the last epoch after which its weights were those of `kept`, to the last bit; None without one.
    """

    order: ClassVar[int] = -40

    def __init__(self, found: Found, vocab: Sequence[str], kept: nn.Module) -> None:
        self.found, self.vocab, self.kept = found, vocab, kept.state_dict()
        self.rows: list[AfterEpoch] = []
        self.kept_after: int | None = None

    def before_fit(self) -> None:
        """Ask before anything is learned."""
        self._ask(0)

    def after_epoch(self) -> None:
        """Ask after an epoch."""
        self._ask(self.learn.epoch)
        weights = self.learn.model.state_dict()
        if all(torch.equal(weights[name].cpu(), value.cpu()) for name, value in self.kept.items()):
            self.kept_after = self.learn.epoch

    def _ask(self, epoch: int) -> None:
        xb = as_input(self.found.pixels[None])
        preds, _ = self.learn.get_preds([(xb, torch.zeros(1, dtype=torch.int64))])
        self.rows.append(answer_after(epoch, preds[0], self.found.true, self.vocab))


def answer_after(epoch: int, preds: Tensor, true: int | None, vocab: Sequence[str]) -> AfterEpoch:
    """The raw scores of one picture (shape (classes,)) as a row."""
    probs = preds.double().softmax(0)
    best = int(probs.argmax())
    called, probability = vocab[best], float(probs[best])
    if true is None:
        return AfterEpoch(epoch, called, probability, None, None, None)
    loss = float(F.cross_entropy(preds[None].double(), torch.tensor([true])))
    return AfterEpoch(epoch, called, probability, float(probs[true]), loss, best == true)


def turns(rows: Sequence[AfterEpoch]) -> tuple[list[int], list[int]]:
    """The epochs after which it was right and had not been, and those after which it had been and was not.

    Before the first it may be right by chance, which nothing was learned for.

    >>> row = AfterEpoch(0, "3", 0.9, 0.9, 0.1, False)
    >>> turns([row, row._replace(epoch=1, right=True), row._replace(epoch=2), row._replace(epoch=3, right=True)])
    ([1, 3], [2])
    """
    known = [row._replace(right=row.right and row.epoch > 0) for row in rows]
    pairs = list(itertools.pairwise(known))
    learned = [after.epoch for before, after in pairs if after.right and not before.right]
    return learned, [after.epoch for before, after in pairs if before.right and not after.right]


def find_picture(asked: str, plan: Plan) -> Found:
    """The picture that `asked` means: the name of one of the data's, or a file, which may be one of them.

    A file that is none of them has the class of the folder that it lies in, where that is one of the classes. Raises
    `RequestError` where there is neither, `RefusedPicture` for a file that cannot be read.
    """
    vocab, is_file = plan.dls.vocab or [], Path(asked).is_file()
    path = Path(asked).resolve().as_posix() if is_file else ""
    named = [
        (split, number, name)
        for split, loader in plan.dls.splits.items()
        for number, name in enumerate(loader.collection.names)
        if name in (asked, f"#{asked}") or path.endswith(f"/{name}")
    ]
    content = _read(asked, plan) if is_file else None
    for split, number, name in named:
        pictures = plan.dls.splits[split].collection
        pixels = pictures.pixels_of(torch.tensor([number]))[0]
        if content is None or torch.equal(content, pixels):
            return Found(name, pixels, split, number, int(pictures.labels[number]), f"it is one of {split}")
    if content is None:
        hint = "expected a picture's file, or a name as predictions.csv has them"
        raise RequestError(f"there is no picture {asked!r}", hint=hint)
    pixels = content
    for split, loader in plan.dls.splits.items():
        pictures = loader.collection
        same = _number_of(pixels, pictures.store, pictures.rows)
        if same is not None:
            known_by = f"it has the pixels of {pictures.names[same]} in {split}"
            return Found(asked, pixels, split, same, int(pictures.labels[same]), known_by)
    folder = Path(asked).resolve().parent.name
    if folder in vocab:
        return Found(asked, pixels, None, None, vocab.index(folder), f"it lies in a folder {folder!r}")
    return Found(asked, pixels, None, None, None, "")


def _read(file: str, plan: Plan) -> Tensor:
    """Its pixels, decoded by a process of its own."""
    size = plan.preprocessing
    for _, statuses, raw in decode_all([file], stamps([file])[0].tolist(), size):
        if isinstance(refused := statuses[0], RefusedPicture):
            raise RefusedPicture(refused.reason, f"{file}: {refused.message}")
        return torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(size.channels, size.height, size.width)
    raise RequestError(f"{file} could not be read", hint="is it a picture?")


def _number_of(pixels: Tensor, store: Tensor, rows: Tensor | None) -> int | None:
    """The number of the first picture that has these very pixels."""
    every = max(1, pixels.numel() // 16)  # pixels that are compared first
    alike = (store.flatten(1)[:, ::every] == pixels.flatten()[::every]).all(1)
    for place in alike.nonzero().flatten().tolist():
        if torch.equal(store[place], pixels):
            if rows is None:
                return int(place)
            number = (rows == place).nonzero().flatten()
            if len(number):
                return int(number[0])
    return None
