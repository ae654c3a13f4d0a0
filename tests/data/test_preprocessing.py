from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sevensteps.data.decode import Header
from sevensteps.data.preprocessing import Preprocessing, as_input
from sevensteps.errors import DataError, ModelFolderError, RefusedPicture, RequestError

RGB = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_a_picture_of_the_right_size_is_untouched():
    pixels = Preprocessing(3, 5, 7).pixels(RGB)
    assert pixels.dtype == torch.uint8
    assert pixels.is_contiguous()
    assert torch.equal(pixels, torch.from_numpy(RGB).permute(2, 0, 1))
    assert torch.equal(Preprocessing(1, 5, 7).pixels(RGB[:, :, 0]), torch.from_numpy(RGB[None, :, :, 0].copy()))


def test_a_wide_picture_is_cropped_at_both_sides():
    bars = np.zeros((10, 30), np.uint8)
    bars[:, 10:20] = 200
    assert torch.equal(Preprocessing(1, 10, 10).pixels(bars), torch.full((1, 10, 10), 200, dtype=torch.uint8))


def test_a_tall_picture_is_cropped_at_top_and_bottom():
    bars = np.zeros((30, 10), np.uint8)
    bars[10:20] = 200
    assert torch.equal(Preprocessing(1, 5, 5).pixels(bars)[:, 1:-1], torch.full((1, 3, 5), 200, dtype=torch.uint8))


def test_scaling_down_averages_instead_of_dropping():
    checkers = np.indices((64, 64)).sum(0) % 2 * 255
    pixels = Preprocessing(1, 8, 8).pixels(checkers.astype(np.uint8))
    assert pixels.float().sub(127.5).abs().max() <= 2


def test_scaling_the_whole_picture_then_cropping_it_gives_the_same():
    picture = np.random.default_rng(2).integers(0, 256, (40, 60), dtype=np.uint8)
    whole = np.asarray(Image.fromarray(picture).resize((30, 20), Image.Resampling.BILINEAR))
    assert np.array_equal(Preprocessing(1, 20, 20).pixels(picture)[0].numpy(), whole[:, 5:25])


@given(
    *(st.integers(1, 90) for _ in range(4)),
    st.sampled_from([1, 3]),
)
def test_any_picture_becomes_the_stated_shape(width, height, to_width, to_height, channels):
    pixels = Preprocessing(channels, to_height, to_width).pixels(np.full((height, width, 3), 77, np.uint8))
    assert pixels.shape == (channels, to_height, to_width)
    assert pixels.unique().tolist() == [77]


def test_a_line_of_many_pixels_becomes_a_square():
    assert Preprocessing(1, 28, 28).pixels(np.full((1, 1_000_000), 9, np.uint8)).unique().tolist() == [9]


def test_what_is_no_picture_is_refused(tmp_path):
    with pytest.raises(RefusedPicture) as caught:
        Preprocessing(1, 28, 28).pixels(tmp_path / "none.png")
    assert caught.value.reason == "missing"


def test_input_is_float32_from_0_to_1_whatever_the_shape():
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8)
    for shape in [(3,), (1, 3, 1), (1, 1, 1, 3)]:
        xb = as_input(pixels.reshape(shape))
        assert xb.dtype == torch.float32
        assert xb.shape == shape
        assert torch.equal(xb.flatten(), torch.tensor([0, 51, 255], dtype=torch.float32) / 255)


def test_input_is_float32_whatever_the_default_type_of_torch():
    torch.set_default_dtype(torch.float64)
    try:
        assert as_input(torch.zeros(2, dtype=torch.uint8)).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_pixels_are_not_divided_twice():
    with pytest.raises(RequestError, match=r"uint8, not torch.float32"):
        as_input(torch.zeros(2))


def test_the_rule_is_told_in_a_sentence():
    rule = Preprocessing(1, 28, 32).rule
    for word in ("grey", "EXIF", "white", "covers 32 × 28 pixels", "cropped at the centre", "255"):
        assert word in rule
    assert "RGB" in Preprocessing(3, 28, 28).rule


@pytest.mark.parametrize(("field", "value"), [("channels", 2), ("height", 0), ("width", 4097), ("width", -1)])
def test_impossible_values_are_a_wrong_request(field, value):
    values = {"channels": 1, "height": 28, "width": 28, field: value}
    with pytest.raises(RequestError, match=f"{field} must be .* not {value}"):
        Preprocessing(**values)
    with pytest.raises(ModelFolderError, match=f"{field} must be .* not {value}"):
        Preprocessing.from_dict(values)


def test_to_dict_and_from_dict_are_inverse():
    preprocessing = Preprocessing(3, 64, 4096)
    assert preprocessing.to_dict() == {"channels": 3, "height": 64, "width": 4096}
    assert Preprocessing.from_dict(preprocessing.to_dict()) == preprocessing


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"channels": 1, "height": 28},
        {"channels": 1, "height": 28, "width": 28, "mean": 0.5},
        {"channels": True, "height": 28, "width": 28},
        {"channels": 1, "height": 28.0, "width": 28},
        {"channels": 1, "height": "28", "width": 28},
        {"channels": 1, "height": None, "width": 28},
        {"channels": 1, "height": [28], "width": 28},
        [1, 28, 28],
        None,
    ],
)
def test_a_config_that_is_not_ours_is_refused_with_a_hint(values):
    with pytest.raises(ModelFolderError, match="hint: expected"):
        Preprocessing.from_dict(values)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([Header(28, 28, True)] * 3, (1, 28, 28)),
        ([Header(28, 28, True), Header(28, 28, False)], (3, 28, 28)),
        ([Header(8, 4, True)], (1, 4, 8)),
        ([Header(640, 480, False)] * 2, (3, 128, 171)),
        ([Header(480, 640, False)] * 2, (3, 171, 128)),
        ([Header(5_000, 10, True)], (1, 10, 4096)),
        ([Header(640, 480, False), Header(480, 640, False)], (3, 128, 128)),
        ([Header(30, 20, True), Header(40, 60, True), Header(50, 99, True)], (1, 40, 40)),
        ([Header(1, 1, True), Header(2, 2, True)], (1, 8, 8)),
    ],
)
def test_size_and_channels_fit_the_pictures(headers, expected):
    assert Preprocessing.fitting(headers) == Preprocessing(*expected)


def test_the_limit_is_the_callers():
    assert Preprocessing.fitting([Header(640, 480, False)], limit=48) == Preprocessing(3, 48, 64)


def test_no_pictures_fit_nothing():
    with pytest.raises(DataError, match="no picture"):
        Preprocessing.fitting([])


@given(st.lists(st.builds(Header, st.integers(1, 9_000), st.integers(1, 9_000), st.booleans()), min_size=1))
def test_whatever_the_pictures_the_fit_is_possible(headers):
    fit = Preprocessing.fitting(headers)
    assert min(fit.height, fit.width) <= 128
    assert (fit.channels == 1) == all(header.grey for header in headers)


def test_real_photographs_become_batches(flowers):
    preprocessing = Preprocessing(3, 64, 64)
    photographs = sorted((flowers / "valid" / "daisy").iterdir())[:8]
    xb = as_input(torch.stack([preprocessing.pixels(path) for path in photographs]))
    assert xb.shape == (8, 3, 64, 64)
    assert xb.min() >= 0
    assert xb.max() <= 1
    assert xb.std() > 0.1


def test_few_and_many_pixels_become_the_same_bits():
    pixels = torch.arange(256, dtype=torch.uint8).repeat(1000)
    assert torch.equal(as_input(pixels)[:256], as_input(pixels[:256]))
