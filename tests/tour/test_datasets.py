"""What the exhibits about data before they are batches claim."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from sevensteps.data.dataloaders import DataLoaders
from sevensteps.tour.datasets import folders, list_comprehension, pairs
from sevensteps.tour.exhibit import EXHIBITS, pictures

NUMBERS = (2, 4, 26)


def test_the_folders_are_splits_of_classes_with_the_counts_of_the_data(tmp_path: Path) -> None:
    counts = {"train/cat": 4, "train/dog": 3, "valid/cat": 2, "valid/dog": 1}
    for place, n in counts.items():
        (tmp_path / place).mkdir(parents=True)
        for i in range(n):
            Image.new("L", (4, 4), 50 * n + i).save(tmp_path / place / f"{i}.png")
    found = folders(DataLoaders.from_folder(tmp_path)).findings
    assert found["pictures"] == counts
    assert found["first_names"] == {"train": "train/cat/0.png", "valid": "valid/cat/0.png"}


def test_what_was_learned_by_heart_is_right_on_train_with_any_labels(digits: DataLoaders, colour: DataLoaders) -> None:
    for dls in (digits, colour):
        found = folders(dls).findings
        assert found["right_by_heart"]["train"] == found["right_by_heart_with_random_labels"]["train"] == 1
        assert found["right_by_heart_with_random_labels"]["valid"] < 0.5


def test_on_valid_it_is_as_right_as_scikit_learns_nearest_neighbour(digits: DataLoaders) -> None:
    (x, y), (valid, targets) = pictures(digits), pictures(digits, "valid")
    nearest = KNeighborsClassifier(1).fit(x.flatten(1).numpy(), y.numpy())
    expected = nearest.score(valid.flatten(1).numpy(), targets.numpy())
    assert folders(digits).findings["right_by_heart"]["valid"] == pytest.approx(expected)


def test_a_picture_in_both_splits_is_found(digits: DataLoaders) -> None:
    assert folders(digits).findings["valid_pictures_also_in_train"] == 0
    x, y = pictures(digits)
    mixed = DataLoaders.from_arrays(x[:100], y[:100], valid=(x[90:120], y[90:120]))
    assert folders(mixed).findings["valid_pictures_also_in_train"] == 10


def test_a_class_that_valid_has_no_picture_of_can_be_drawn(digits: DataLoaders) -> None:
    x, y = pictures(digits)
    shown = folders(DataLoaders.from_arrays(x[:100], y[:100], valid=(x[100:101], y[100:101])))
    assert shown.findings["pictures"]["valid/0"] in (0, 1)
    assert shown.figure is not None
    shown.figure.canvas.draw()


def test_the_odd_numbers_are_doubled_and_the_list_stays(digits: DataLoaders) -> None:
    found = list_comprehension(digits).findings
    assert found["numbers"] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert found["odd_ones_doubled"] == [2, 6, 10, 14, 18]
    assert found["a_loop_gives_the_same"]
    assert list_comprehension(digits, most=6).findings["odd_ones_doubled"] == [2, 6, 10]


def test_the_test_comes_before_the_doubling(digits: DataLoaders) -> None:
    assert list_comprehension(digits).findings["odd_ones_after_doubling"] == 0


def test_negative_odd_numbers_pass_in_python_but_not_in_c(digits: DataLoaders) -> None:
    assert list_comprehension(digits).findings["negative_ones"] == [-6, -2]
    assert math.fmod(-3, 2) == -1  # the % of C


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_a_mask_selects_the_same_pictures(data: str, request: pytest.FixtureRequest) -> None:
    found = list_comprehension(request.getfixturevalue(data), most=12).findings
    assert len(found["classes"]) == 12
    assert found["negatives"] == found["classes"].count(found["wanted"]) > 1
    assert found["a_mask_gives_the_same"]


def test_the_pairs_are_those_of_the_question(digits: DataLoaders) -> None:
    assert pairs(digits).findings["pairs"] == "[(1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')]"


def test_both_data_loaders_make_batches_of_a_list_of_pairs(digits: DataLoaders, colour: DataLoaders) -> None:
    found = pairs(digits, batch_size=3).findings
    assert found["length"] == len(pictures(digits)[0])
    assert (found["batch_inputs"], len(found["batch_targets"])) == ([3, 1, 8, 8], 3)
    assert found["torch_makes_the_same_batch"]
    assert pairs(colour).findings["batch_inputs"] == [4, 3, 12, 9]


def test_a_zip_has_no_length_and_no_numbers_and_lasts_for_one_pass(digits: DataLoaders) -> None:
    found = pairs(digits).findings
    assert found["a_zip_has"] == {"length": False, "items_by_number": False}
    assert found["a_zip_gives"] == {"first_pass": 4, "second_pass": 0}


def test_a_zip_stops_at_the_shorter_one_unless_it_is_strict(digits: DataLoaders) -> None:
    assert pairs(digits).findings["of_4_and_3_a_zip_makes"] == 3
    with pytest.raises(ValueError, match="shorter"):
        list(zip([1, 2, 3, 4], "abc", strict=True))


def test_they_move_no_generator(colour: DataLoaders) -> None:
    before = torch.get_rng_state()
    for number in NUMBERS:
        EXHIBITS[number].run(colour)
    assert torch.equal(torch.get_rng_state(), before)
