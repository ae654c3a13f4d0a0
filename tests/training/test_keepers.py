from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sevensteps import Callback, DataLoader, DataLoaders, Learner
from sevensteps.errors import TrainingError
from sevensteps.training.keepers import KeepBest, StepLog, StopWhenAsked, TimeLimit

ITEMS = [(torch.randn(4, generator=torch.Generator().manual_seed(i)), i % 2) for i in range(20)]


def learner(metrics: Any = None, n_valid: int = 20) -> Learner:
    torch.manual_seed(0)
    valid = DataLoader(ITEMS[:n_valid], 5) if n_valid else None
    dls = DataLoaders(DataLoader(ITEMS, 5, shuffle=True), valid)
    return Learner(dls, nn.Linear(4, 2), metrics=metrics, quiet=True, device="cpu")


class Scores:
    """A metric that gives these values, one an epoch."""

    name = "score"

    def __init__(self, *values: float) -> None:
        self.values = list(values)

    def reset(self) -> None: ...
    def update(self, preds: Tensor, targets: Tensor) -> None: ...
    def compute(self) -> float:
        return self.values.pop(0)


class Weights(Callback):
    """The weights after each epoch."""

    def __init__(self) -> None:
        self.after: list[Tensor] = []

    def after_epoch(self) -> None:
        self.after.append(self.learn.model.weight.detach().clone())  # type: ignore[union-attr, operator]


@pytest.mark.parametrize(
    ("scores", "best", "saved"),
    [((0.1, 0.9, 0.5), 2, 2), ((0.9, 0.5, 0.1), 1, 1), ((0.5, 0.7, 0.7), 3, 3), ((0.5, float("nan"), 0.4), 1, 1)],
)
def test_keep_best_keeps_the_best_epoch_and_gives_it_back(scores: tuple[float, ...], best: int, saved: int) -> None:
    saves, seen = [], Weights()
    learn = learner(Scores(*scores))
    keep = KeepBest(lambda: saves.append(learn.epoch))
    learn.fit(3, 0.5, cbs=[keep, seen])
    assert keep.epoch == best == saves[-1]
    assert len(saves) == saved
    keep.restore()
    assert torch.equal(learn.model.weight, seen.after[best - 1])  # type: ignore[arg-type]


def test_keep_best_keeps_the_last_epoch_where_there_is_nothing_to_choose_by() -> None:
    learn = learner(n_valid=0)
    keep = KeepBest(lambda: None)
    learn.fit(3, 0.5, cbs=keep)
    assert keep.epoch == 3


def test_keep_best_never_keeps_weights_that_are_not_finite() -> None:
    class Spoil(Callback):
        def after_train(self) -> None:
            if self.learn.epoch == 2:
                torch.nn.init.constant_(self.learn.model.weight, float("nan"))  # type: ignore[arg-type]

    learn = learner(Scores(0.1, 0.9))
    keep = KeepBest(lambda: None)
    learn.fit(2, cbs=[keep, Spoil()])
    assert keep.epoch == 1
    keep.restore()
    assert learn.model.weight.isfinite().all()  # type: ignore[operator, union-attr]


def test_the_step_log_has_a_row_a_step_with_the_gradient_norm() -> None:
    norms = []

    class Norm(Callback):
        def after_backward(self) -> None:
            norms.append(torch.cat([p.grad.flatten() for p in self.learn.model.parameters()]).norm().item())  # type: ignore[union-attr]

    log = StepLog()
    learn = learner()
    learn.fit(2, 0.1, cbs=[log, Norm()])
    assert [row[0] for row in log.rows] == list(range(8))
    assert [row[1] for row in log.rows] == [1] * 4 + [2] * 4
    assert [row[2] for row in log.rows] == learn.recorder.losses
    assert [row[3] for row in log.rows] == [0.1] * 8
    assert [row[4] for row in log.rows] == pytest.approx(norms, rel=1e-5)
    assert log.rows[0]._fields == ("step", "epoch", "loss", "lr", "gradient_norm")


