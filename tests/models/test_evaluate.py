"""A saved model against labelled pictures: which split, which classes, what is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sevensteps.data.preprocessing import Preprocessing
from sevensteps.errors import DataError
from sevensteps.models.evaluate import evaluate
from sevensteps.models.model_folder import ModelFolder
from sevensteps.models.pixel_similarity import PixelSimilarity


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Black against white, by pixel similarity."""
    x = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 4, 4)
    similarity = PixelSimilarity().fit((x, torch.tensor([0, 1])), ["black", "white"])
    return ModelFolder(similarity, ["black", "white"], Preprocessing(1, 4, 4)).save(tmp_path / "model")


def put(folder: Path, label: str, *greys: int) -> None:
    (folder / label).mkdir(parents=True, exist_ok=True)
    for number, grey in enumerate(greys):
        Image.fromarray(np.full((6, 6), grey, np.uint8)).save(folder / label / f"{number}.png")


def test_the_test_split_is_taken_before_the_validation_split(model: Path, tmp_path: Path) -> None:
    for split, greys in (("train", (0,)), ("valid", (0, 0)), ("test", (0, 10, 250))):
        put(tmp_path / "data" / split, "black", *greys)
    result = evaluate(model, tmp_path / "data")
    assert (result.split, result.evaluation.accuracy.n, result.evaluation.accuracy.correct) == ("test", 3, 2)
    assert result.notes == []


def test_without_splits_all_pictures_count_and_it_is_said(model: Path, tmp_path: Path) -> None:
    put(tmp_path / "data", "white", 255, 200)
    put(tmp_path / "data", "black", 3)
    result = evaluate(model, tmp_path / "data")
    assert result.split == "all"
    assert result.evaluation.accuracy.value == 1.0
    assert "flatters" in result.notes[0]


def test_one_class_of_the_models_is_enough(model: Path, tmp_path: Path) -> None:
    put(tmp_path / "data", "white", 255)
    result = evaluate(model, tmp_path / "data")
    assert result.evaluation.per_class["black"].n == 0
    assert result.to_dict()["per_class"]["black"]["accuracy"] is None


def test_a_class_that_the_model_does_not_know_is_told(model: Path, tmp_path: Path) -> None:
    put(tmp_path / "data", "grey", 128)
    with pytest.raises(DataError, match="'grey'"):
        evaluate(model, tmp_path / "data")


def test_refused_files_are_listed_and_the_rest_counts(model: Path, tmp_path: Path) -> None:
    put(tmp_path / "data", "white", 255)
    (tmp_path / "data/white/broken.png").write_bytes(b"no")
    result = evaluate(model, tmp_path / "data")
    assert [item.path for item in result.refused] == ["white/broken.png"]
    assert result.evaluation.accuracy.n == 1


def test_no_usable_picture_is_an_error(model: Path, tmp_path: Path) -> None:
    (tmp_path / "data/white").mkdir(parents=True)
    with pytest.raises(DataError, match="no usable pictures"):
        evaluate(model, tmp_path / "data")
