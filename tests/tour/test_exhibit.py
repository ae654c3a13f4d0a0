"""The frame of the tour: the registry, an exhibit's answer, code and controls, and the data that it is given."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
import torch

from sevensteps.data.dataloaders import DataLoaders
from sevensteps.data.sources import read_source
from sevensteps.errors import RequestError
from sevensteps.tour.exhibit import EXHIBITS, Between, Control, Exhibit, Shown, exhibit, pick, pictures, refusal


@pytest.fixture(scope="module")
def digits() -> DataLoaders:
    return DataLoaders.from_data(read_source(None))


def example(
    dls: DataLoaders,
    steps: Annotated[int, Between(1, 9)] = 3,
    lr: Annotated[float, Between(0, 1)] = 0.5,
    distance: Literal["l1", "rmse"] = "l1",
) -> Shown:
    """The answer.

    Its second paragraph.
    """
    return Shown({"steps": steps, "lr": lr, "distance": distance})


EXAMPLE = Exhibit(99, "A question?", example)


def test_the_answer_is_the_docstring_without_its_indentation() -> None:
    assert EXAMPLE.answer == "The answer.\n\nIts second paragraph."


def test_the_source_is_the_whole_function() -> None:
    assert EXAMPLE.source.startswith("def example(")
    assert "The answer." in EXAMPLE.source


def test_the_code_is_the_source_without_the_docstring_and_still_python() -> None:
    assert "The answer." not in EXAMPLE.code
    assert EXAMPLE.code.startswith("def example(")
    assert EXAMPLE.code.endswith('return Shown({"steps": steps, "lr": lr, "distance": distance})')
    compile(EXAMPLE.code, "example", "exec")


def test_the_controls_are_the_parameters_besides_the_data() -> None:
    assert EXAMPLE.controls == {
        "steps": Control("steps", 3, int, Between(1, 9)),
        "lr": Control("lr", 0.5, float, Between(0, 1)),
        "distance": Control("distance", "l1", str, choices=("l1", "rmse")),
    }


def test_a_control_that_is_turned_reaches_the_function(digits: DataLoaders) -> None:
    assert EXAMPLE.run(digits, steps=9, lr=1, distance="rmse").findings == {"steps": 9, "lr": 1, "distance": "rmse"}


@pytest.mark.parametrize("value", [0, 10, 2.5, True, "3", None])
def test_a_value_that_does_not_fit_is_refused_with_the_range(digits: DataLoaders, value: object) -> None:
    with pytest.raises(RequestError) as caught:
        EXAMPLE.run(digits, steps=value)
    assert caught.value.message == f"steps is {value!r}"
    assert caught.value.hint == "expected a whole number from 1 to 9"


def test_not_a_number_is_refused(digits: DataLoaders) -> None:
    with pytest.raises(RequestError, match="lr is nan"):
        EXAMPLE.run(digits, lr=float("nan"))


def test_an_unknown_choice_is_refused_with_the_choices(digits: DataLoaders) -> None:
    with pytest.raises(RequestError, match="distance is 'l2'") as caught:
        EXAMPLE.run(digits, distance="l2")
    assert caught.value.hint == "expected 'l1' or 'rmse'"


def test_an_unknown_control_is_refused_with_the_known_ones(digits: DataLoaders) -> None:
    with pytest.raises(RequestError, match="exhibit 99 has no control 'epochs'") as caught:
        EXAMPLE.run(digits, epochs=1)
    assert caught.value.hint == "it has steps, lr, distance"


def test_the_decorator_registers_and_leaves_the_function_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(EXHIBITS, 99, raising=False)
    assert exhibit(99, "A question?")(example) is example
    assert EXHIBITS.pop(99) == EXAMPLE


def test_a_number_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXHIBITS, 99, EXAMPLE)
    with pytest.raises(AssertionError, match="two exhibits have the number 99"):
        exhibit(99, "Another?")(example)


def test_pictures_are_the_stored_pixels(digits: DataLoaders) -> None:
    pixels, labels = pictures(digits)
    assert (pixels.dtype, tuple(pixels.shape), len(labels)) == (torch.uint8, (1438, 1, 8, 8), 1438)


def test_pictures_thin_out_evenly_to_a_number_of_values(digits: DataLoaders) -> None:
    pixels, labels = pictures(digits, most_values=64 * 100)
    assert len(pixels) == len(labels) == 96  # every 15th of 1,438
    assert torch.equal(pixels[1], pictures(digits)[0][15])


def test_data_without_pictures_are_refused_with_what_to_do() -> None:
    features = DataLoaders.from_arrays(torch.rand(20, 3), [0, 1] * 10)
    with pytest.raises(RequestError, match="no pictures in memory in the split 'train'") as caught:
        pictures(features)
    assert "from_folder" in caught.value.hint


def test_a_picture_that_is_not_there_is_refused_with_the_range() -> None:
    with pytest.raises(RequestError, match="there is no picture 5") as caught:
        pick(torch.zeros(5, 1, 2, 2), 5)
    assert caught.value.hint == "expected 0 to 4"


def test_a_refusal_is_torchs_message_in_one_line_and_nothing_where_it_works() -> None:
    two, three = torch.zeros(2), torch.zeros(3)
    assert refusal(lambda: two + three).startswith("The size of tensor a (2) must match the size of tensor b (3)")
    assert "\n" not in refusal(lambda: two @ three)
    assert refusal(lambda: two + two) == ""
