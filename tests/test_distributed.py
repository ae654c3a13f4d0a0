from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from torch import distributed, nn

from sevensteps import AdamW, DataLoader, DataLoaders, Learner, accuracy
from sevensteps.distributed import broadcast, in_any_rank, of_first_rank, rank, sum_over_ranks, world_size
from sevensteps.errors import TrainingError
from sevensteps.training.callbacks import Callback, CancelFitException
from sevensteps.training.checkpoint import Checkpoints, checkpoints
from sevensteps.training.keepers import StepLog, StopWhenAsked, TimeLimit


def test_one_process_is_rank_0_of_1_and_alone():
    value = torch.tensor([1.0, 2.0])
    assert (rank(), world_size()) == (0, 1)
    assert sum_over_ranks(value) is value
    assert broadcast(value) is value
    assert of_first_rank(0.1) == 0.1
    assert (in_any_rank(True), in_any_rank(False)) == (True, False)


def learner(folder: Path, *cbs: Callback, seed: int = 0, x: Any = None, dropout: float = 0.0) -> Learner:
    """Fifty made-up items in batches of 16: the last one has two."""
    draw = torch.Generator().manual_seed(1)
    items = torch.rand(50, 6, generator=draw) if x is None else x
    targets = (items.sum(1) > 3).long()
    pairs = list(zip(items, targets, strict=True))
    dls = DataLoaders(DataLoader(pairs, 16, shuffle=True, seed=seed), DataLoader(pairs, 50))
    torch.manual_seed(rank())  # who does not share the first process's weights begins with others
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 2))
    return Learner(dls, model, opt_func=AdamW, lr=0.05, metrics=accuracy, seed=seed, device="cpu", threads=1,
                   quiet=True, cbs=[StepLog(), *cbs])  # fmt: skip


class Stop(Callback):
    """Stops after some steps, as a process that is killed would."""

    order = 30

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def after_batch(self) -> None:
        if self.learn.training and self.learn.step_in_fit + 1 == self.steps:
            raise CancelFitException


class Ask(Callback):
    """A signal that reaches one process only."""

    def __init__(self, stop: StopWhenAsked) -> None:
        self.stop = stop

    def after_pred(self) -> None:
        if self.learn.training and self.learn.step_in_fit == 2 and rank() == world_size() - 1:
            self.stop.asked = True


def weights(learn: Learner) -> list[torch.Tensor]:
    return [it.detach().clone() for it in learn.model.parameters()]


def in_a_process(number: int, count: int, place: str) -> None:
    folder = Path(place)
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{place}/store", rank=number, world_size=count)
    try:
        found: dict[str, Any] = {}
        whole = learner(folder, dropout=0.3)
        whole.fit(3)
        found["dropout"] = weights(whole)
        plain = learner(folder)
        plain.fit(3)
        found["plain"], found["rows"] = weights(plain), [list(row[1:3]) for row in plain.recorder.rows]
        found["steps"] = [list(row) for row in plain.cbs[1].rows]

        kept = folder / "checkpoints"
        learner(folder, Checkpoints(kept, minutes=1e-9), Stop(6), dropout=0.3).fit(3)
        distributed.barrier()
        found["checkpoints"] = [path.name for path in checkpoints(kept)]
        again = learner(folder, dropout=0.3)
        again.resume(kept)
        found["resumed"] = weights(again)

        stop = StopWhenAsked()
        asked = learner(folder, stop, Ask(stop))
        asked.fit(3)
        found["stopped"] = asked.step_in_fit

        limit = TimeLimit(1)
        limit.started -= 1000 if number == 0 else 0  # the clock of the first process counts
        limited = learner(folder, limit)
        limited.fit(3)
        found["limited"] = limited.step_in_fit

        items = torch.rand(50, 6, generator=torch.Generator().manual_seed(1))
        items[7] = torch.nan  # in one process's share
        try:
            learner(folder, x=items).fit(3)
        except TrainingError as error:
            found["error"] = error.message
        torch.save(found, folder / f"{number}.pt")
    finally:
        distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_several_processes_train_as_one_and_go_on_to_the_same_bits(tmp_path: Path, count: int) -> None:
    mp.spawn(in_a_process, args=(count, str(tmp_path)), nprocs=count)
    found = [torch.load(tmp_path / f"{number}.pt", weights_only=True) for number in range(count)]
    alone = learner(tmp_path)
    alone.fit(3)
    first = found[0]
    torch.testing.assert_close(first["plain"], weights(alone), rtol=1e-4, atol=1e-5)
    assert torch.allclose(torch.tensor(first["rows"]), torch.tensor([list(row[1:3]) for row in alone.recorder.rows]))
    for other in found:
        for name in ("plain", "dropout", "resumed"):  # to the last bit
            assert all(map(torch.equal, other[name], first[name]))
        assert other["steps"] == first["steps"]
        assert all(map(torch.equal, other["resumed"], other["dropout"]))
        assert other["checkpoints"] == ["step-00000005", "step-00000006"]
        assert other["stopped"] == 2
        assert other["limited"] == 1
        assert other["error"] == first["error"]
        assert other["error"].startswith("the loss is nan at step ")
