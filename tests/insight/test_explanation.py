"""One picture of a run: found, followed through the training, and its answer explained."""

from __future__ import annotations

import copy
import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from figure_reader import bars, lines, panel, picture
from sevensteps import Predictor
from sevensteps.data.preprocessing import as_input
from sevensteps.errors import RefusedPicture, RequestError
from sevensteps.insight.calibration import fit_temperature
from sevensteps.insight.drawing import png
from sevensteps.insight.explanation import Explanation, explain, turning_lr
from sevensteps.insight.follow import AfterEpoch, find_picture, turns
from sevensteps.insight.influence import influences
from sevensteps.insight.replay import Replay
from sevensteps.insight.saliency import attributions
from sevensteps.models.model_folder import ModelFolder
from sevensteps.training.train import train
from sevensteps.words import percent

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


@pytest.fixture(scope="module")
def figure(explained: Explanation) -> Figure:
    return explained.figure()


@pytest.fixture
def model(replay: Replay) -> nn.Module:
    """The one that the run kept."""
    return ModelFolder.load(replay.folder.model).model.eval()


def pixels_of(file: Path) -> Tensor:
    """uint8, C×H×W."""
    with Image.open(file) as image:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)


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


def test_a_picture_with_one_other_pixel_is_another_one(replay: Replay, folder: Path, tmp_path: Path) -> None:
    with Image.open(folder / "data/train/blue/4.png") as image:
        red, green, blue = image.getpixel((1, 0))  # type: ignore[misc]
        image.putpixel((1, 0), (red ^ 1, green, blue))
        image.save(tmp_path / "mine.png")
    assert find_picture(str(tmp_path / "mine.png"), replay.plan).split is None


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


def test_the_epoch_that_is_surest_of_it_is_the_one_that_was_right_with_the_greatest_probability(
    explained: Explanation,
) -> None:
    answers = [(0.98, True), (0.61, True), (0.97, True), (0.99, False), (0.83, True)]
    rows = [AfterEpoch(n, "x", p, None, None, right) for n, (p, right) in enumerate(answers)]
    (told,) = [it for it in replace(explained, epochs=rows).would_have_shown_it if it.startswith("epoch: ")]
    assert re.search(rf"\b2\b.*{percent(0.97)}", told)


# -- why ------------------------------------------------------------------------------------------------------------


def test_the_explanation_agrees_with_the_saved_model(explained: Explanation, replay: Replay) -> None:
    prediction = Predictor(replay.folder.path).of_pixels(explained.found.pixels)
    assert prediction.class_name == explained.called
    torch.testing.assert_close(
        explained.probs.float(), torch.tensor(list(prediction.probabilities.values())), atol=1e-5, rtol=1e-4
    )
    assert list(explained.archetypes) == sorted(explained.archetypes, key=lambda name: explained.archetypes[name])
    assert next(iter(explained.archetypes)) == "red"
    assert explained.most_like[0].true == "red"


def test_the_calibrated_probabilities_are_those_at_the_temperature_of_the_validation_set(
    explained: Explanation, replay: Replay, model: nn.Module
) -> None:
    valid = replay.plan.dls.splits["valid"].collection
    with torch.no_grad():
        answers, scores = (model(as_input(pixels)) for pixels in (valid.store, explained.found.pixels[None]))
    value = fit_temperature(answers, valid.labels).value
    assert explained.temperature.value == pytest.approx(value, rel=1e-4)
    torch.testing.assert_close(explained.calibrated, (scores[0].double() / value).softmax(0), atol=1e-5, rtol=1e-3)


def test_influences_and_pixels_speak_for_the_class_that_it_is_called(
    explained: Explanation, replay: Replay, model: nn.Module
) -> None:
    x, label, train = as_input(explained.found.pixels), 2, replay.plan.dls.splits["train"].collection
    assert explained.called == explained.vocab[label]
    expected, pulled = influences(model, train, x, label, explained.vocab), explained.influences
    assert expected is not None
    assert pulled is not None
    for told, rows in ((pulled.helping, expected.helping), (pulled.opposing, expected.opposing)):
        assert {it.name: it.strength for it in told} == pytest.approx({it.name: it.strength for it in rows})
    seen, direct = explained.attributions, attributions(model, x, label)
    for name in ("integrated", "gradient_input", "activation"):
        torch.testing.assert_close(getattr(seen, name), getattr(direct, name))
    assert (seen.score, seen.black_score) == pytest.approx((direct.score, direct.black_score))


def test_the_pictures_most_like_it_are_shown_as_their_files_have_them(explained: Explanation, folder: Path) -> None:
    files = [folder / "data" / it.name for it in explained.most_like]
    assert len(set(files)) == 8
    assert torch.equal(explained.nearest, torch.stack([pixels_of(file) for file in files]))


