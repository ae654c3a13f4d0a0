"""What the exhibits about tensors claim."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sevensteps.data.dataloaders import DataLoaders
from sevensteps.tour.exhibit import pictures
from sevensteps.tour.tensors import bottom_right, matrix_product, rank_3, rank_and_shape, view

NUMBERS = (5, 6, 9, 27, 29)


@pytest.fixture(scope="module")
def tiny() -> DataLoaders:
    """Pictures of 7 × 5 pixels: a height that no number divides."""
    pixels = torch.randint(0, 255, (20, 1, 7, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return DataLoaders.from_arrays(pixels, ["a", "b"] * 10)


def test_each_index_takes_one_axis_away(digits: DataLoaders) -> None:
    found = rank_3(digits, count=7).findings
    ranks = [found["rank"][name] for name in ("stack", "stack[0]", "stack[0, row]", "stack[0, row, column]")]
    assert ranks == [3, 2, 1, 0]
    assert found["shape"]["stack"] == [7, 8, 8]
    assert found["shape"]["stack[0, row, column]"] == []
    assert found["number"] == pictures(digits)[0][0, 0, found["row"], found["column"]].item()
    assert found["number"] == found["number_in_the_picture"]


def test_another_axis_can_be_cut(digits: DataLoaders) -> None:
    found = rank_3(digits, count=7).findings
    assert (found["rank"]["stack[:, row]"], found["shape"]["stack[:, row]"]) == (2, [7, 8])


def test_a_colour_picture_has_rank_3_and_a_stack_of_them_rank_4(colour: DataLoaders) -> None:
    found = rank_3(colour, count=5).findings
    assert (found["rank"]["one_picture_with_channels"], found["rank"]["all_with_channels"]) == (3, 4)
    assert found["shape"]["all_with_channels"] == [5, 3, 12, 9]


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_the_rank_is_the_length_of_the_shape(data: str, request: pytest.FixtureRequest) -> None:
    found = rank_and_shape(request.getfixturevalue(data), count=10).findings
    assert list(found["rank"].values()) == [0, 1, 2, 3, 4, 2]
    assert found["rank"] == {name: len(shape) for name, shape in found["shape"].items()}
    assert found["numbers"] == {name: int(np.prod(shape)) for name, shape in found["shape"].items()}
    assert found["torch_agrees"]


def test_flatten_changes_the_shape_and_the_rank_but_not_how_many_numbers_there_are(colour: DataLoaders) -> None:
    found = rank_and_shape(colour, count=8).findings
    batch, flat = found["shape"]["a batch"], found["shape"]["batch.flatten(1)"]
    assert (batch[1:], flat) == ([3, 12, 9], [batch[0], 324])
    assert found["numbers"]["a batch"] == found["numbers"]["batch.flatten(1)"]


def test_len_is_the_first_axis_and_linear_algebras_rank_something_else(digits: DataLoaders) -> None:
    found = rank_and_shape(digits).findings
    assert found["len_of_the_batch"] == found["shape"]["a batch"][0] != found["rank"]["a batch"]
    rows = np.linalg.matrix_rank(pictures(digits)[0][0, 0].numpy().astype(float))
    assert found["independent_rows_of_the_channel"] == rows != found["rank"]["a channel"]


def test_the_3_by_3_tensor_is_doubled_and_cut(digits: DataLoaders) -> None:
    found = bottom_right(digits).findings
    assert found["t"] == found["t_after_it"] == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert found["doubled"] == [[2, 4, 6], [8, 10, 12], [14, 16, 18]]
    assert found["corner"] == found["counted_from_the_end"] == found["by_lists"] == [[10, 12], [16, 18]]


def test_a_slice_shares_the_memory_and_what_is_written_into_it_is_in_the_whole(digits: DataLoaders) -> None:
    found = bottom_right(digits).findings
    shared = {"doubled and t": False, "corner and doubled": True, "by lists and doubled": False}
    assert found["same_memory"] == shared
    assert (found["corner_starts_at"], found["strides"]) == (4, [[3, 1], [3, 1]])
    assert found["doubled_after_corner_zero"] == [[2, 4, 6], [8, 0, 0], [14, 0, 0]]


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_a_pictures_quarter_is_a_window_too_and_the_users_picture_stays(
    data: str, request: pytest.FixtureRequest
) -> None:
    dls = request.getfixturevalue(data)
    before = dls.train.collection.pixels.clone()
    found = bottom_right(dls, picture=3).findings
    channels, height, width = before.shape[1:]
    assert found["quarter_of_the_picture"] == [channels, height - height // 2, width - width // 2]
    assert found["picture_black_there"]
    assert torch.equal(dls.train.collection.pixels, before)


@pytest.mark.parametrize("data", ["digits", "colour", "tiny"])
def test_a_view_has_the_same_numbers_in_the_same_memory(data: str, request: pytest.FixtureRequest) -> None:
    found = view(request.getfixturevalue(data), picture=2).findings
    assert found["same_memory"]
    assert found["same_order"]
    (height, width), (flat,), (rows, columns), _ = found["shapes"]
    assert height * width == flat == rows * columns
    assert found["white_rows_after_writing_half_of_the_view"] == height // 2


def test_a_length_of_minus_1_is_worked_out(digits: DataLoaders) -> None:
    assert view(digits).findings["shapes"] == [[8, 8], [64], [4, 16], [8, 8]]
    assert view(digits).findings["strides"] == [[8, 1], [1], [16, 1], [1, 8]]


def test_view_refuses_what_no_strides_can_read_and_reshape_copies_only_there(digits: DataLoaders) -> None:
    found = view(digits).findings
    assert "not compatible" in found["transposed_in_a_row"]
    assert "invalid for input of size 64" in found["one_row_too_many"]
    assert found["reshape_copies"] == {"the picture": False, "transposed": True}


def test_view_does_not_need_contiguous_memory(digits: DataLoaders) -> None:
    found = view(digits).findings
    assert not found["every_second_contiguous"]
    assert found["every_second_viewed"] == [10, 64]


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_at_is_row_by_column_and_a_linear_layer(data: str, request: pytest.FixtureRequest) -> None:
    found = matrix_product(request.getfixturevalue(data), count=2).findings
    (m, k), (also_k, n), product = found["shapes"]
    assert (m, n, product) == (4, 2, [4, 2])
    assert k == also_k
    assert found["products_added_up"] == m * k * n
    assert found["a_loop_differs_by"] < 1e-12
    assert found["a_linear_layer_differs_by"] < 1e-12


def test_a_star_keeps_the_shape_and_refuses_what_at_takes(digits: DataLoaders) -> None:
    found = matrix_product(digits).findings
    assert found["star_gives"] == found["shapes"][0]
    assert "must match" in found["star_of_these"]


def test_the_order_counts_and_the_inner_lengths_must_be_equal(digits: DataLoaders) -> None:
    assert "cannot be multiplied (64x2 and 6x64)" in matrix_product(digits).findings["other_order"]


def test_two_vectors_give_a_number_and_further_axes_count_matrices(digits: DataLoaders) -> None:
    found = matrix_product(digits).findings
    assert found["two_vectors_give_rank"] == 0
    assert found["a_stack_of_2"] == [2, *found["shapes"][2]]
