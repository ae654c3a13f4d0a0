from __future__ import annotations

import csv
import json
import random
import resource
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sevensteps import Predictor, train
from sevensteps.data.dataloader import DataLoader
from sevensteps.data.samples import digits
from sevensteps.errors import DataError, RequestError, StorageError, TrainingError
from sevensteps.models.model_folder import ModelFolder
from sevensteps.training.keepers import StepLog
from sevensteps.training.result import TrainingResult, Watcher
from sevensteps.training.run_folder import RunFolder

FILES = {
    *(
        "config.toml",
        "environment.json",
        "data.json",
        "history.csv",
        "steps.csv",
        "layers.csv",
        "predictions.csv",
        "result.json",
        "manifest.json",
        ".lock",
    ),
    *(
        f"{model}/{name}"
        for model in ("model", "baseline")
        for name in ("model.safetensors", "config.json", "README.md", "manifest.json")
    ),
}


def table(run: RunFolder, name: str) -> list[dict[str, str]]:
    with (run.path / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class Noting:
    """A watcher that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def progress(self, what: str, done: int, total: int) -> None:
        assert 0 <= done <= total

    def found(self, *_: Any) -> None:
        self.told.append("found")

    def baseline(self, *_: Any) -> None:
        self.told.append("baseline")

    def model(self, *_: Any) -> None:
        self.told.append("model")

    def epoch(self, *_: Any) -> None:
        self.told.append("epoch")

    def finished(self, *_: Any) -> None:
        self.told.append("finished")


def files(run: Path) -> set[str]:
    paths = (path.relative_to(run) for path in run.rglob("*") if path.is_file())
    return {str(path) for path in paths if path.parts[0] != "checkpoints"}


@pytest.fixture(scope="module")
def noting() -> Noting:
    return Noting()


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, noting: Noting) -> TrainingResult:
    watcher: Watcher = noting
    return train(epochs=3, out=tmp_path_factory.mktemp("out") / "runs", watcher=watcher)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """The digits 0 and 1 as PNG files: 20 of each in train, 10 in valid, 10 in test."""
    return as_folders(tmp_path / "data", {"train": 20, "valid": 10, "test": 10})


def as_folders(path: Path, splits: dict[str, int]) -> Path:
    pixels, labels, _ = digits()
    for label in (0, 1):
        chosen = iter(pixels[labels == label])
        for split, count in splits.items():
            folder = path / split / ["zero", "one"][label]
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(next(chosen)[0]).save(folder / f"{number}.png")
    return path


def test_the_run_folder_holds_all_its_files_and_no_others(result: TrainingResult) -> None:
    assert files(result.run.path) == FILES
    assert result.run.path.name == "digits"


def test_the_watcher_is_told_in_order(result: TrainingResult, noting: Noting) -> None:
    assert noting.told == ["found", "baseline", "model", "epoch", "epoch", "epoch", "finished"]


def test_result_json_holds_the_facts(result: TrainingResult) -> None:
    facts = json.loads((result.run.path / "result.json").read_text("utf-8"))
    assert facts == json.loads(json.dumps(result.to_dict()))
    assert facts["baseline"]["accuracy"] == pytest.approx(0.886, abs=0.03)
    assert facts["valid"]["accuracy"] > 0.85
    low, high = facts["valid"]["interval"]
    assert 0 < low < facts["valid"]["accuracy"] < high <= 1
    assert facts["valid"]["n"] == 359
    assert [row["epoch"] for row in facts["epochs"]] == [1, 2, 3]
    assert facts["seconds"] > 0
    assert facts["run"] == str(result.run.path)
    assert facts["classes"] == list("0123456789")
    assert facts["pictures"]["train"] == 1438
    assert facts["pictures"]["per_class"]["valid"]["0"] == 36
    assert facts["model"]["name"] == "convnet"
    assert facts["model"]["parameters"] > 0 < facts["model"]["operations"]
    assert facts["interrupted"] is False
    assert "test" not in facts
    assert facts["notes"] == result.dls.notes != []
    best = max(facts["epochs"], key=lambda row: (row["metrics"]["accuracy"], row["epoch"]))
    assert facts["best_epoch"] == best["epoch"]
    assert facts["valid"]["accuracy"] == pytest.approx(best["metrics"]["accuracy"], abs=1e-6)


def test_the_tables_agree_with_the_result(result: TrainingResult) -> None:
    def rows(name: str) -> list[dict[str, str]]:
        with (result.run.path / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    assert [float(row["train_loss"]) for row in rows("history.csv")] == [row.train_loss for row in result.epochs]
    assert len(rows("steps.csv")) == 3 * 23  # 1,438 pictures in batches of 64
    predictions = rows("predictions.csv")
    right = sum(row["class"] == row["predicted"] for row in predictions)
    assert right == result.scored["valid"].evaluation.accuracy.correct
    assert len(predictions) == 359
    assert all(0.1 <= float(row["probability"]) <= 1 for row in predictions)


def test_the_configuration_says_what_was_asked_and_what_was_chosen(result: TrainingResult) -> None:
    config = tomllib.loads((result.run.path / "config.toml").read_text("utf-8"))
    assert config["epochs"] == config["recipe"]["epochs"] == 3
    assert "model" not in config
    assert config["recipe"]["model"] == "convnet"
    assert config["recipe"]["batch_size"] == 64
    data = json.loads((result.run.path / "data.json").read_text("utf-8"))
    assert data["classes"] == list("0123456789")
    assert len(data["fingerprint"]) == 64


def test_the_saved_model_gives_the_answers_of_the_run(result: TrainingResult) -> None:
    pictures = result.dls.valid.collection.pixels  # type: ignore[union-attr]
    probs = Predictor(result.run.path).probabilities(pictures)
    torch.testing.assert_close(probs, result.scored["valid"].preds.softmax(1), rtol=1e-4, atol=1e-5)
    card = (result.run.model / "README.md").read_text("utf-8")
    assert str(result.scored["valid"].evaluation.accuracy) in card


@pytest.mark.slow
def test_a_second_training_is_that_of_a_fresh_process_and_the_callers_generators_stay(
    tmp_path: Path,
) -> None:
    def states() -> tuple[object, ...]:
        kind, keys, place, *rest = np.random.get_state()
        return random.getstate(), kind, keys.tobytes(), place, rest, torch.get_rng_state().tolist()

    options = {"model": "convnet", "epochs": 1, "threads": 1}
    before = states()
    for number in (1, 2):
        train(**options, out=tmp_path / str(number))
        assert states() == before
        random.random(), np.random.rand(), torch.rand(3)  # what a caller draws in between has no effect
        before = states()
    code = f"from sevensteps.training.train import train; train(**{options}, out={str(tmp_path / 'fresh')!r})"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    for name in ("model/model.safetensors", "steps.csv", "predictions.csv"):
        once, twice, fresh = ((tmp_path / run / "digits" / name).read_bytes() for run in ("1", "2", "fresh"))
        assert once == twice == fresh


def test_the_same_seed_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first, again, other = (train(epochs=1, seed=seed, out=tmp_path) for seed in (7, 7, 8))
    assert [run.run.path.name for run in (first, again, other)] == ["digits", "digits-2", "digits-3"]

    def weights(result: TrainingResult) -> bytes:
        return (result.run.model / "model.safetensors").read_bytes()

    def history(result: TrainingResult) -> list[tuple[Any, ...]]:
        return [row[:4] for row in result.epochs]

    assert weights(first) == weights(again) != weights(other)
    assert history(first) == history(again)
    for name in ("steps.csv", "predictions.csv", "data.json"):
        assert (first.run.path / name).read_bytes() == (again.run.path / name).read_bytes()


def test_the_best_epoch_is_handed_over_and_not_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.9, 0.1, 0.2])

    class Scores:
        name = "accuracy"

        def reset(self) -> None: ...
        def update(self, preds: torch.Tensor, targets: torch.Tensor) -> None: ...
        def compute(self) -> float:
            return next(scores)

    saved: list[bytes] = []

    class Copying(Noting):
        def epoch(self, *_: Any) -> None:
            saved.append((tmp_path / "digits" / "model" / "model.safetensors").read_bytes())

    monkeypatch.setattr("sevensteps.training.plan.accuracy", Scores())
    result = train(model="linear", epochs=3, out=tmp_path, watcher=Copying())
    assert result.best_epoch == 1
    assert saved[0] == saved[1] == saved[2] == (result.run.model / "model.safetensors").read_bytes()
    pictures = result.dls.valid.collection.pixels  # type: ignore[union-attr]
    probs = Predictor(result.run.path).probabilities(pictures)
    torch.testing.assert_close(probs, result.scored["valid"].preds.softmax(1), rtol=1e-4, atol=1e-5)


def test_the_test_split_is_looked_at_once_and_after_the_training(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    real = DataLoader.batches

    def batches(self: DataLoader, **options: Any) -> Any:
        name = getattr(self.collection, "names", [""])[0]
        looks.append(Path(name).parts[0] if "/" in name else name)
        return real(self, **options)

    monkeypatch.setattr(DataLoader, "batches", batches)
    result = train(folders, epochs=2, out=tmp_path / "runs")
    assert looks.count("test") == 2  # once by the network, once by the baseline
    assert "train" not in looks[looks.index("test") :]
    facts = result.to_dict()
    assert facts["test"]["n"] == facts["baseline"]["test"]["n"] == 20
    assert facts["pictures"]["test"] == 20
    rows = table(result.run, "predictions.csv")
    assert [row["split"] for row in rows] == ["valid"] * 20 + ["test"] * 20
    assert result.run.path.name == "data"


def test_pixel_similarity_is_a_model_like_any_other(tmp_path: Path) -> None:
    result = train(model="pixel_similarity", out=tmp_path)
    facts = result.to_dict()
    assert facts["valid"]["accuracy"] == facts["baseline"]["accuracy"]
    assert facts["epochs"] == []
    assert facts["model"]["parameters"] == 0
    assert Predictor(result.run.path).predict(digits()[0][0, 0]).class_name == "0"


@pytest.mark.slow
def test_ctrl_c_in_the_middle_of_an_epoch_keeps_a_model_and_all_files(tmp_path: Path) -> None:
    code = """
import sys
from sevensteps.training.train import train
class Watcher:
    def progress(self, what, done, total):
        if what.startswith("epoch 1 ") and done == 3:
            print("now", flush=True)
            sys.stdin.readline()
    def __getattr__(self, name): return lambda *given: None
result = train(epochs=500, batch_size=32, out=sys.argv[1], watcher=Watcher())
print(result.interrupted, len(result.epochs), result.best_epoch)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate("go on\n", timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.split() == ["True", "1", "1"]
    assert files(tmp_path / "digits") == FILES
    assert Predictor(tmp_path / "digits").predict(digits()[0][0, 0]).class_name in "0123456789"
    facts = json.loads((tmp_path / "digits" / "result.json").read_text("utf-8"))
    assert facts["interrupted"] is True
    assert len((tmp_path / "digits" / "steps.csv").read_text().splitlines()) < 10


def test_a_full_disk_is_a_storage_error_and_the_model_before_it_stays_whole(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    run = tmp_path / "digits"
    kept: list[bytes] = []

    class Fill(Noting):
        def epoch(self, *_: Any) -> None:
            kept.append((run / "model" / "model.safetensors").read_bytes())
            resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 10, hard))  # no file may grow beyond 8 KiB

    try:
        with pytest.raises(StorageError, match=r"cannot write .*weights\.safetensors"):
            train(epochs=30, out=tmp_path, watcher=Fill())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (run / "model" / "model.safetensors").read_bytes() == kept[-1]
    assert ModelFolder.load(run).classes == list("0123456789")
    assert [path for path in run.rglob("*.tmp")] == []


def test_a_full_disk_is_found_out_before_any_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noting = Noting()
    monkeypatch.setattr(ModelFolder, "reserve", lambda *_: (_ for _ in ()).throw(StorageError("cannot write x")))
    with pytest.raises(StorageError):
        train(epochs=1, out=tmp_path, watcher=noting)
    assert noting.told == ["found", "baseline"]
    assert list(tmp_path.iterdir()) == []  # no run folder without a model


@pytest.mark.parametrize("lr", [float("nan"), float("inf"), 0.0, -1.0])
def test_a_learning_rate_that_makes_no_sense_is_refused_before_any_folder_is_made(tmp_path: Path, lr: float) -> None:
    with pytest.raises(RequestError, match="the learning rate is"):
        train(lr=lr, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_training_that_diverges_is_a_training_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) at step \d+ [\s\S]*try a lower learning rate"):
        train(model="linear", epochs=2, lr=1e38, out=tmp_path)


def test_weights_that_break_in_the_last_step_are_never_handed_over(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no epoch ended with a finite loss[\s\S]*--lr"):
        train(folders, model="simple_net", epochs=1, batch_size=64, lr=3e38, out=tmp_path / "runs")


def test_a_class_that_only_valid_has_is_a_data_error(folders: Path, tmp_path: Path) -> None:
    (folders / "train" / "one").rename(folders / "train" / "eins")
    with pytest.raises(DataError, match=r"valid has classes that training did not have[\s\S]*'one'"):
        train(folders, out=tmp_path / "runs")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "convet"}, "no network is called 'convet'"),
        ({"threads": 10**6}, "1000000 threads"),
        ({"epochs": 0}, "the number of epochs is 0"),
        ({"batch_size": -4}, "the batch size is -4"),
        ({"minutes": 0}, "minutes is 0"),
        ({"minutes": float("nan")}, "minutes is nan"),
        ({"device": "gpu"}, "no device is called 'gpu'"),
        ({"data": "nowhere/at/all"}, "no such path"),
    ],
)
def test_a_wrong_request_is_refused_before_any_folder_is_made(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(RequestError, match=words):
        train(**options, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_folder_without_training_pictures_is_a_data_error(tmp_path: Path) -> None:
    as_folders(tmp_path / "data", {"valid": 3})
    with pytest.raises(DataError):
        train(tmp_path / "data", out=tmp_path / "runs")


def test_minutes_end_the_training_and_the_last_epoch_counts(tmp_path: Path) -> None:
    result = train(epochs=10_000, minutes=0.3 / 60, out=tmp_path)
    assert 1 <= len(result.epochs) < 100
    best = max(result.epochs, key=lambda row: (row.metrics["accuracy"], row.epoch))
    assert result.best_epoch == best.epoch
    assert result.scored["valid"].evaluation.accuracy.value == pytest.approx(best.metrics["accuracy"], abs=1e-6)
    assert not result.interrupted
    assert files(result.run.path) == FILES


def test_no_minutes_at_all_still_give_a_whole_run(tmp_path: Path) -> None:
    result = train(minutes=1e-9, out=tmp_path)
    assert len(result.epochs) == 1
    assert files(result.run.path) == FILES


def test_a_last_batch_of_one_picture_is_trained_on(tmp_path: Path) -> None:
    result = train(as_folders(tmp_path / "data", {"train": 9, "valid": 2}), model="resnet18", epochs=1, batch_size=17,
                   out=tmp_path / "runs")  # fmt: skip
    assert len(result.epochs) == 1  # 18 pictures of 8 × 8 in batches of 17 and 1: 1 × 1 before the last pooling


def test_a_picture_whose_name_is_a_formula_is_safe_in_the_tables(folders: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folders / "valid" / "one" / "=1+1.png")
    (folders / "valid" / "one").rename(folders / "valid" / "=one")
    (folders / "train" / "one").rename(folders / "train" / "=one")
    (folders / "test" / "one").rename(folders / "test" / "=one")
    result = train(folders, epochs=1, model="linear", out=tmp_path / "runs")
    cells = [cell for row in table(result.run, "predictions.csv") for cell in row.values()]
    assert not [cell for cell in cells if cell.startswith("=")]
    assert "'=one" in cells


@pytest.mark.slow
def test_the_defaults_reach_98_percent_on_the_digits(tmp_path: Path) -> None:
    assert train(out=tmp_path).scored["valid"].evaluation.accuracy.value >= 0.98


def test_the_threads_that_were_told_are_those_that_train_also_beside_other_programs(tmp_path, monkeypatch):
    """The number in the record is that of every step: the Learner does not choose once more."""
    cores = torch.get_num_threads()
    monkeypatch.setattr("sevensteps.training.machine.serving_threads", lambda most: pytest.fail("chose again"))
    seen = []
    real = StepLog.after_step
    monkeypatch.setattr(StepLog, "after_step", lambda self: (seen.append(torch.get_num_threads()), real(self)))
    result = train(epochs=1, threads=cores, out=tmp_path)
    assert set(seen) == {cores} == {result.run.read_json("environment.json")["threads"]}