def test_the_document_is_json(explained: Explanation) -> None:
    document = json.loads(json.dumps(explained.to_dict(), allow_nan=False))
    assert document["right"] is True
    assert document["turning_lr"] is None
    assert document["would_have_shown_it"][0].startswith("epoch: ")
    assert set(document["probabilities"]) == set(COLOURS)


def test_the_text_says_it(explained: Explanation) -> None:
    assert "valid/red/3.png (it is one of valid)\nis called red, rightly" in str(explained)
    assert "How it came to be right" in str(explained)


def test_the_text_has_raw_and_calibrated_probabilities_under_their_names(explained: Explanation) -> None:
    head, row = re.search(r"(.*raw.*)\n +red (.*)", str(explained)).groups()  # type: ignore[union-attr]
    probs = {"raw": explained.probs, "calibrated": explained.calibrated}
    expected = [100 * float(probs[name][2]) for name in re.findall("|".join(probs), head)]
    assert [float(it) for it in re.findall(r"[\d.]+", row)] == pytest.approx(expected, abs=0.11)


def test_the_text_names_first_who_speaks_for_the_answer_and_then_who_speaks_against_it(explained: Explanation) -> None:
    assert explained.influences is not None
    text = " ".join(str(explained).split())
    helping, opposing = explained.influences.helping[0].name, explained.influences.opposing[0].name
    assert re.search(rf"surer.* {helping} .*less sure.* {opposing} ", text)


def test_the_figure_shows_the_picture_and_what_its_pixels_did(explained: Explanation, figure: Figure) -> None:
    seen, pixels = explained.attributions, explained.found.pixels
    assert seen.activation is not None
    torch.testing.assert_close(picture(panel(figure, "the picture")), pixels.permute(1, 2, 0) / 255)
    torch.testing.assert_close(picture(panel(figure, "integrated gradients")), seen.integrated.sum(0))
    torch.testing.assert_close(picture(panel(figure, "gradient × input")), seen.gradient_input.sum(0))
    torch.testing.assert_close(picture(panel(figure, "class activation")), seen.activation)
    for number, near in enumerate(explained.nearest[:4], start=1):
        torch.testing.assert_close(picture(panel(figure, f"no. {number}")), near.permute(1, 2, 0) / 255)


def test_the_figure_shows_how_sure_it_is_raw_and_calibrated_and_after_each_epoch(
    explained: Explanation, figure: Figure
) -> None:
    sure = panel(figure, "how sure it is")
    for name, probs in (("raw", explained.probs), ("calibrated", explained.calibrated)):
        assert bars(sure, name) == pytest.approx(dict(zip(explained.vocab, probs.tolist(), strict=True)))
    assert bars(panel(figure, "average picture")) == explained.archetypes
    drawn, rows = lines(panel(figure, "through the training")), explained.epochs
    expected = [(row.epoch, row.probability_of_true) for row in rows]
    assert [points for name, points in drawn.items() if name.startswith("_child")] == [expected]
    assert (drawn["called right"], drawn["called wrong"]) == (expected, [])


def test_a_wrong_answer_is_told_with_what_would_turn_it(replay: Replay, model: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "blue").mkdir()
    Image.new("RGB", (12, 12), (200, 40, 30)).save(tmp_path / "blue" / "really_red.png")
    told = explain(replay, str(tmp_path / "blue" / "really_red.png"))
    assert (told.called, told.true, told.is_right) == ("red", "blue", False)
    assert "more pictures of blue that look like this one" in told.would_have_shown_it[-1]
    assert told.would_have_shown_it[1].startswith("learning rate: ")
    assert told.turning_lr == turning_lr(model, as_input(told.found.pixels), 0)
    assert "is called red, and is blue" in str(told)
    drawn = lines(panel(told.figure(), "through the training"))
    assert (drawn["called right"], len(drawn["called wrong"])) == ([], len(told.epochs))


def test_a_frozen_layer_is_left_out_of_the_step_that_would_turn_an_answer() -> None:
    torch.manual_seed(0)
    frozen = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    free = copy.deepcopy(frozen)
    frozen[1].requires_grad_(False)
    x = torch.rand(1, 2, 2)
    wrong = 1 - int(free(x[None]).argmax())
    assert turning_lr(frozen, x, wrong) >= turning_lr(free, x, wrong) > 0  # type: ignore[operator]


def test_a_picture_of_no_known_class_is_explained_too(replay: Replay, tmp_path: Path) -> None:
    Image.new("RGB", (50, 40), (10, 10, 10)).save(tmp_path / "dark.png")
    told = explain(replay, str(tmp_path / "dark.png"))
    assert (told.true, told.is_right, told.turning_lr) == (None, None, None)
    assert "a picture that is none of the run's" in " ".join(str(told).split())
    assert all(row.loss is None for row in told.epochs)
    json.dumps(told.to_dict(), allow_nan=False)
    figure = told.figure()
    png(figure)
    (drawn,) = lines(panel(figure, "through the training")).values()
    assert drawn == [(row.epoch, row.probability) for row in told.epochs]


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
