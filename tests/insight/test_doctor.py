"""Every illness is brought about in a real training and recognised; healthy trainings are called healthy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from sevensteps import networks
from sevensteps.cli.doctor import doctors_word
from sevensteps.data.check import Finding
from sevensteps.errors import RequestError, TrainingError
from sevensteps.insight.doctor import Diagnosis, examine
from sevensteps.insight.interpretation import Answer
from sevensteps.insight.record import MOST, EpochSummary, Record
from sevensteps.models import registry
from sevensteps.training.keepers import StepRow
from sevensteps.training.layer_log import LayerRow
from sevensteps.training.run_folder import RunFolder
from sevensteps.training.train import train
from sevensteps.words import NO_BREAK

ONE_ANSWER = "split,picture,class,predicted,probability,loss\nvalid,a.png,cat,cat,0.9,0.1\n"
WORSE = "worse than the simplest thing"


def diagnosed(run: Path) -> dict[str, Diagnosis]:
    return {it.illness: it for it in examine(Record.of(RunFolder.open(run)))}


def trained(out: Path, data: Path | None = None, **options: Any) -> dict[str, Diagnosis]:
    return diagnosed(train(data, threads=1, out=out, **options).run.path)


def folder(path: Path, pictures: np.ndarray, labels: list[str], split: float = 0.25) -> Path:
    """Pictures (uint8, N×H×W) as PNG files in train/ and valid/, every fourth one in valid."""
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        place = path / ("valid" if number % 4 == 3 else "train") / label
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"{number}.png")
    return path


def noise(n: int, side: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side)).astype(np.uint8)


Network = Callable[[Callable[[], nn.Module]], str]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """A network with the digits' 64 pixels and 10 classes, registered under a name for one test."""
    monkeypatch.setattr(registry, "REGISTRY", dict(registry.REGISTRY))

    def put(make: Callable[[], nn.Module]) -> str:
        def ailing(input_shape: tuple[int, ...], classes: int) -> nn.Module:
            return nn.Sequential(nn.Flatten(), make())

        networks.register(ailing)
        return "ailing"

    return put


# -- the learning rate ----------------------------------------------------------------------------------------------


def test_a_rate_so_high_that_numbers_overflow_is_too_high(tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        train(model="linear", lr=1e30, epochs=2, threads=1, out=tmp_path)
    found = diagnosed(tmp_path / "digits")["learning rate too high"]
    assert "no finite number at step" in found.evidence
    assert found.advice.startswith("try a tenth of it: --lr")


def test_a_rate_at_which_the_loss_rises_is_too_high(tmp_path: Path) -> None:
    found = trained(tmp_path, model="linear", lr=30.0, epochs=3)["learning rate too high"]
    assert "it rose" in found.evidence
    assert "--lr 3" in found.advice


def test_a_rate_at_which_nothing_is_learned_for_the_steps_are_too_long_is_too_high(tmp_path: Path) -> None:
    for model in ("simple_net", "convnet"):
        found = trained(tmp_path, model=model, lr=3.0, epochs=3)
        assert "guessing has 2.3" in found["learning rate too high"].evidence


def test_a_rate_at_which_hardly_anything_moves_is_too_low(tmp_path: Path) -> None:
    found = trained(tmp_path, lr=1e-6, epochs=3)
    assert "about 1/1000 is usual" in found["learning rate too low"].evidence
    assert "--lr 1e-05" in found["learning rate too low"].advice
    assert "underfitting" not in found


# -- the network ----------------------------------------------------------------------------------------------------


def test_units_that_are_always_0_are_dead(tmp_path: Path, network: Network) -> None:
    def dead() -> nn.Module:
        layers = nn.Sequential(nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 10))
        with torch.no_grad():
            layers[0].bias[:30] -= 100
        return layers

    found = trained(tmp_path, model=network(dead), epochs=3, lr=0.003)["dead ReLUs"]
    assert 75 <= float(found.evidence.split()[0].replace("%", "")) < 100
    assert "units of 1.1" in found.evidence