class Waiting(StepLog):
    """Takes its Learner for one on a GPU, whose numbers are fetched once an epoch."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, OnGpu(value) if name == "learn" else value)


class OnGpu:
    device = torch.device("cuda")

    def __init__(self, learn: Learner) -> None:
        self.real = learn

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def test_rows_that_are_fetched_once_an_epoch_are_those_of_every_step() -> None:
    seen = []

    class Look(Callback):
        def after_batch(self) -> None:
            if self.learn.training:
                seen.append((len(at_once.rows), len(waiting.rows)))

    at_once, waiting = StepLog(), Waiting()
    learner().fit(2, 0.1, cbs=[at_once, waiting, Look()])
    assert seen == [(1, 0), (2, 0), (3, 0), (4, 0), (5, 4), (6, 4), (7, 4), (8, 4)]
    assert waiting.rows == at_once.rows
    assert len(waiting.rows) == 8


def test_a_loss_that_is_not_finite_is_found_at_the_end_of_an_epoch_whose_rows_wait() -> None:
    learn, log = learner(), Waiting()
    steps = iter(range(100))
    learn.loss_func = lambda preds, yb: preds.sum() * (float("nan") if next(steps) == 2 else 1.0)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 2 \(epoch 1\)"):
        learn.fit(3, 0.1, cbs=log)
    assert [row.step for row in log.rows] == [0, 1, 2]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_step_log_raises_where_a_loss_is_not_finite(bad: float) -> None:
    learn = learner()
    steps = iter(range(100))
    learn.loss_func = lambda preds, yb: preds.sum() * (bad if next(steps) == 2 else 1.0)
    with pytest.raises(TrainingError, match=r"the loss is -?(nan|inf) at step 2 \(epoch 1\), with learning rate 0.1"
                       r"[\s\S]*--lr 0.01"):  # fmt: skip
        learn.fit(3, 0.1, cbs=StepLog())


class Clock(Callback):
    """A clock that goes on by a second a batch; it stands in the place of the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def after_batch(self) -> None:
        self.now += self.learn.training


def test_a_time_limit_stops_anneals_and_keeps_the_epoch_that_it_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("sevensteps.training.keepers.time", clock)
    learn, keep, seen = learner(Scores(*[0.5] * 1000)), KeepBest(lambda: None), Weights()
    learn.fit_one_cycle(1000, 0.1, cbs=[TimeLimit(1), keep, seen, clock])  # 60 seconds: 60 batches, 4 an epoch
    assert len(learn.recorder.losses) == 60
    assert learn.recorder.lrs[-1] < 0.001  # annealed by the clock
    assert max(learn.recorder.lrs) == pytest.approx(0.1)
    assert keep.epoch == len(seen.after) == len(learn.recorder.rows) == learn.epoch == 15


def test_a_time_limit_in_the_middle_of_an_epoch_cuts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("sevensteps.training.keepers.time", clock)
    learn, keep = learner(Scores(*[0.5] * 1000)), KeepBest(lambda: None)
    learn.fit_one_cycle(1000, 0.1, cbs=[TimeLimit(6 / 60), keep, clock])
    assert len(learn.recorder.losses) == 6
    assert keep.epoch == len(learn.recorder.rows) == 2


def test_a_time_limit_that_is_over_at_once_still_trains_one_batch() -> None:
    learn, keep = learner(Scores(0.5)), KeepBest(lambda: None)
    learn.fit_one_cycle(5, 0.1, cbs=[keep, TimeLimit(1e-9)])
    assert len(learn.recorder.losses) == 1
    assert keep.epoch == 1


def test_a_time_limit_that_is_far_leaves_the_schedule_alone() -> None:
    free, limited = learner(), learner()
    free.fit_one_cycle(3, 0.1)
    limited.fit_one_cycle(3, 0.1, cbs=TimeLimit(1000))
    assert limited.recorder.lrs == pytest.approx(free.recorder.lrs)


def test_when_asked_it_stops_after_the_batch_and_the_epoch_counts() -> None:
    stop, keep = StopWhenAsked(), KeepBest(lambda: None)

    class Ask(Callback):
        def after_step(self) -> None:
            if self.learn.step_in_fit == 5:
                stop.asked = True

    learn = learner(Scores(0.1, 0.2, 0.3))
    learn.fit(9, 0.1, cbs=[stop, keep, Ask()])
    assert len(learn.recorder.losses) == 6
    assert keep.epoch == len(learn.recorder.rows) == 2
    assert learn.recorder.rows[-1].valid_loss is not None


def test_signals_are_listened_to_inside_the_block_only() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in (signal.SIGINT, signal.SIGTERM):
        stop = StopWhenAsked()
        with stop.listening():
            os.kill(os.getpid(), number)
            time.sleep(0.01)
        assert stop.asked
        assert {number: signal.getsignal(number) for number in before} == before


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    stop = StopWhenAsked()
    with pytest.raises(KeyboardInterrupt), stop.listening():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        assert stop.asked
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_another_thread_it_leaves_the_signals_alone() -> None:
    seen = []

    def run() -> None:
        with StopWhenAsked().listening():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_ctrl_c_in_a_real_process_ends_the_fit_cleanly() -> None:
    code = """
import sys, time, torch
from torch import nn
from sevensteps import Callback, DataLoader, DataLoaders, Learner
from sevensteps.training.keepers import StopWhenAsked
class Say(Callback):
    def after_batch(self):
        print("batch", flush=True)
        time.sleep(0.01)
stop = StopWhenAsked()
dls = DataLoaders(DataLoader([(torch.randn(4), 0)] * 1000, 1))
learn = Learner(dls, nn.Linear(4, 2), quiet=True, device="cpu")
with stop.listening():
    learn.fit(100, cbs=[Say(), stop])
print("ended", stop.asked, learn.epoch, 0 < len(learn.recorder.losses) < 900)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "batch\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[-1] == "ended True 1 True"
