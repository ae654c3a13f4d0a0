"""What the exhibits about pixels claim."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

from sevensteps.data.dataloaders import DataLoaders
from sevensteps.errors import RequestError
from sevensteps.models.pixel_similarity import PixelSimilarity
from sevensteps.tour.exhibit import EXHIBITS, pictures
from sevensteps.tour.pixels import broadcasting, norms, numbers_at_once, pixel_similarity, pixels_are_numbers

NUMBERS = (1, 3, 7, 8, 10)


def test_a_grey_picture_is_a_byte_a_pixel_and_colour_three_times_that(digits: DataLoaders) -> None:
    found = pixels_are_numbers(digits).findings
    assert (found["grey_shape"], found["grey_bytes"]) == ([8, 8], 64)
    assert (found["colour_shape"], found["colour_bytes"]) == ([3, 8, 8], 192)
    assert found["made_here"] == "the colour image, by tinting"


def test_0_is_black_and_255_is_white(digits: DataLoaders) -> None:
    found = pixels_are_numbers(digits).findings
    assert list(found["red_green_blue_of_0"]) == [0, 0, 0]
    assert list(found["red_green_blue_of_255"]) == [255, 255, 255]


def test_a_digits_background_is_0_and_its_strokes_are_bright(digits: DataLoaders) -> None:
    pixels, _ = pictures(digits)
    assert pixels[:, :, :, 0].median() == 0
    assert pixels_are_numbers(digits).findings["largest"] > 200


def test_the_grey_of_a_colour_picture_is_made_from_its_channels(colour: DataLoaders) -> None:
    found = pixels_are_numbers(colour).findings
    assert found["made_here"] == "the grey image, by weighing red, green and blue"
    assert found["grey_shape"] == [12, 9]


@pytest.mark.parametrize("distance", ["l1", "rmse"])
def test_pixel_similarity_by_hand_is_as_good_as_the_models(digits: DataLoaders, distance: str) -> None:
    model = PixelSimilarity(distance).fit(digits.train)
    expected = model.evaluate(digits.splits["valid"]).accuracy
    found = EXHIBITS[3].run(digits, distance=distance).findings
    assert (found["accuracy"], found["n"]) == (expected.value, expected.n)
    assert found["accuracy"] > 5 * found["guessing_gives"]


def test_the_answer_is_the_class_at_the_smallest_distance(digits: DataLoaders) -> None:
    found = pixel_similarity(digits, picture=7).findings
    model = PixelSimilarity().fit(digits.train)
    distances = model.distances(digits.splits["valid"].collection[7][0][None])[0]
    assert found["answer"] == min(found["distances"], key=found["distances"].get) == str(int(distances.argmin()))
    assert found["distances"]["4"] == pytest.approx(distances[4].item(), abs=1e-4)


def test_rmse_is_the_l2_norm_divided_by_the_root_of_n_and_not_the_norm(digits: DataLoaders) -> None:
    found = norms(digits).findings
    pixels, _ = pictures(digits)
    a, b = pixels[0] / 255, pixels[1] / 255
    assert found["L2 norm"] == pytest.approx(torch.linalg.vector_norm(a - b).item())
    assert found["RMSE"] == pytest.approx(F.mse_loss(a, b).sqrt().item())
    assert found["RMSE"] == pytest.approx(found["L2 norm"] / found["n"] ** 0.5)
    assert found["RMSE"] != pytest.approx(found["L2 norm"])


def test_the_l1_norm_is_a_sum_and_l1_loss_is_its_mean(digits: DataLoaders) -> None:
    found = norms(digits).findings
    pixels, _ = pictures(digits)
    a, b = pixels[0] / 255, pixels[1] / 255
    assert found["L1 norm"] == pytest.approx(torch.linalg.vector_norm(a - b, ord=1).item())
    assert found["mean |d|"] == pytest.approx(F.l1_loss(a, b).item())


def test_with_16_times_the_pixels_l1_grows_16_times_l2_4_times_and_the_means_stay(digits: DataLoaders) -> None:
    growth = norms(digits).findings["times_greater_with_16_times_the_pixels"]
    assert growth == pytest.approx({"L1 norm": 16, "L2 norm": 4, "mean |d|": 1, "RMSE": 1})


def test_rmse_is_never_below_the_mean_absolute_difference(digits: DataLoaders) -> None:
    pairs = [norms(digits, i, i + 1).findings for i in range(5)]
    assert all(found["RMSE"] >= found["mean |d|"] for found in pairs)


def test_a_picture_is_at_distance_0_from_itself(digits: DataLoaders) -> None:
    found = norms(digits, 3, 3).findings
    assert found["RMSE"] == found["L1 norm"] == 0
    json.dumps(found, allow_nan=False)


def test_a_picture_number_beyond_the_last_is_refused(digits: DataLoaders) -> None:
    with pytest.raises(RequestError, match="there is no picture 1438"):
        norms(digits, 1438)


def test_one_tensor_call_gives_what_the_loop_gives_and_wins_on_many_numbers(digits: DataLoaders) -> None:
    rows = numbers_at_once(digits, runs=20).findings["sizes"]
    assert [row["numbers"] for row in rows] == [10, 100, 1_000, 10_000, 30_000]
    assert all(row["they_differ_by"] < 1e-5 for row in rows)
    assert rows[-1]["times_faster"] > 2  # about 100 on an idle machine; the tests may run on a busy one
    assert rows[-1]["times_faster"] > rows[0]["times_faster"]


def test_broadcasting_copies_nothing(digits: DataLoaders) -> None:
    found = broadcasting(digits, count=20).findings
    assert found["expanded_strides"][0] == 0
    assert found["same_memory"]
    assert found["bytes_of_the_mean_picture"] * found["pictures"][0] == found["bytes_of_copies"]


def test_broadcasting_gives_what_picture_by_picture_gives(colour: DataLoaders) -> None:
    found = broadcasting(colour).findings
    assert found["same_as_one_by_one"]
    assert found["difference"] == found["pictures"] == [found["pictures"][0], *found["mean_picture"]]


def test_sizes_that_differ_and_are_not_1_are_refused(digits: DataLoaders) -> None:
    assert "must match" in broadcasting(digits).findings["refused"]
