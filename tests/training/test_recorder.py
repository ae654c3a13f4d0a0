from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from sevensteps import Callback, DataLoader, DataLoaders, Learner, accuracy
from sevensteps.training.callbacks import CancelFitException, CancelValidException
from sevensteps.training.checkpoint import Checkpoints
from sevensteps.training.recorder import EpochTable

ITEMS = [(torch.randn(4, generator=torch.Generator().manual_seed(i)), i % 2) for i in range(20)]


def learner(*cbs: Callback, batch_size: int = 6) -> Learner:
    torch.manual_seed(0)
    dls = DataLoaders(DataLoader(ITEMS, batch_size, shuffle=True), DataLoader(ITEMS, batch_size))
    return Learner(dls, nn.Linear(4, 2), metrics=accuracy, cbs=cbs, quiet=True, device="cpu")


class StopAt(Callback):
    order = 20

    def __init__(self, step: int) -> None:
        self.step = step

    def after_batch(self) -> None:
        if self.learn.training and self.learn.step_in_fit == self.step:
            raise CancelFitException


def test_it_keeps_a_loss_and_a_rate_a_step_and_a_row_an_epoch() -> None:
    learn = learner()
    learn.fit(3, 0.1)
    recorder = learn.recorder
    assert len(recorder.losses) == len(recorder.lrs) == 12
    assert [row.epoch for row in recorder.rows] == [1, 2, 3]
    assert all(row.pictures_per_second > 0 and row.seconds > 0 for row in recorder.rows)
    assert sum(recorder.losses[:4]) / 4 == pytest.approx(recorder.rows[0].train_loss, rel=0.2)


def test_a_fit_that_is_stopped_in_the_middle_keeps_the_losses_of_its_steps() -> None:
    learn = learner(StopAt(5))
    learn.fit(3, 0.1)
    assert len(learn.recorder.losses) == len(learn.recorder.lrs) == 6
    assert len(learn.recorder.rows) == 1


def test_losses_and_rates_stay_side_by_side_after_an_error() -> None:
    class Fail(StopAt):
        def after_batch(self) -> None:
            try:
                super().after_batch()
            except CancelFitException:
                raise KeyboardInterrupt from None

    learn = learner()
    with pytest.raises(KeyboardInterrupt):
        learn.fit(3, 0.1, cbs=Fail(5))
    learn.fit(1, 0.2)
    assert len(learn.recorder.losses) == len(learn.recorder.lrs) == 10
    assert learn.recorder.lrs[-4:] == [0.2] * 4


def test_a_validation_that_is_left_out_gives_none_and_not_an_old_figure() -> None:
    class Skip(Callback):
        def before_validate(self) -> None:
            if self.learn.epoch == 2:
                raise CancelValidException

    learn = learner(Skip())
    file = io.StringIO()
    learn.fit(2, cbs=EpochTable(file))
    assert learn.recorder.rows[0].valid_loss is not None
    assert learn.recorder.rows[1].valid_loss is None
    assert learn.recorder.rows[1].metrics == {}
    head, _, second = file.getvalue().splitlines()
    assert second.index("00:00") == head.index("time")


def test_nothing_is_read_from_the_device_in_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    for name in ("item", "tolist", "__float__", "__bool__"):
        real = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda self, real=real, name=name: (reads.append(name), real(self))[1])

    def count(batch_size: int) -> int:
        reads.clear()
        learner(batch_size=batch_size).fit(2)
        return len(reads)

    assert count(1) == count(10)  # so many an epoch, however many steps


def test_the_loss_is_drawn() -> None:
    learn = learner(StopAt(5))
    learn.fit(3, 0.1)
    axis = learn.recorder.plot_loss().axes[0]
    steps, valid = axis.lines
    assert len(steps.get_xdata()) == 6  # type: ignore[arg-type]
    assert len(valid.get_xdata()) == 1  # type: ignore[arg-type]


def test_nothing_can_be_drawn_before_any_training_and_it_is_no_error() -> None:
    assert len(learner().recorder.plot_loss().axes[0].lines[0].get_xdata()) == 0  # type: ignore[arg-type]


def test_an_epoch_that_is_resumed_in_its_middle_counts_the_seconds_of_both_sittings(tmp_path: Path) -> None:
    class Slow(Callback):
        def after_batch(self) -> None:
            if self.learn.training and self.learn.step_in_fit == 0:
                time.sleep(0.4)

    class Kill(Callback):
        order = 60

        def after_batch(self) -> None:
            if self.learn.step_in_fit == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learner().fit(2, cbs=[Slow(), Checkpoints(tmp_path, minutes=1e-9), Kill()])
    again = learner()
    again.resume(tmp_path)
    first, second = again.recorder.rows
    assert first.seconds > 0.4 > second.seconds
    assert first.pictures_per_second < 20 / 0.4
