"""A model put into evaluation mode for a moment."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[torch.device]:
    """The model in evaluation mode, and its device; afterwards each of its modules is in the mode it was in."""
    modes = {module: module.training for module in model.modules()}
    first = next(itertools.chain(model.parameters(), model.buffers()), torch.empty(0))
    try:
        model.eval()
        yield first.device
    finally:
        for module, training in modes.items():
            module.training = training
