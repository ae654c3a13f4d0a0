"""Several processes training together; in one process all of it does nothing.

A process group is torch's: where `torch.distributed` has been initialised, these speak for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def rank() -> int:
    """The number of this process, from 0; 0 where there is only one."""
    from torch import distributed

    return distributed.get_rank() if _is_on() else 0


def world_size() -> int:
    """How many processes train together."""
    from torch import distributed

    return distributed.get_world_size() if _is_on() else 1


def mean_over_ranks(value: Tensor, weight: float = 1.0) -> Tensor:
    """The mean of `value` over all processes, each weighted by `weight` (its number of pictures); of its shape.

    A process of weight 0 does not count, whatever its value is, also not a number. Where no process counts, the
    mean is not a number. It carries no gradient.
    """
    if world_size() == 1:
        return value.detach()
    import torch
    from torch import distributed

    dtype = torch.promote_types(value.dtype, torch.float32)  # half precision cannot count to 60,000
    weighted = value.detach().to(dtype) * weight if weight else torch.zeros_like(value, dtype=dtype)
    total = torch.cat([weighted.flatten(), weighted.new_tensor([weight])])
    distributed.all_reduce(total)
    mean = (total[:-1] / total[-1]).view(value.shape)
    return mean.to(value.dtype) if value.is_floating_point() else mean


def _is_on() -> bool:
    from torch import distributed

    return distributed.is_available() and distributed.is_initialized()
