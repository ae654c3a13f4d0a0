"""Answers for files and folders of pictures."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sevensteps.data.preprocessing import Preprocessing
from sevensteps.errors import RefusedPicture
from sevensteps.models.model_folder import ModelFolder
from sevensteps.models.pixel_similarity import PixelSimilarity
from sevensteps.models.predict import predict_files, write_csv
from sevensteps.models.predictor import Predictor


@pytest.fixture
def place(tmp_path: Path) -> Path:
    x = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 4, 4)
    similarity = PixelSimilarity().fit((x, torch.tensor([0, 1])), ["=black", "white"])
    ModelFolder(similarity, ["=black", "white"], Preprocessing(1, 4, 4)).save(tmp_path / "model")
    (tmp_path / "more").mkdir()
    for name, grey in (("dark.png", 5), ("more/light.png", 240), ("more/dark.png", 10)):
        Image.fromarray(np.full((9, 5), grey, np.uint8)).save(tmp_path / name)
    (tmp_path / "more/notes.txt").write_text("no picture")
    return tmp_path


def test_a_folder_stands_for_its_pictures_in_order(place: Path) -> None:
    answers = predict_files(place / "model", [place / "dark.png", place / "more"])
    labels = {Path(name).name: it.class_name for name, it in answers.predictions.items()}
    assert [Path(name).name for name in answers.predictions] == ["dark.png", "dark.png", "light.png"]
    assert labels == {"dark.png": "=black", "light.png": "white"}
    assert [(Path(item.path).name, item.reason) for item in answers.refused] == [("notes.txt", "not-a-picture")]


def test_the_answers_are_those_of_the_predictor(place: Path) -> None:
    [answer] = predict_files(place / "model", [place / "dark.png"]).predictions.values()
    assert answer == Predictor(place / "model").predict(place / "dark.png")


def test_progress_is_told_for_each_handful_of_pictures(place: Path) -> None:
    told: list[tuple[str, int, int]] = []
    predict_files(place / "model", [place / "more"], progress=lambda *words: told.append(words))
    assert told == [("predicting", 3, 3)]


def test_the_csv_has_every_probability_and_no_formula(place: Path) -> None:
    answers = predict_files(place / "model", [place / "dark.png"])
    write_csv(place / "out.csv", answers)
    head, row = csv.reader((place / "out.csv").read_text("utf-8").splitlines())
    assert head == ["picture", "class", "probability", "'=black", "white"]
    assert row[1] == "'=black"
    assert float(row[3]) == pytest.approx(1 - float(row[4]))


def test_many_pictures_are_decoded_elsewhere_with_the_same_answers(place: Path) -> None:
    several = [place / "more" / f"{n}.png" for n in range(40)]
    for n, path in enumerate(several):
        Image.fromarray(np.full((9, 5), 6 * n, np.uint8)).save(path)
    several[7].unlink()
    several[20].write_bytes(several[20].read_bytes()[:30])
    seen: list[int] = []
    answers = predict_files(place / "model", several, progress=lambda _, done, total: seen.append(done))
    here = list(Predictor(place / "model").predict_many(several))
    expected = {str(path): it for path, it in zip(several, here, strict=True) if not isinstance(it, RefusedPicture)}
    assert list(answers.predictions.items()) == list(expected.items())
    assert [(Path(it.path).name, it.reason) for it in answers.refused] == [
        ("7.png", "missing"),
        ("20.png", "corrupt"),
    ]
    assert seen[-1] == 40