def test_gradients_that_vanish_on_their_way_are_seen(tmp_path: Path, network: Network) -> None:
    def deep() -> nn.Module:
        middle = [layer for _ in range(7) for layer in (nn.Linear(16, 16), nn.Sigmoid())]
        return nn.Sequential(nn.Linear(64, 16), nn.Sigmoid(), *middle, nn.Linear(16, 10))

    found = trained(tmp_path, model=network(deep), epochs=3, lr=0.003)["vanishing gradients"]
    assert "the first layers do not learn" in found.evidence


def test_gradients_that_explode_are_seen(tmp_path: Path, network: Network) -> None:
    def wild() -> nn.Module:
        layers = [nn.Linear(64, 32), *(nn.Linear(32, 32) for _ in range(5)), nn.Linear(32, 10)]
        for layer in layers:
            nn.init.normal_(layer.weight, std=1.0)
        return nn.Sequential(*layers)

    found = trained(tmp_path, model=network(wild), epochs=2, lr=1e-4)["exploding gradients"]
    assert "long at step" in found.evidence


def test_a_last_layer_that_begins_sure_of_something_starts_wrong(tmp_path: Path, network: Network) -> None:
    def sure() -> nn.Module:
        layers = nn.Sequential(nn.Linear(64, 30), nn.ReLU(), nn.Linear(30, 10))
        nn.init.normal_(layers[2].weight, std=8.0)
        return layers

    found = trained(tmp_path, model=network(sure), epochs=4, lr=0.01)["last layer starts wrong"]
    assert "ln 10 = 2.3" in found.evidence


