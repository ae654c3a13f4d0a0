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


def sum_over_ranks(value: Tensor) -> Tensor:
    """The sum of a tensor over all processes, the same to the last bit in each; in one process the tensor itself."""
    if world_size() > 1:
        from torch import distributed

        distributed.all_reduce(value)
    return value


def broadcast(value: Tensor) -> Tensor:
    """A tensor that becomes, in every process, what it is in the first one."""
    if world_size() > 1:
        from torch import distributed

        distributed.broadcast(value, 0)
    return value


def of_first_rank(value: float) -> float:
    """A number as the first process has it: its clock, for one."""
    if world_size() == 1:
        return value
    import torch

    return float(broadcast(torch.tensor(value, dtype=torch.float64)))


def in_any_rank(value: bool) -> bool:
    """Whether it is so in at least one process."""
    if world_size() == 1:
        return value
    import torch

    return bool(sum_over_ranks(torch.tensor(int(value))))


def _is_on() -> bool:
    from torch import distributed

    return distributed.is_available() and distributed.is_initialized()
