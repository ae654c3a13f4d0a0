from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from sevensteps.report.thumbnails import thumbnail


def test_a_hundred_photographs_take_less_than_2_mb() -> None:
    coarse = torch.rand(10, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    pixels = torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bilinear").mul(255).to(torch.uint8)
    assert 10 * sum(len(thumbnail(picture).src) for picture in pixels) < 2_000_000


@pytest.mark.parametrize("channels", [1, 3])
def test_a_small_picture_is_shown_pixel_for_pixel(channels: int) -> None:
    pixels = torch.arange(channels * 6 * 4, dtype=torch.uint8).view(channels, 6, 4)
    shown = thumbnail(pixels)
    assert (shown.width, shown.height, shown.exact) == (4, 6, True)
    image = Image.open(io.BytesIO(base64.b64decode(shown.src.removeprefix("data:image/png;base64,"))))
    assert np.array_equal(np.array(image).reshape(6, 4, channels), pixels.permute(1, 2, 0).numpy())


def test_a_large_picture_is_made_smaller_and_keeps_its_shape() -> None:
    shown = thumbnail(torch.zeros(3, 100, 400, dtype=torch.uint8))
    assert (shown.width, shown.height, shown.exact) == (144, 36, False)
    assert shown.src.startswith("data:image/jpeg;base64,")
