from __future__ import annotations

import math

import pytest
import torch
import torch.multiprocessing as mp
from torch import distributed

from sevensteps.distributed import mean_over_ranks, rank, world_size


def test_one_process_is_rank_0_of_1():
    assert (rank(), world_size()) == (0, 1)


@pytest.mark.parametrize(
    "value", [torch.tensor(2.5), torch.arange(6.0).view(2, 3), torch.tensor([], dtype=torch.float64)]
)
def test_in_one_process_the_mean_is_the_value(value):
    mean = mean_over_ranks(value, 7)
    assert torch.equal(mean, value)
    assert mean.dtype == value.dtype


def in_a_process(number: int, count: int, store: str, folder: str) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=number, world_size=count)
    try:
        leaf = torch.tensor([1.0], requires_grad=True)
        results = {
            "rank": rank(),
            "world_size": world_size(),
            "scalar": mean_over_ranks(torch.tensor(float(number)), weight=[3, 1][number]),
            "matrix": mean_over_ranks(torch.full((2, 3), float(number)), weight=[1, 3][number]),
            "unweighted": mean_over_ranks(torch.tensor([1.0, 5.0][number])),
            "empty rank": mean_over_ranks(torch.tensor([2.0, math.nan][number]), weight=[4, 0][number]),
            "no rank": mean_over_ranks(torch.tensor(1.0), weight=0),
            "half": mean_over_ranks(torch.tensor([1.0, 3.0][number], dtype=torch.float16), weight=60_000),
            "counts": mean_over_ranks(torch.tensor([1, 2][number]), weight=0.5),
            "graph": mean_over_ranks(leaf * 2),
        }
        torch.save(results, f"{folder}/{number}.pt")
    finally:
        distributed.destroy_process_group()


@pytest.mark.slow
def test_over_two_processes_the_mean_is_weighted(tmp_path):
    mp.spawn(in_a_process, args=(2, str(tmp_path / "store"), str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{number}.pt", weights_only=True) for number in range(2))
    assert (first.pop("rank"), second.pop("rank")) == (0, 1)
    assert first.pop("world_size") == second.pop("world_size") == 2
    for name in first:  # every process has the same mean
        assert torch.equal(first[name], second[name]) or name == "no rank"
    assert first["scalar"].item() == 0.25
    assert first["scalar"].shape == ()
    assert torch.equal(first["matrix"], torch.full((2, 3), 0.75))
    assert first["unweighted"].item() == 3.0
    assert first["empty rank"].item() == 2.0
    assert math.isnan(first["no rank"].item())
    assert first["half"].item() == 2.0
    assert first["half"].dtype == torch.float16
    assert first["counts"].item() == 1.5
    assert not first["graph"].requires_grad
