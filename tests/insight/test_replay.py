"""Any step of any run, made again to the last bit, and honest where it cannot be."""

from __future__ import annotations

import csv
import json
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sevensteps.data.store import Progress
from sevensteps.errors import DataError, RequestError, TrainingError
from sevensteps.insight.drawing import png
from sevensteps.insight.replay import Replay
from sevensteps.insight.tracer import Tracer
from sevensteps.training.callbacks import Callback
from sevensteps.training.result import Silence
from sevensteps.training.run_folder import RunFolder
from sevensteps.training.train import train


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three epochs of the convnet on the digits, 69 steps."""
    return train(epochs=3, threads=1, out=tmp_path_factory.mktemp("runs")).run.path


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "digits"))


def test_random_steps_of_a_run_are_bit_equal(finished: Path) -> None:
    replay = Replay(finished)
    assert replay.steps == 69
    for number in [0, 22, 23, 68, *random.Random(0).sample(range(69), 6)]:
        made = replay.step(number)
        assert (made.exact, made.why) == (True, ""), number
        assert made.trace.step == number
        assert made.recorded == made.replayed
        assert made.trace.loss == made.recorded.loss  # type: ignore[union-attr]


def test_it_begins_at_the_nearest_checkpoint(finished: Path) -> None:
    replay = Replay(finished)
    places = sorted(int(path.name.partition("-")[2]) for path in (finished / "checkpoints").iterdir())
    assert len(places) > 1
    for number in (places[0] - 1, places[0], places[1] - 1, places[1]):
        if number < replay.steps:
            assert replay.step(number).begun_at == max([0, *(place for place in places if place <= number)])


def test_a_damaged_checkpoint_is_passed_over(run: Path) -> None:
    for path in (run / "checkpoints").iterdir():
        (path / "weights.safetensors").write_bytes(b"nothing")
    made = Replay(run).step(68)
    assert (made.begun_at, made.exact) == (0, True)


def test_nothing_is_written_into_the_run(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    Replay(finished).step(30)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before
    assert RunFolder.open(finished).damages() == []


def test_the_document_carries_its_proof(finished: Path) -> None:
    document = json.loads(json.dumps(Replay(finished).step(5).to_dict(), allow_nan=False))
    assert document["exact"] is True
    assert document["recorded"] == document["replayed"]
    assert document["loss"]["value"] == document["recorded"]["loss"]
    assert document["at"] == {"step": 5, "epoch": 1, "step_in_epoch": 5, "steps_per_epoch": 23}


def test_the_pictures_of_a_step_are_those_of_the_run(finished: Path) -> None:
    replay = Replay(finished)
    dl = replay.plan.dls.train
    order = dl.order(seed=0, epoch=2).tolist()
    names = [dl.collection.names[number] for number in order[: dl.batch_size]]
    assert list(replay.step(23).trace.names) == names


def test_a_run_stopped_by_the_clock_is_replayed_with_its_own_learning_rates(tmp_path: Path) -> None:
    run = train(minutes=0.01, epochs=200, threads=1, out=tmp_path).run.path
    replay = Replay(run)
    last = replay.steps - 1
    assert 0 < last < 200 * 23
    assert len(replay.recorded) == replay.steps
    for number in (0, last // 2, last):
        assert replay.step(number).exact is True


class Killed(BaseException):
    """As if the process had ended here."""


def killed_at(step: int, **options: Any) -> Callable[[Path], Path]:
    class Kill(Silence):
        def progress(self, what: str, done: int, total: int) -> None:
            if what.startswith("epoch 2 ") and done == step:
                raise Killed

    def begin(out: Path) -> Path:
        with pytest.raises(Killed):
            train(epochs=3, threads=1, out=out, watcher=Kill(), **options)
        return out / "digits"

    return begin


def test_a_killed_run_is_replayed_as_far_as_it_has_recorded_and_beyond(tmp_path: Path) -> None:
    replay = Replay(killed_at(9)(tmp_path))
    assert (len(replay.recorded), replay.steps) == (23, 69)
    assert replay.step(22).exact is True
    beyond = replay.step(30)
    assert (beyond.exact, beyond.recorded) == (None, None)
    assert "no record of this step: it was stopped before" in beyond.why


def test_a_killed_run_is_followed_only_as_far_as_it_has_recorded(tmp_path: Path) -> None:
    class Count(Callback):
        steps = 0

        def after_batch(self) -> None:
            self.steps += self.learn.training

    replay, count = Replay(killed_at(9)(tmp_path)), Count()
    replay.train([count])
    assert count.steps == len(replay.recorded) == 23


def test_the_record_of_a_checkpoint_that_is_further_on_counts(tmp_path: Path) -> None:
    replay = Replay(killed_at(9, checkpoint_minutes=1e-9)(tmp_path))
    assert len(replay.recorded) == 31  # the last checkpoint was kept after step 8 of the second epoch
    assert replay.step(30).exact is True
    assert replay.step(30).begun_at == 30


def test_a_step_at_which_the_loss_broke_down_can_be_opened(tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        train(model="linear", lr=1e30, epochs=2, threads=1, out=tmp_path)
    replay = Replay(tmp_path / "digits")
    for number in range(len(replay.recorded)):
        made = replay.step(number)
        assert made.exact is True
        json.dumps(made.to_dict(), allow_nan=False)
        assert "7 stop" in str(made.trace)
        png(made.trace.figure())
    with pytest.raises(RequestError, match=f"0 to {len(replay.recorded) - 1}"):
        replay.step(len(replay.recorded))


@pytest.mark.parametrize("column", ["loss", "lr", "gradient_norm"])
def test_a_record_that_changed_by_its_last_bit_is_not_called_exact(run: Path, column: str) -> None:
    head, *rows = csv.reader((run / "steps.csv").read_text().splitlines())
    place = head.index(column)
    rows[5][place] = repr(math.nextafter(float(rows[5][place]), math.inf))
    (run / "steps.csv").write_text("\n".join(map(",".join, [head, *rows])) + "\n")
    replay = Replay(run)
    assert replay.step(4).exact is True
    made = replay.step(5)
    assert made.exact is False
    assert "record changed" in made.why


def test_where_the_machine_is_another_one_it_says_so(run: Path) -> None:
    facts = json.loads((run / "environment.json").read_text())
    facts["versions"]["torch"] = "1.0"
    (run / "environment.json").write_text(json.dumps(facts))
    rows = (run / "steps.csv").read_text().replace(",1,2.", ",1,3.")
    (run / "steps.csv").write_text(rows)
    made = Replay(run).step(0)
    assert made.exact is False
    assert f"torch was 1.0, is {torch.__version__}" in made.why


def test_changed_data_are_told_and_nothing_is_made_up(run: Path) -> None:
    facts = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps(facts | {"fingerprint": "0" * 64}))
    with pytest.raises(DataError, match="have changed"):
        Replay(run)


def test_a_class_that_was_renamed_is_told(run: Path) -> None:
    facts = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps(facts | {"classes": [*"abcdefghij"]}))
    with pytest.raises(DataError, match="the classes have other names"):
        Replay(run)


def test_data_that_are_not_here_are_named(run: Path) -> None:
    (run / "config.toml").write_text('data = "gone.csv"\nseed = 0\n')
    with pytest.raises(DataError, match=r"not here: gone\.csv[\s\S]*start from the folder"):
        Replay(run)


def test_a_checkpoint_under_the_name_of_another_step_proves_nothing(run: Path) -> None:
    first, *_, last = sorted((run / "checkpoints").iterdir())
    shutil.rmtree(first)
    last.rename(first)
    with pytest.raises(RequestError, match="step 50 was not reached from step 46"):
        Replay(run).step(50)


@pytest.mark.parametrize("number", [-1, 69, 10**9])
def test_a_step_that_there_was_not_is_refused(finished: Path, number: int) -> None:
    with pytest.raises(RequestError, match=r"no step -?\d+[\s\S]*0 to 68"):
        Replay(finished).step(number)


def test_what_is_no_run_or_trained_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no run folder"):
        Replay(tmp_path)
    run = train(model="pixel_similarity", out=tmp_path).run.path
    with pytest.raises(RequestError, match="trained nothing"):
        Replay(run)


def test_how_far_it_is_is_told(finished: Path) -> None:
    told: list[tuple[str, int, int]] = []

    class Listen(Silence):
        progress: Progress = staticmethod(lambda *what: told.append(what))  # type: ignore[assignment]

    Replay(finished, Listen()).step(4)
    assert told[-5:] == [("training again", done, 5) for done in range(1, 6)]


def test_the_whole_training_can_be_listened_to_again(finished: Path) -> None:
    replay, tracers = Replay(finished), [Tracer(0), Tracer(68)]
    replay.train(tracers)
    assert [tracer.trace is not None for tracer in tracers] == [True, True]


@pytest.mark.slow
def test_fifty_random_steps_of_the_convnet_on_mnist_are_bit_equal(mnist: Path, tmp_path: Path) -> None:
    replay = Replay(train(mnist, model="convnet", epochs=1, out=tmp_path).run.path)
    numbers = random.Random(1).sample(range(replay.steps), 50)
    assert all(replay.step(number).exact for number in numbers)
