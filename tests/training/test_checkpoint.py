"""A training that is stopped, or killed, goes on from its last checkpoint to the same bits."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sevensteps import SGD, AdamW, BasicOptim, Callback, DataLoader, DataLoaders, Learner, RequestError, accuracy
from sevensteps.data.augment import Shift
from sevensteps.errors import DataError, TrainingError
from sevensteps.insight.record import recorded_steps
from sevensteps.report.finished_run import FinishedRun
from sevensteps.training.checkpoint import Checkpoint, Checkpoints, checkpoints
from sevensteps.training.keepers import KeepBest, StepLog
from sevensteps.training.result import Silence
from sevensteps.training.schedules import one_cycle
from sevensteps.training.train import resume, train

OPTIMIZERS = {
    "basic": BasicOptim,
    "sgd": partial(SGD, momentum=0.9, weight_decay=1e-3),
    "adamw": AdamW,
    "torch-adam": torch.optim.Adam,
    "torch-sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
}


class KilledError(Exception):
    """As if the process had ended here."""


class Kill(Callback):
    """Ends a fit after so many steps, with nothing tidied up."""

    order = 100

    def __init__(self, after: int) -> None:
        self.after = after

    def after_batch(self) -> None:
        if self.learn.training and self.learn.step_in_fit + 1 == self.after:
            raise KilledError


def learner(opt_func: Any, loader: str = "ours", precision: str = "fp32") -> Learner:
    """A network with all that is random or remembered: dropout, batch norm, augmentation, a last short batch."""
    draws = torch.Generator().manual_seed(1)
    x, y = torch.rand(70, 1, 8, 8, generator=draws), torch.randint(0, 3, (70,), generator=draws)
    data = list(zip(x, y, strict=True))
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(144, 3)
    )
    train_dl: Any = DataLoader(data, 16, shuffle=True, augment=Shift(1))
    if loader == "torch":
        train_dl = torch.utils.data.DataLoader(data, 16, shuffle=True)
    dls = DataLoaders(train_dl, DataLoader(data, 32))
    return Learner(dls, model, opt_func=opt_func, lr=0.01, metrics=accuracy, precision=precision, threads=1, quiet=True)


def outcome(learn: Learner, log: StepLog) -> dict[str, Any]:
    rows = [row[:4] for row in learn.recorder.rows]  # all but the seconds
    state = {name: tensor.tolist() for name, tensor in learn.model.state_dict().items()}
    return {"state": state, "rows": rows, "losses": learn.recorder.losses, "lrs": learn.recorder.lrs, "steps": log.rows}


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 4, 5, 7, 10, 14])  # of 15 steps, five an epoch
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_killed_after_any_step_it_ends_with_the_same_bits(tmp_path: Path, optimizer: str, after: int) -> None:
    whole, log = learner(OPTIMIZERS[optimizer]), StepLog()
    whole.fit_one_cycle(3, cbs=log)
    kept = partial(Checkpoints, tmp_path, minutes=1e-9)  # after every step
    with pytest.raises(KilledError):
        learner(OPTIMIZERS[optimizer]).fit_one_cycle(3, cbs=[StepLog(), kept(), Kill(after)])
    again, again_log = learner(OPTIMIZERS[optimizer]), StepLog()
    again.resume(tmp_path, cbs=[again_log, kept()])
    assert outcome(again, again_log) == outcome(whole, log)


@pytest.mark.parametrize(("loader", "precision"), [("torch", "fp32"), ("ours", "bf16")])
def test_other_loaders_and_precisions_too(tmp_path: Path, loader: str, precision: str) -> None:
    whole, log = learner(AdamW, loader, precision), StepLog()
    whole.fit(3, cbs=log)
    with pytest.raises(KilledError):
        learner(AdamW, loader, precision).fit(3, cbs=[StepLog(), Checkpoints(tmp_path, minutes=1e-9), Kill(8)])
    again, again_log = learner(AdamW, loader, precision), StepLog()
    again.resume(tmp_path, cbs=again_log)
    assert outcome(again, again_log) == outcome(whole, log)


def test_without_minutes_there_is_one_after_each_epoch_and_the_last_two_and_the_best_are_kept(tmp_path: Path) -> None:
    class Scores(KeepBest):
        def after_epoch(self) -> None:
            self.epoch = 2 if self.learn.epoch > 1 else 1  # the second epoch is the best of all

    learn, best = learner(AdamW), Scores(lambda: None)
    learn.fit(6, cbs=[best, Checkpoints(tmp_path, best=best)])
    assert [path.name for path in checkpoints(tmp_path)] == [f"step-{n:08}" for n in (10, 25, 30)]
    assert all({it.name for it in path.iterdir()} == FILES for path in checkpoints(tmp_path))


FILES = {"weights.safetensors", "optimizer.safetensors", "state.json", "manifest.json"}


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("harm", ["flip", "cut", "missing"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path, name: str, harm: str) -> None:
    learner(AdamW).fit(3, cbs=Checkpoints(tmp_path))
    before, last = checkpoints(tmp_path)
    expected = Checkpoint.load(before).state
    content = bytearray((last / name).read_bytes())
    content[len(content) // 2] ^= 4
    (last / name).write_bytes(content if harm == "flip" else content[:-7])
    if harm == "missing":
        (last / name).unlink()
    assert Checkpoint.load(tmp_path).state == expected


def test_what_is_no_checkpoint_or_of_another_training_is_told(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="holds no checkpoint that is whole"):
        learner(AdamW).resume(tmp_path)
    learner(AdamW).fit(1, cbs=Checkpoints(tmp_path))
    other = learner(AdamW)
    other.seed = 5
    with pytest.raises(RequestError, match=r"of seed 0 and 5 steps an epoch, not of seed 5"):
        other.resume(tmp_path)
    another = learner(AdamW)
    another.model.append(nn.Linear(3, 3))
    with pytest.raises(RequestError, match="of another network"):
        another.resume(tmp_path)


def test_a_schedule_of_ones_own_must_be_given_again(tmp_path: Path) -> None:
    def own(progress: float, lr: float) -> float:
        return lr * (1 - progress)

    whole = learner(SGD)
    whole.fit(2, schedule=own)
    with pytest.raises(KilledError):
        learner(SGD).fit(2, schedule=own, cbs=[Checkpoints(tmp_path), Kill(7)])
    with pytest.raises(RequestError, match="schedule of this fit is not one of ours"):
        learner(SGD).resume(tmp_path)
    again = learner(SGD)
    again.resume(tmp_path, schedule=own)
    assert again.recorder.lrs == whole.recorder.lrs


def test_weights_that_are_not_finite_become_no_checkpoint(tmp_path: Path) -> None:
    class Spoil(Callback):
        def after_train(self) -> None:
            if self.learn.epoch == 2:
                self.learn.model[-1].weight.data[0, 0] = float("nan")

    with pytest.raises(TrainingError, match="not finite"):
        learner(AdamW).fit(3, schedule=one_cycle, cbs=[Spoil(), Checkpoints(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000005"]


# -- runs -----------------------------------------------------------------------------------------------------------


def history(run: Path) -> list[list[str]]:
    """The rows of history.csv but for the seconds."""
    return [line.split(",")[:-2] for line in (run / "history.csv").read_text().splitlines()]


def same(one: Path, other: Path) -> bool:
    files = ("model/model.safetensors", "steps.csv", "predictions.csv")
    return history(one) == history(other) and all((one / it).read_bytes() == (other / it).read_bytes() for it in files)


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_to_the_same_files(tmp_path: Path) -> None:
    options = ["--epochs", "8", "--threads", "1", "--quiet"]
    command = [sys.executable, "-m", "sevensteps", "train"]
    subprocess.run([*command, *options, "--out", tmp_path / "whole"], check=True, capture_output=True)
    killed = subprocess.Popen([*command, *options, "--out", tmp_path / "killed", "--checkpoint-minutes", "1e-9"])
    run = tmp_path / "killed/digits"
    until = time.monotonic() + 60
    while time.monotonic() < until and len(checkpoints(run / "checkpoints")) < 2:
        time.sleep(0.01)
    time.sleep(0.2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (run / "result.json").exists(), "it was over before it was killed"
    subprocess.run([*command, "--resume", run, "--quiet"], check=True, capture_output=True)
    assert same(run, tmp_path / "whole/digits")


def test_a_stopped_run_goes_on_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    class Stop(Silence):
        def progress(self, what: str, done: int, total: int) -> None:
            if what.startswith("epoch 1") and done == 1:
                time.sleep(0.5)
            if what.startswith("epoch 2") and done == 3:
                signal.raise_signal(signal.SIGINT)

    whole = train(epochs=3, threads=1, out=tmp_path / "whole")
    stopped = train(epochs=3, threads=1, out=tmp_path / "stopped", watcher=Stop())
    assert (stopped.interrupted, len(stopped.epochs)) == (True, 2)
    again = resume(stopped.run.path)
    assert (again.interrupted, len(again.epochs), again.best_epoch) == (False, 3, whole.best_epoch)
    assert same(again.run.path, whole.run.path)
    started = time.perf_counter()
    over = resume(stopped.run.path)  # of a run that is over: the same once more
    assert same(over.run.path, whole.run.path)
    assert over.seconds > time.perf_counter() - started  # those of the sittings before count


def test_a_run_that_goes_on_and_is_killed_tells_no_old_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stop(Silence):
        def progress(self, what: str, done: int, total: int) -> None:
            if what.startswith("epoch 1") and done == 9:
                signal.raise_signal(signal.SIGINT)

    class Killed(Silence):
        def progress(self, what: str, done: int, total: int) -> None:
            if what.startswith("epoch 3"):
                raise OSError("killed")

    results = ("result.json", "predictions.csv", "manifest.json")
    run = train(epochs=3, threads=1, out=tmp_path, watcher=Stop()).run
    (run.path / "report.html").write_text("of the first sitting")
    assert all((run.path / name).is_file() for name in results)
    with pytest.raises(OSError, match="killed"):
        resume(run.path, watcher=Killed())
    assert not any((run.path / name).exists() for name in (*results, "report.html"))
    with pytest.raises(RequestError, match="is not finished"):
        FinishedRun.read(run.path)
    assert len(recorded_steps(run)) == 46
    over = resume(run.path)
    assert over.run.damages() == []
    before = (run.path / "result.json").stat().st_ino
    with pytest.raises(OSError, match="no baseline"):
        resume(run.path, watcher=Breaking())  # before a step is made nothing is taken back
    assert (run.path / "result.json").stat().st_ino == before
    monkeypatch.setattr(
        "sevensteps.training.run_folder.RunFolder.reopen", lambda _: pytest.fail("nothing is left to do")
    )
    assert resume(run.path).run.damages() == []


class Breaking(Silence):
    def baseline(self, evaluation: Any) -> None:
        raise OSError("no baseline")


def test_changed_data_are_refused_unless_they_are_accepted(tmp_path: Path) -> None:
    from PIL import Image

    data = tmp_path / "data"
    for name in ("a", "b"):
        (data / name).mkdir(parents=True)
        for number in range(12):
            Image.new("L", (8, 8), number + 100 * (name == "b")).save(data / name / f"{number}.png")
    first = train(data, epochs=1, threads=1, out=tmp_path / "runs")
    (data / "a/3.png").unlink()
    with pytest.raises(DataError, match=r"have changed: .*pictures of a, had.*\n.*--accept-changed-data"):
        resume(first.run.path)
    assert resume(first.run.path, accept_changed_data=True).run.path == first.run.path


def test_a_run_has_one_trainer_at_a_time(tmp_path: Path) -> None:
    first = train(epochs=1, threads=1, out=tmp_path)
    with first.run.held():
        begun = time.monotonic()
        with pytest.raises(RequestError, match=r"is being trained by process \d+ on "):
            resume(first.run.path)
        assert time.monotonic() - begun < 2
    resume(first.run.path)


def test_what_is_other_on_this_machine_is_told(tmp_path: Path) -> None:
    first = train(epochs=1, threads=1, out=tmp_path)
    facts = first.run.read_json("environment.json")
    facts["versions"]["torch"] = "1.0"
    first.run.write_json("environment.json", facts)
    notes = resume(first.run.path).dls.notes
    assert any(note.startswith("bits not guaranteed: torch was 1.0, is ") for note in notes), notes


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="is no run folder"):
        resume(tmp_path)
