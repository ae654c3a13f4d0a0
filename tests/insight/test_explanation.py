"""One picture of a run: found, followed through the training, and its answer explained."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from sevensteps import Predictor
from sevensteps.errors import RefusedPicture, RequestError
from sevensteps.insight.drawing import png
from sevensteps.insight.explanation import Explanation, explain, turning_lr
from sevensteps.insight.follow import AfterEpoch, find_picture, turns
from sevensteps.insight.replay import Replay
from sevensteps.training.train import train

COLOURS = {"blue": (20, 40, 200), "green": (30, 180, 40), "red": (200, 30, 30)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of noisy colours, 20 pictures each, and a run of two epochs on them."""
    place, draws = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    for name, colour in COLOURS.items():
        for number in range(20):
            path = place / "data" / ("valid" if number % 4 == 3 else "train") / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.clip(np.array(colour) + draws.integers(-40, 40, (12, 12, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    train(place / "data", epochs=2, threads=1, out=place)
    return place


@pytest.fixture(scope="module")
def replay(folder: Path) -> Replay:
    return Replay(folder / "data-2")


@pytest.fixture(scope="module")
def explained(replay: Replay) -> Explanation:
    return explain(replay, "valid/red/3.png")


# -- which picture is meant -----------------------------------------------------------------------------------------


def test_a_picture_is_found_by_its_name_in_the_run(replay: Replay) -> None:
    found = find_picture("valid/red/3.png", replay.plan)
    assert (found.split, found.true, found.known_by) == ("valid", 2, "it is one of valid")


def test_a_picture_is_found_by_its_file(replay: Replay, folder: Path) -> None:
    found = find_picture(str(folder / "data" / "train" / "green" / "0.png"), replay.plan)
    assert (found.name, found.split, found.true) == ("train/green/0.png", "train", 1)


def test_a_copy_elsewhere_is_known_by_its_pixels(replay: Replay, folder: Path, tmp_path: Path) -> None:
    copy = shutil.copy(folder / "data" / "train" / "blue" / "4.png", tmp_path / "mine.png")
    found = find_picture(str(copy), replay.plan)
    assert (found.split, found.true) == ("train", 0)
    assert found.known_by == "it has the pixels of train/blue/4.png in train"


def test_another_picture_of_the_same_name_is_not_taken_for_the_runs(replay: Replay, tmp_path: Path) -> None:
    (tmp_path / "train" / "red").mkdir(parents=True)
    Image.new("RGB", (12, 12), (3, 200, 3)).save(tmp_path / "train" / "red" / "0.png")
    found = find_picture(str(tmp_path / "train" / "red" / "0.png"), replay.plan)
    assert (found.split, found.known_by) == (None, "it lies in a folder 'red'")
    assert int(found.pixels[1, 0, 0]) == 200


@pytest.mark.parametrize(("parent", "true"), [("red", 2), ("elsewhere", None)])
def test_a_new_picture_has_the_class_of_its_folder_or_none(
    replay: Replay, tmp_path: Path, parent: str, true: int | None
) -> None:
    (tmp_path / parent).mkdir()
    Image.new("RGB", (30, 20), (190, 20, 20)).save(tmp_path / parent / "new.png")
    found = find_picture(str(tmp_path / parent / "new.png"), replay.plan)
    assert (found.split, found.true) == (None, true)
    assert found.known_by == ("" if true is None else "it lies in a folder 'red'")
    assert found.pixels.shape == (3, 12, 12)


def test_what_is_no_picture_is_refused_with_a_reason(replay: Replay, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no picture 'nothing\.png'[\s\S]*predictions\.csv"):
        find_picture("nothing.png", replay.plan)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(RefusedPicture):
        find_picture(str(tmp_path / "text.png"), replay.plan)


# -- through the epochs ---------------------------------------------------------------------------------------------


def test_the_answer_after_the_kept_epoch_is_that_of_the_kept_model(explained: Explanation, replay: Replay) -> None:
    kept = json.loads((replay.folder.path / "result.json").read_text())["best_epoch"]
    assert [row.epoch for row in explained.epochs] == [0, 1, 2]
    assert (explained.kept_after, explained.why) == (kept, "")
    assert f"came to the run's model after epoch {kept}, to the last bit" in " ".join(str(explained).split())
    row = explained.epochs[kept]
    assert row.probability_of_true == pytest.approx(float(explained.probs[2]), abs=1e-5)
    assert row.loss == pytest.approx(-np.log(float(explained.probs[2])), abs=1e-4)


def test_a_model_that_is_not_the_trainings_is_told(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "data-2", tmp_path / "run")
    file = tmp_path / "run/model/model.safetensors"
    weights = load_file(file)
    weights[min(weights)].view(-1)[0] += 1e-3
    save_file(weights, file)
    explained = explain(Replay(tmp_path / "run"), "valid/red/3.png")
    assert (explained.kept_after, explained.to_dict()["exact"]) == (None, False)
    assert "or its model changed?" in explained.why
    assert f"did NOT come to the run's model: {explained.why}" in " ".join(str(explained).split())


def test_the_answer_is_the_one_in_predictions_csv(explained: Explanation, replay: Replay) -> None:
    rows = csv.DictReader((replay.folder.path / "predictions.csv").read_text().splitlines())
    row = next(row for row in rows if row["picture"] == "valid/red/3.png")
    assert row["predicted"] == explained.called
    assert float(row["probability"]) == pytest.approx(float(explained.probs.max()), abs=1e-5)


def test_learned_and_forgotten_are_told_by_their_epochs() -> None:
    rows = [AfterEpoch(n, "x", 0.5, 0.5, 0.7, right) for n, right in enumerate([True, False, True, True, False])]
    assert turns(rows) == ([2], [4])
    assert turns([AfterEpoch(0, "x", 0.5, None, None, None)] * 3) == ([], [])


# -- why ------------------------------------------------------------------------------------------------------------


def test_the_explanation_agrees_with_the_saved_model(explained: Explanation, replay: Replay) -> None:
    prediction = Predictor(replay.folder.path).of_pixels(explained.found.pixels)
    assert prediction.class_name == explained.called
    torch.testing.assert_close(
        explained.probs.float(), torch.tensor(list(prediction.probabilities.values())), atol=1e-5, rtol=1e-4
    )
    assert float(explained.calibrated.sum()) == pytest.approx(1)
    assert list(explained.archetypes) == sorted(explained.archetypes, key=lambda name: explained.archetypes[name])
    assert next(iter(explained.archetypes)) == "red"
    assert explained.most_like[0].true == "red"


def test_the_document_is_json(explained: Explanation) -> None:
    document = json.loads(json.dumps(explained.to_dict(), allow_nan=False))
    assert document["right"] is True
    assert document["turning_lr"] is None
    assert document["would_have_shown_it"][0].startswith("epoch: ")
    assert set(document["probabilities"]) == set(COLOURS)


def test_the_text_and_the_figure_say_it(explained: Explanation) -> None:
    assert "valid/red/3.png (it is one of valid)\nis called red, rightly" in str(explained)
    assert "How it came to be right" in str(explained)
    assert png(explained.figure()).startswith(b"\x89PNG")


def test_a_wrong_answer_is_told_with_what_would_turn_it(replay: Replay, tmp_path: Path) -> None:
    (tmp_path / "blue").mkdir()
    Image.new("RGB", (12, 12), (200, 40, 30)).save(tmp_path / "blue" / "really_red.png")
    told = explain(replay, str(tmp_path / "blue" / "really_red.png"))
    assert (told.called, told.true, told.is_right) == ("red", "blue", False)
    assert "more pictures of blue that look like this one" in told.would_have_shown_it[-1]
    assert told.would_have_shown_it[1].startswith("learning rate: ")
    assert "is called red, and is blue" in str(told)
    png(told.figure())


def test_a_picture_of_no_known_class_is_explained_too(replay: Replay, tmp_path: Path) -> None:
    Image.new("RGB", (50, 40), (10, 10, 10)).save(tmp_path / "dark.png")
    told = explain(replay, str(tmp_path / "dark.png"))
    assert (told.true, told.is_right, told.turning_lr) == (None, None, None)
    assert "a picture that is none of the run's" in " ".join(str(told).split())
    assert all(row.loss is None for row in told.epochs)
    json.dumps(told.to_dict(), allow_nan=False)
    png(told.figure())


def test_the_turning_rate_turns_the_answer_and_the_rate_below_does_not() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.rand(3, 2, 2)
    called = int(model(x[None]).argmax())
    label = (called + 1) % 3
    weights = [p.detach().clone() for p in model.parameters()]
    lr = turning_lr(model, x, label)
    assert lr is not None
    assert all(torch.equal(p, held) for p, held in zip(model.parameters(), weights, strict=True))
    grads = torch.autograd.grad(F.cross_entropy(model(x[None]), torch.tensor([label])), list(model.parameters()))
    for rate, turned in ((lr, True), (lr / 10**0.25, False)):
        with torch.no_grad():
            for p, held, grad in zip(model.parameters(), weights, grads, strict=True):
                p.copy_(held - rate * grad)
            assert (int(model(x[None]).argmax()) == label) == turned


def test_a_run_without_a_model_says_how_to_go_on(folder: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(folder / "data-2", tmp_path / "run"))
    shutil.rmtree(run / "model")
    with pytest.raises(RequestError, match=r"no model yet[\s\S]*--resume"):
        explain(Replay(run), "valid/red/3.png")
