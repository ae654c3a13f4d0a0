"""The one way from a picture to a network's input: in training, evaluation, prediction and serving alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import median_low
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import DataError, ModelFolderError, RequestError
from .decode import Header, Source, read

if TYPE_CHECKING:
    from torch import Tensor

MAX_SIDE = 4096  # pixels
MAX_AREA = 1 << 21  # pixels: what a network makes of one such picture takes up to 2 GB
SMALL = (
    100_000  # values: below that NumPy is as fast, and wakes no threads, which would get in the way of other engines
)
MIN_SQUARE = 8  # pixels; the smallest side chosen for pictures of several sizes


@dataclass(frozen=True)
class Preprocessing:
    """`channels` (1 is grey, 3 is RGB), `height` and `width` (pixels, 1 to 4096) of a network's input.

    2,097,152 pixels in all at most. Raises `RequestError` for other values.
    """

    channels: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise RequestError(f"channels must be 1 (grey) or 3 (RGB), not {self.channels}")
        for name, side in (("height", self.height), ("width", self.width)):
            if not 1 <= side <= MAX_SIDE:
                raise RequestError(f"{name} must be 1 to {MAX_SIDE} pixels, not {side}")
        if self.height * self.width > MAX_AREA:
            raise RequestError(f"height × width must be at most {MAX_AREA:,} pixels, not {self.height * self.width:,}")

    @property
    def rule(self) -> str:
        """The rule, in a sentence for people."""
        colour = "grey" if self.channels == 1 else "RGB"
        return (
            f"A picture is decoded to 8-bit {colour}, turned as its EXIF says, laid over white where it is "
            f"transparent, scaled (bilinear, antialiased) until it just covers {self.width} × {self.height} "
            "pixels, cropped at the centre, and divided by 255."
        )

    def pixels(self, source: Source) -> Tensor:
        """A picture (see `decode` for what it may be) as uint8, channels × height × width, by `rule`.

        A picture that has the size already is not resampled. Raises `RefusedPicture`, `RequestError`.
        """
        import torch

        return torch.from_numpy(self.read(source)[1])

    def read(self, source: Source, most: int | None = None) -> tuple[Header, NDArray[np.uint8]]:
        """A picture's header, and its `pixels` as an array; needs no torch. `most` pixels are taken, as by `decode`."""
        header, image = read(source, grey=self.channels == 1, least=(self.width, self.height), most=most)
        if image.size != (self.width, self.height):
            box = self._centre(*image.size)
            image = image.resize((self.width, self.height), Image.Resampling.BILINEAR, box=box)
        array = np.frombuffer(bytearray(image.tobytes()), np.uint8).reshape(self.height, self.width, self.channels)
        return header, np.ascontiguousarray(array.transpose(2, 0, 1))

    def _centre(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The largest rectangle of the right shape in the middle of a picture: left, top, right, bottom."""
        scale = min(width / self.width, height / self.height)
        left = max(0.0, (width - self.width * scale) / 2)
        top = max(0.0, (height - self.height * scale) / 2)
        return left, top, width - left, height - top

    @classmethod
    def fitting(cls, headers: Sequence[Header], limit: int = 128) -> Preprocessing:
        """The size and channels that suit the pictures; no shorter side above `limit` pixels.

        One channel where all pictures are grey, else 3. Where all have one size: that size, scaled down
        until its shorter side is `limit`. Else a square, its side the median of the shorter sides, 8 to
        `limit` pixels. Raises `DataError` where there is no picture.

        >>> Preprocessing.fitting([Header(640, 480, grey=False)])
        Preprocessing(channels=3, height=128, width=171)
        """
        if not headers:
            raise DataError("no picture to choose a size by", hint="give at least one that can be read")
        channels = 1 if all(header.grey for header in headers) else 3
        sizes = {(header.height, header.width) for header in headers}
        if len(sizes) > 1:
            side = median_low(min(header.height, header.width) for header in headers)
            side = max(MIN_SQUARE, min(limit, side))
            return cls(channels, side, side)
        height, width = sizes.pop()
        scale = min(1.0, limit / min(height, width))
        return cls(channels, min(MAX_SIDE, round(height * scale)), min(MAX_SIDE, round(width * scale)))

    def to_dict(self) -> dict[str, int]:
        """As it stands in a model folder's config.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """From a model folder's config.json. Raises `ModelFolderError` for anything but three right integers.

        >>> Preprocessing.from_dict({"channels": 1, "height": 28, "width": 28})
        Preprocessing(channels=1, height=28, width=28)
        """
        hint = "expected {'channels': 1 or 3, 'height': …, 'width': …}; was config.json edited by hand?"
        names = [field.name for field in fields(cls)]
        if not isinstance(values, Mapping) or set(values) != set(names):
            raise ModelFolderError(f"this preprocessing is not known: {values!r:.80}", hint=hint)
        for name in names:
            if type(values[name]) is not int:  # True is an int to isinstance
                raise ModelFolderError(f"{name} must be an integer, not {values[name]!r:.80}", hint=hint)
        try:
            return cls(**values)
        except RequestError as error:
            raise ModelFolderError(error.message, hint=hint) from error


def as_input(pixels: Tensor) -> Tensor:
    """uint8 pixels, of any shape, as float32 in 0 to 1. Raises `RequestError` for another type.

    >>> import torch
    >>> as_input(torch.tensor([0, 51, 255], dtype=torch.uint8))
    tensor([0.0000, 0.2000, 1.0000])
    """
    import torch

    if pixels.dtype != torch.uint8:
        raise RequestError(f"pixels must be uint8, not {pixels.dtype}", hint="they are divided by 255 only once")
    if pixels.device.type == "cpu" and pixels.numel() < SMALL:
        return torch.from_numpy(pixels.numpy() / np.float32(255))
    return pixels.to(torch.float32).div_(255)