def test_a_layer_whose_weights_stand_still_is_named(tmp_path: Path, network: Network) -> None:
    def heavy() -> nn.Module:
        layers = nn.Sequential(nn.Linear(64, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Linear(30, 10))
        with torch.no_grad():
            layers[0].weight *= 1e4
        return layers

    found = trained(tmp_path, model=network(heavy), epochs=4, lr=1e-4)["update-to-weight ratio off"]
    assert "1.0" in found.evidence
    assert "hardly any" in found.evidence


def test_a_network_that_always_says_the_same_has_a_metric_that_does_not_move(tmp_path: Path, network: Network) -> None:
    class Blind(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x * 0)

    found = trained(tmp_path, model=network(lambda: Blind(64, 10)), epochs=4, lr=0.01)["a metric that does not move"]
    assert "is called" in found.evidence


# -- fit and data ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_learning_by_heart_is_overfitting_and_it_says_from_where(tmp_path: Path) -> None:
    labels = [("yes", "no")[i] for i in np.random.default_rng(1).integers(0, 2, 80)]
    data = folder(tmp_path / "data", noise(80), labels)
    found = trained(tmp_path, data, model="convnet", epochs=30, lr=0.01)
    names = [name for name in found if name.startswith("overfitting from epoch")]
    assert len(names) == 1
    assert "lowest then" in found[names[0]].evidence


def test_labels_drawn_by_lot_are_learned_and_do_not_hold_for_other_pictures(tmp_path: Path) -> None:
    labels = [str(i) for i in np.random.default_rng(1).integers(0, 8, 300)]
    data = folder(tmp_path / "data", noise(300), labels)
    found = trained(tmp_path, data, model="linear", epochs=8, lr=0.01)
    assert list(found) == ["overfitting"]
    assert "guessing has 2.08" in found["overfitting"].evidence


def test_a_network_that_learned_too_little_is_worse_than_pixel_similarity(tmp_path: Path) -> None:
    result = train(model="simple_net", epochs=1, threads=1, out=tmp_path)
    facts = result.to_dict()
    shares = (f"{100 * facts[where]['accuracy']:.1f}" for where in ("valid", "baseline"))
    evidence = diagnosed(result.run.path)[WORSE].evidence.replace(NO_BREAK, " ")
    assert "names {} % rightly, and pixel similarity, the baseline, {} %".format(*shares) in evidence


def test_a_network_that_is_sure_of_the_rare_class_is_worse_than_who_says_the_other(
    tmp_path: Path, network: Network
) -> None:
    def contrary() -> nn.Module:
        layer = nn.Linear(64, 2)
        nn.init.zeros_(layer.weight)
        with torch.no_grad():
            layer.bias[:] = torch.tensor([-9.0, 9.0])
        return layer

    data = folder(tmp_path / "data", noise(200), ["common"] * 140 + ["rare"] * 60)
    found = trained(tmp_path, data, model=network(contrary), epochs=1, lr=1e-6)
    assert "who always says common 70" in found[WORSE].evidence


@pytest.mark.slow
def test_learning_next_to_nothing_at_a_good_rate_is_underfitting(tmp_path: Path) -> None:
    labels = [str(i) for i in np.random.default_rng(1).integers(0, 5, 3000)]
    data = folder(tmp_path / "data", noise(3000), labels)
    found = trained(tmp_path, data, model="linear", epochs=3, lr=0.003)
    assert "underfitting" in found
    assert "guessing has 1.61" in found["underfitting"].evidence


def test_pictures_in_both_sets_contradicting_labels_and_rare_classes_are_told(tmp_path: Path) -> None:
    pictures = noise(120)
    labels = ["common"] * 112 + ["rare"] * 8
    data = folder(tmp_path / "data", pictures, labels)
    Image.fromarray(pictures[0]).save(data / "valid" / "common" / "again.png")
    Image.fromarray(pictures[4]).save(data / "train" / "rare" / "other.png")
    found = trained(tmp_path, data, model="linear", epochs=1)
    assert "again.png" in found["leaks"].evidence
    assert "--drop-leaks" in found["leaks"].advice
    assert "other.png" in found["labels that contradict each other"].evidence
    assert "common has" in found["imbalance"].evidence


def test_leaks_that_were_dropped_are_none_any_more(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", noise(120), ["yes", "no", "no", "yes"] * 30)
    Image.fromarray(noise(120)[0]).save(data / "valid" / "yes" / "again.png")
    result = train(data, model="linear", epochs=1, threads=1, drop_leaks=True, out=tmp_path)
    assert "leaks" not in diagnosed(result.run.path)
    assert [finding.kind for finding in result.findings if finding.kind == "leaks"] == []
    assert any("were left out" in note for note in result.dls.notes)


@pytest.mark.slow
def test_labels_that_were_changed_look_wrong_and_are_named(tmp_path: Path) -> None:
    digits = load_digits()
    pictures, labels = (digits.images * 15.9).astype(np.uint8), [str(label) for label in digits.target]
    changed = np.random.default_rng(0).choice(len(labels), len(labels) // 25, replace=False).tolist()
    for number in changed:
        labels[number] = str((int(labels[number]) + 5) % 10)
    data = folder(tmp_path / "data", pictures, labels)
    found = trained(tmp_path, data, epochs=6)["labels that look wrong"]
    named = [int(Path(word).stem) for word in found.evidence.replace(",", " ").split() if word.endswith(".png")]
    assert len(named) == 3
    assert set(named) <= set(changed)


# -- health ---------------------------------------------------------------------------------------------------------


def test_the_default_training_on_the_digits_is_healthy(tmp_path: Path) -> None:
    assert trained(tmp_path) == {}


def test_a_small_network_on_the_digits_is_healthy(tmp_path: Path) -> None:
    assert trained(tmp_path, model="simple_net") == {}


@pytest.mark.parametrize(("model", "found"), [("linear", [WORSE]), ("simple_net", [WORSE]), ("convnet", [])])
def test_a_training_of_one_epoch_may_be_too_short_and_is_not_called_ill(
    tmp_path: Path, model: str, found: list[str]
) -> None:
    assert list(trained(tmp_path, model=model, epochs=1)) == found


@pytest.mark.slow
def test_the_default_training_on_photographs_of_flowers_is_healthy(flowers: Path, tmp_path: Path) -> None:
    assert trained(tmp_path, flowers) == {}


@pytest.mark.slow
def test_the_default_training_on_mnist_sample_is_healthy(mnist_sample: Path, tmp_path: Path) -> None:
    assert trained(tmp_path, mnist_sample) == {}


@pytest.mark.slow
def test_the_default_training_on_mnist_is_healthy(mnist: Path, tmp_path: Path) -> None:
    assert trained(tmp_path, mnist) == {}


# -- figures of any kind --------------------------------------------------------------------------------------------

ANY = st.floats(-MOST, MOST) | st.sampled_from([float("inf"), float("-inf"), float("nan")])
STEPS = st.lists(st.builds(StepRow, st.integers(), st.integers(), ANY, ANY, ANY), max_size=30)
LENGTHS = st.none() | ANY
LAYERS = st.builds(
    LayerRow, st.integers(0, 3), st.integers(), st.text(), st.sampled_from(["Linear", "ReLU", ""]), LENGTHS, LENGTHS,
    LENGTHS, LENGTHS, st.integers(),
)  # fmt: skip
EPOCHS = st.builds(EpochSummary, st.integers(), ANY, LENGTHS, LENGTHS)
ANSWERS = st.builds(Answer, st.text(), st.just(0), st.sampled_from("ab"), st.sampled_from("ab"), ANY, ANY)


@given(STEPS, st.lists(EPOCHS), st.lists(LAYERS), st.lists(ANSWERS), st.integers(0, 10**6))
def test_no_figures_confuse_the_doctor(
    steps: list[StepRow], epochs: list[EpochSummary], layers: list[LayerRow], answers: list[Answer], classes: int
) -> None:
    record = Record(classes, steps, epochs, layers, answers, [Finding("leaks", 1, "\x1b[31m", ("\u202e",))])
    assert not {"\x1b", "\u202e"} & set("".join(doctors_word(examine(record), len(epochs))))


# -- the record -----------------------------------------------------------------------------------------------------


def test_a_gradient_of_exactly_0_has_vanished() -> None:
    gradients = {"a": 0.0, "b": 0.5, "c": 1.0}
    rows = [LayerRow(1, 5, name, "Linear", 1.0, it, 0.1, None, 9) for name, it in gradients.items()]
    (found,) = examine(Record(10, [], [], rows, [], []))
    assert found.illness == "vanishing gradients"


def test_a_run_that_recorded_nothing_has_no_illness(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("seed = 0\n")
    assert examine(Record.of(RunFolder.open(tmp_path))) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("steps.csv", "step,epoch,loss\n0,1,x\n"),
        ("history.csv", "epoch,train_loss\n1,2\n"),
        ("layers.csv", "epoch\nx\n"),
        ("predictions.csv", "split,picture\nvalid,a\n"),
        ("steps.csv", "\x00\xff"),
        ("result.json", "[]"),
        ("result.json", '{"baseline": 3}'),
        ("result.json", '{"baseline": {"only_network": null, "only_baseline": 1}}'),
        ("result.json", '{"baseline": {"only_network": 0, "only_baseline": 1e400}}'),
        ("result.json", '{"baseline": {"only_network": -1, "only_baseline": 1}}'),
        ("result.json", '{"baseline": {"only_network": 0, "only_baseline": 1000000000000}}'),
        ("data.json", '{"classes": 3}'),
        ("data.json", '{"findings": [{"kind": 1}]}'),
        ("data.json", "[]"),
        ("steps.csv", "step,epoch,loss,lr,gradient_norm\n0,1,1e300,1,1\n"),
    ],
)
def test_files_that_no_training_wrote_are_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "config.toml").write_text("seed = 0\n")
    (tmp_path / "predictions.csv").write_text(ONE_ANSWER)
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(RequestError):
        Record.of(RunFolder.open(tmp_path))


@pytest.mark.parametrize("result", ["{}", '{"baseline": null}', '{"baseline": {"n": 1, "accuracy": 0.5}}', None])
def test_a_result_may_be_missing_or_know_nothing_of_the_baseline(tmp_path: Path, result: str | None) -> None:
    (tmp_path / "config.toml").write_text("seed = 0\n")
    (tmp_path / "predictions.csv").write_text(ONE_ANSWER)
    if result:
        (tmp_path / "result.json").write_text(result)
    record = Record.of(RunFolder.open(tmp_path))
    assert (record.baseline, record.accuracy, len(record.answers)) == (None, 1.0, 1)


def test_a_training_of_no_whole_epoch_is_not_called_healthy() -> None:
    assert [doctors_word([], epochs)[0].partition(":")[0] for epochs in (0, 1)] == [
        "too little was recorded to say",
        "healthy",
    ]
