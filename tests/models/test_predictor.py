from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sevensteps import DataLoaders, Learner, Prediction, Predictor, Preprocessing, networks
from sevensteps.data.samples import digits
from sevensteps.errors import ModelFolderError, RefusedPicture, RequestError
from sevensteps.models.model_folder import ModelFolder


@pytest.fixture(scope="module")
def learn() -> Learner:
    pixels, labels, vocab = digits()
    names = np.array(vocab)[labels]
    dls = DataLoaders.from_arrays(pixels[:300], names[:300], valid=(pixels[300:400], names[300:400]))
    learn = Learner(dls, networks.linear(dls), lr=0.1, quiet=True, device="cpu")
    learn.fit(3)
    return learn


@pytest.fixture(scope="module")
def folder(learn: Learner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return learn.save(tmp_path_factory.mktemp("model") / "digits")


def as_png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_a_path_bytes_a_file_a_picture_and_an_array_get_one_answer(folder: Path, tmp_path: Path) -> None:
    predictor = Predictor(folder)
    pixels = digits()[0][301, 0]
    (tmp_path / "digit.png").write_bytes(as_png(pixels))
    ways = [tmp_path / "digit.png", str(tmp_path / "digit.png"), as_png(pixels), io.BytesIO(as_png(pixels)),
            Image.fromarray(pixels), pixels]  # fmt: skip
    answers = [predictor.predict(way) for way in ways]
    assert all(answer == answers[0] for answer in answers)
    assert sum(answers[0].probabilities.values()) == pytest.approx(1)
    assert answers[0].probability == max(answers[0].probabilities.values())
    assert list(answers[0].probabilities) == list("0123456789")


def test_its_answers_are_those_of_the_learner(learn: Learner, folder: Path) -> None:
    probs = learn.get_preds()[0].softmax(1)
    answers = list(Predictor(folder).predict_many(digits()[0][300:400, 0]))
    for row, answer in zip(probs, answers, strict=True):
        assert isinstance(answer, Prediction)
        assert answer.class_name == str(int(row.argmax()))
        assert list(answer.probabilities.values()) == pytest.approx(row.tolist(), abs=1e-6)
    alone = learn.predict(digits()[0][300, 0])
    assert alone.class_name == answers[0].class_name  # type: ignore[union-attr]
    assert alone.probability == pytest.approx(answers[0].probability, abs=1e-6)  # type: ignore[union-attr]


def test_refused_pictures_keep_their_place(folder: Path, tmp_path: Path) -> None:
    good = as_png(digits()[0][0, 0])
    answers = list(Predictor(folder).predict_many([b"no picture", good, tmp_path / "missing.png", good, b""]))
    assert [type(answer) for answer in answers] == [
        RefusedPicture,
        Prediction,
        RefusedPicture,
        Prediction,
        RefusedPicture,
    ]
    assert answers[1] == answers[3]
    assert answers[2].reason == "missing"  # type: ignore[union-attr]


def test_more_pictures_than_a_batch_come_in_order_and_lazily(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sevensteps.models.predictor.BATCH_SIZE", 3)
    taken = []

    def pictures() -> object:
        for index in range(8):
            taken.append(index)
            yield digits()[0][index, 0]

    predictor = Predictor(folder)
    answers = predictor.predict_many(pictures())  # type: ignore[arg-type]
    first = next(answers)
    assert len(taken) == 3
    labels = [first.class_name, *(answer.class_name for answer in answers)]  # type: ignore[union-attr]
    assert labels == [predictor.predict(digits()[0][index, 0]).class_name for index in range(8)]


def test_no_pictures_get_no_answers(folder: Path) -> None:
    assert list(Predictor(folder).predict_many([])) == []


def test_one_refused_picture_raises(folder: Path) -> None:
    with pytest.raises(RefusedPicture):
        Predictor(folder).predict(b"no picture")


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError):
        Predictor(tmp_path)


def test_a_model_with_another_number_of_scores_is_refused() -> None:
    one_score = nn.Sequential(nn.Flatten(), nn.Linear(16, 1))
    with pytest.raises(RequestError, match="expected one score for each of the 2 classes"):
        Predictor(ModelFolder(one_score, ["a", "b"], Preprocessing(1, 4, 4))).predict(np.zeros((4, 4), np.uint8))


def test_the_answer_does_not_depend_on_dropout() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 2))
    predictor = Predictor(ModelFolder(model, ["a", "b"], Preprocessing(1, 4, 4)))
    pixels = torch.full((1, 1, 4, 4), 200, dtype=torch.uint8)
    assert torch.equal(predictor.probabilities(pixels), predictor.probabilities(pixels))


def test_a_model_from_a_folder_answers_the_same_by_its_faster_engine(folder):
    predictor, slow = Predictor(folder), Predictor(ModelFolder.load(folder))
    pixels = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8)
    for _ in range(3):
        assert torch.allclose(predictor.probabilities(pixels), slow.probabilities(pixels), atol=1e-5)
    assert "engine" in vars(predictor)
    assert "engine" not in vars(slow)


def test_probabilities_are_the_softmax_of_the_preds_however_large(folder):
    predictor = Predictor(folder)
    predictor.in_memory, predictor.model = True, nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        predictor.model[1].weight.mul_(1000)
    pixels = torch.randint(0, 256, (30, 1, 8, 8), dtype=torch.uint8)
    probabilities = predictor.probabilities(pixels)
    assert torch.allclose(probabilities, predictor.preds(pixels / 255).softmax(1), atol=1e-6)
    assert torch.allclose(probabilities.sum(1), torch.ones(30))
