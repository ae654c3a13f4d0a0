from __future__ import annotations

import numpy as np
import pytest
import torch

from sevensteps.data.columns import Columns
from sevensteps.data.labelled import LabelledData, Part, from_arrays
from sevensteps.data.pictures import PictureSet, numbered
from sevensteps.data.preprocessing import Preprocessing
from sevensteps.errors import DataError

GREY = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
COLOUR = np.arange(4 * 5 * 6 * 3, dtype=np.uint8).reshape(4, 5, 6, 3)
LABELS = ["b", "a", "b", "a"]


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        pytest.param(GREY, GREY[:, None], id="N×H×W"),
        pytest.param(GREY[:, None], GREY[:, None], id="N×1×H×W"),
        pytest.param(GREY[..., None], GREY[:, None], id="N×H×W×1"),
        pytest.param(COLOUR, COLOUR.transpose(0, 3, 1, 2), id="N×H×W×3"),
        pytest.param(COLOUR.transpose(0, 3, 1, 2), COLOUR.transpose(0, 3, 1, 2), id="N×3×H×W"),
        pytest.param(torch.from_numpy(GREY), GREY[:, None], id="tensor"),
        pytest.param(torch.from_numpy(COLOUR).permute(0, 3, 1, 2), COLOUR.transpose(0, 3, 1, 2), id="permuted tensor"),
        pytest.param(list(GREY), GREY[:, None], id="list of arrays"),
        pytest.param(GREY[:, ::-1], GREY[:, None, ::-1], id="negative strides"),
        pytest.param(np.frombuffer(GREY.tobytes(), np.uint8).reshape(GREY.shape), GREY[:, None], id="read-only"),
    ],
)
def test_uint8_arrays_of_every_shape_are_pictures(x, expected):
    data = from_arrays({"train": (x, LABELS)})
    assert data.splits["train"].x.dtype == np.uint8
    assert np.array_equal(data.splits["train"].x, expected)
    assert data.preprocessing == Preprocessing(*expected.shape[1:])


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64, np.uint16, bool])
def test_other_numbers_become_float32_as_they_are(dtype):
    x = np.array([[0, 1], [1, 0], [1, 1], [0, 0]], dtype)
    data = from_arrays({"train": (x, LABELS)})
    assert data.preprocessing is None
    assert data.splits["train"].x.dtype == np.float32
    assert np.array_equal(data.splits["train"].x, x.astype(np.float32))
    assert isinstance(numbered(data, "train", ["a", "b"]), Columns)


def test_a_tensor_that_is_being_trained_is_taken_as_it_is_now():
    x = torch.ones(4, 2, requires_grad=True)
    assert from_arrays({"train": (x, LABELS)}).splits["train"].x.tolist() == [[1, 1]] * 4


@pytest.mark.parametrize(
    ("y", "names"),
    [
        (LABELS, LABELS),
        (np.array(LABELS), LABELS),
        (np.array([3, 1, 3, 1]), ["3", "1", "3", "1"]),
        (torch.tensor([3, 1, 3, 1]), ["3", "1", "3", "1"]),
        ((True, False, True, False), ["True", "False", "True", "False"]),
    ],
)
def test_labels_may_be_names_or_numbers(y, names):
    part = from_arrays({"train": (GREY, y)}).splits["train"]
    assert part.labels == names
    assert all(type(name) is str for name in part.labels)
    assert [*part.names] == ["#0", "#1", "#2", "#3"]


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (GREY, LABELS[:3], r"x has shape (4, 5, 6) and y (3,)"),
        (GREY, np.zeros((4, 2)), r"x has shape (4, 5, 6) and y (4, 2)"),
        (GREY, "b", r"x has shape (4, 5, 6) and y ()"),
        (np.uint8(3), LABELS, r"x has shape () and y (4,)"),
        (np.zeros((4, 5), np.uint8), LABELS, r"x has shape (4, 5)"),
        (np.zeros((4, 5, 6, 2), np.uint8), LABELS, r"x has shape (4, 5, 6, 2)"),
        ([[1, 2], [3]], [0, 1], "x is no array of numbers"),
        (["a", "b"], [0, 1], "x is no array of numbers"),
        ([None, object()], [0, 1], "x is no array of numbers"),
    ],
)
def test_shapes_that_do_not_fit_are_told(x, y, message):
    with pytest.raises(DataError) as caught:
        from_arrays({"train": (x, y)})
    assert caught.value.message.startswith("the arrays, train: " + message)
    assert caught.value.hint


@pytest.mark.parametrize("valid", [GREY[:, :4], COLOUR, GREY / 255])
def test_splits_of_several_sizes_or_types_are_told(valid):
    with pytest.raises(
        DataError, match=r"the arrays, valid: x is .* but .* uint8 of 1×5×6\n  hint: give all splits in one"
    ):
        from_arrays({"train": (GREY, LABELS), "valid": (valid, LABELS)})


def test_an_empty_split_may_have_any_shape():
    data = from_arrays({"train": (GREY, LABELS), "valid": (np.zeros((0,)), [])})
    assert len(data.splits["valid"].x) == 0


def test_labels_become_indices_into_the_vocab():
    pictures = numbered(from_arrays({"train": (GREY, LABELS)}), "train", ["a", "b", "c"])
    assert isinstance(pictures, PictureSet)
    assert pictures.labels.tolist() == [1, 0, 1, 0]


def test_a_class_that_is_not_in_the_vocab_is_told():
    with pytest.raises(DataError, match=r"train has classes .* in the arrays: 'b' \(2 pictures\)"):
        numbered(from_arrays({"train": (GREY, LABELS)}), "train", ["a", "c"])


def test_pictures_take_another_models_size_and_channels():
    data = from_arrays({"train": (np.full((2, 4, 4), 100, np.uint8), ["a", "b"]), "valid": (GREY[:0, :4, :4], [])})
    wanted = Preprocessing(3, 2, 2)
    resized = data.resized(wanted)
    assert resized.preprocessing == wanted
    assert np.array_equal(resized.splits["train"].x, np.full((2, 3, 2, 2), 100, np.uint8))
    assert resized.splits["train"].labels == ["a", "b"]
    assert len(resized.splits["valid"].x) == 0
    assert data.splits["train"].x.shape == (2, 1, 4, 4)


def test_resized_pixels_are_those_that_the_picture_itself_would_give():
    wanted = Preprocessing(3, 3, 4)
    resized = from_arrays({"train": (COLOUR, LABELS)}).resized(wanted)
    assert np.array_equal(resized.splits["train"].x[2], wanted.pixels(COLOUR[2]))


def test_what_has_the_size_or_is_no_picture_is_left_as_it_is():
    data = from_arrays({"train": (GREY, LABELS)})
    assert data.resized(Preprocessing(1, 5, 6)) is data
    floats = LabelledData("x", {"train": Part(np.zeros((2, 3), np.float32), ["a", "b"], ["", ""])})
    assert floats.resized(Preprocessing(1, 5, 6)) is floats
