"""torch's own DataLoader over tensors in memory, in the two ways that its documentation has."""

import argparse

from case import BATCH_SIZE
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset


def loader(x: Tensor, y: Tensor, options: argparse.Namespace) -> DataLoader:
    """As the tutorial has it, items collated one by one; or else, "tuned", a batch fetched at once.

    The second is the documentation's "Disabling automatic batching", under "Loading Batched and Non-Batched Data".
    """
    data, workers = TensorDataset(x, y), {"num_workers": options.workers, "persistent_workers": options.workers > 0}
    if options.variant == "tutorial":
        return DataLoader(data, batch_size=BATCH_SIZE, shuffle=True, **workers)
    return DataLoader(data, sampler=BatchSampler(RandomSampler(data), BATCH_SIZE, False), batch_size=None, **workers)


def batches(x: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor]]:
    """x and y in parts that fit into memory, in order."""
    return list(zip(x.split(1000), y.split(1000), strict=True))
