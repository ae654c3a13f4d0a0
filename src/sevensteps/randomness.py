"""Every random draw is a pure function of (seed, purpose, epoch, step …).

No generator's state is ever saved or shared: a purpose and some counters give a seed, the seed gives the
draw. So any epoch's order can be had without the epochs before it, and a caller's own generators are
never moved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def seed_for(seed: int, purpose: str, *counters: int) -> int:
    """A 63-bit seed that depends on nothing but its arguments.

    >>> seed_for(0, "order", 3) == seed_for(0, "order", 3) != seed_for(0, "order", 4)
    True
    """
    text = ":".join([str(seed), purpose, *map(str, counters)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def permutation(n: int, seed: int, purpose: str, *counters: int) -> np.ndarray:
    """The numbers 0 to n-1 in an order drawn for this seed, purpose and counters; int64, shape (n,).

    >>> permutation(5, 0, "order", 1).tolist() == permutation(5, 0, "order", 1).tolist()
    True
    """
    return np.random.default_rng(seed_for(seed, purpose, *counters)).permutation(n)


def generator(seed: int, purpose: str, *counters: int) -> torch.Generator:
    """A fresh torch generator on the CPU for one purpose."""
    import torch

    return torch.Generator().manual_seed(seed_for(seed, purpose, *counters))


def seed_torch(seed: int) -> None:
    """Seed torch's global generators of the CPU and of the GPU in use; much faster than `torch.manual_seed`."""
    import torch

    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


@contextmanager
def torch_seeded(seed: int, purpose: str, *counters: int) -> Iterator[None]:
    """Inside the block torch's global generators are seeded for the purpose; after it, as they were.

    For code that knows no `generator=`: a layer's initial weights, dropout.
    """
    import torch

    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    of_mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None  # fork_rng knows none of it
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed_for(seed, purpose, *counters))
            yield
    finally:
        if of_mps is not None:
            torch.mps.set_rng_state(of_mps)
