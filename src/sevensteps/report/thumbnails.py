"""Pictures inside the page: pixels as a data URI."""

from __future__ import annotations

import base64
import io
from typing import NamedTuple

from PIL import Image
from torch import Tensor

EXACT_PX = 64  # up to this side every pixel is shown as it is
LARGEST_PX = 144


class Thumbnail(NamedTuple):
    """`src` is a data URI; `exact` says that its pixels are to be seen as squares, not smoothed."""

    src: str
    width: int
    height: int
    exact: bool


def thumbnail(pixels: Tensor, largest_px: int = LARGEST_PX) -> Thumbnail:
    """A picture (uint8, channels × height × width) for the page: PNG where it is small, else a JPEG of that side."""
    array = pixels.cpu().permute(1, 2, 0).contiguous().numpy()
    image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    exact = max(image.size) <= EXACT_PX
    image.thumbnail((largest_px, largest_px))
    content = io.BytesIO()
    kind, options = ("png", {"optimize": True}) if exact else ("jpeg", {"quality": 82, "optimize": True})
    image.save(content, kind, **options)
    encoded = base64.b64encode(content.getvalue()).decode("ascii")
    return Thumbnail(f"data:image/{kind};base64,{encoded}", *image.size, exact)
