"""A picture's bytes, decoded to correct 8-bit pixels.

Formats are told by content, never by name: JPEG (also MPO), PNG (also APNG), WebP, GIF, BMP, TIFF, PPM and
its family. Of an animation or a multi-page file the first picture counts. The rules:

- *Orientation* of EXIF (and XMP) is applied. Malformed EXIF counts as none; it never costs a picture.
- *Transparency* is composited over white, also a PNG's or GIF's single transparent colour.
- *16 bits*: 65535 is white (a 12-bit TIFF: 4095). Scaled, not clipped: v / 257, rounded to the nearest.
- *32-bit integers* (mode I): as 16 bits; a value below 0 or above 65535 is refused, `no-scale`.
- *Floats* (mode F): white is the smallest of 1, 255 and 65535 that no value exceeds; negative, larger or
  non-finite values are refused, `no-scale`.
- *Colour*: CMYK, YCbCr, HSV and LAB become RGB. Embedded colour profiles are not applied.
- *Grey* is the luma of the RGB picture (ITU-R 601): 0.299 R + 0.587 G + 0.114 B.
- *Size*: at most `most_pixels()`, checked in the header, before any pixel is decoded.
- *Smaller*: where a smaller picture will do, a JPEG is decoded at 1/2, 1/4 or 1/8 of its size (DCT scaling).

Whatever is wrong with a picture becomes a `RefusedPicture`; no error or warning of Pillow's comes out.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from ..errors import RefusedPicture, RequestError, SevenStepsError
from ..files import open_regular
from .quiet import quiet_pillow

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
MEGAPIXELS = 50.0
READ_WHOLE = 4 << 20  # files up to so many bytes are read in one go: many small reads take longer than the decoding
Source = str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | NDArray[Any]

TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Header(NamedTuple):
    """What a picture says of itself: its size in pixels, after EXIF orientation, and whether it is grey."""

    width: int
    height: int
    grey: bool


def most_pixels(megapixels: float = MEGAPIXELS) -> int:
    """How many pixels a picture may have: `$SEVENSTEPS_MEGAPIXELS` millions, or else `megapixels`.

    Raises `RequestError` where that is no number above 0, up to 178: more are too many for Pillow.
    """
    said = os.environ.get("SEVENSTEPS_MEGAPIXELS") or megapixels
    try:
        if 0 < float(said) <= 178:
            return int(float(said) * 1e6)
    except ValueError:
        pass
    hint = "expected how many million pixels a picture may have, from 0.1 to 178"
    raise RequestError(f"SEVENSTEPS_MEGAPIXELS is {said!r}", hint=hint)


def read_header(source: Source, *, most: int | None = None) -> Header:
    """Read a picture's size and kind without decoding its pixels; arguments and errors as for `decode`.

    `grey` is what the file declares: an RGB file of grey pixels is not grey, a palette of greys is.
    """
    with _opened(source, most) as image:
        width, height = image.size
        turned = isinstance(image, TiffImagePlugin.TiffImageFile)  # Pillow itself turns a TIFF, header and all
        if not turned and _orientation(image, lazily=image is not source) >= 5:
            width, height = height, width
        return Header(width, height, _is_grey(image))


def decode(source: Source, *, grey: bool, least: tuple[int, int] | None = None, most: int | None = None) -> Image.Image:
    """Decode a picture to 8 bits, mode "L" (`grey`) or "RGB", by the rules at the top of this file.

    `source` is a path, the file's bytes, a binary file (read from its start), a Pillow image, or an array:
    uint8 of H×W, H×W×1, H×W×3 (RGB) or H×W×4 (RGBA); uint16 of H×W; float of H×W, 0 to 1. `least` is a width and
    height that will do: a larger JPEG may then come out smaller, but no side below it.
    `most` is how many pixels it may have, instead of `most_pixels()`.

    Raises `RefusedPicture`, and `RequestError` where `source` is none of these.

    >>> decode(np.full((2, 3), 1000, np.uint16), grey=True).getpixel((0, 0))
    4
    """
    return read(source, grey=grey, least=least, most=most)[1]


def read(
    source: Source, *, grey: bool, least: tuple[int, int] | None = None, most: int | None = None
) -> tuple[Header, Image.Image]:
    """A picture's header and its pixels, opened only once; arguments and errors as for `decode`."""
    with _opened(source, most) as image:
        rawmode, is_grey, (width, height) = _rawmode(image), _is_grey(image), image.size
        if least and image is not source and image.format in ("JPEG", "MPO"):
            image.draft(None, least[::-1] if _orientation(image) >= 5 else least)
        image.load()
        orientation = _orientation(image)
        turn = TRANSPOSES.get(orientation)
        if orientation >= 5 and not isinstance(image, TiffImagePlugin.TiffImageFile):
            width, height = height, width
        header = Header(width, height, is_grey)
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            image = _scaled(image, _name(source))
        elif image.has_transparency_data:
            image = _over_white(image, rawmode)
        elif image.mode not in ("1", "L", "RGB"):
            image = image.convert("RGB")
        pixels = image.convert("L" if grey else "RGB")  # always a copy
        if turn is not None:
            pixels = pixels.transpose(turn)
        pixels.info.clear()  # or its next reader would turn it once more
        return header, pixels


@contextmanager
def _opened(source: Source, most: int | None) -> Iterator[Image.Image]:
    """The picture, its header read and its size checked; what fails here or in the block refuses it."""
    name, most = _name(source), most or most_pixels()
    try:
        with quiet_pillow():
            if isinstance(source, str | os.PathLike):
                with _open_file(source, name) as file:
                    yield _of_good_size(_identify(file, name), name, most)
            else:
                yield _of_good_size(_image(source, name), name, most)
    except SevenStepsError:
        raise
    except Exception as error:
        raise _refusal(name, error) from error


def _image(source: Any, name: str) -> Image.Image:
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, np.ndarray):
        return _from_array(source, name)
    if isinstance(source, bytes | bytearray | memoryview):
        return _identify(io.BytesIO(source), name)
    if hasattr(source, "read") and not isinstance(source, io.TextIOBase):
        return _identify(source if source.seekable() else io.BytesIO(source.read()), name)
    hint = "give a path, bytes, a file opened with 'rb', a Pillow image or a NumPy array"
    raise RequestError(f"a {type(source).__name__} is no picture", hint=hint)


def _open_file(path: str | os.PathLike[str], name: str) -> IO[bytes]:
    """Open a regular file. Looks before it opens, because opening a FIFO waits for a writer."""
    status = os.stat(path)  # noqa: PTH116 - a Path costs more than the call, 60,000 times
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
        raise RefusedPicture("not-a-file", f"is {kind}, not a file", name)
    file = open_regular(path)
    if status.st_size > READ_WHOLE:
        return io.BufferedReader(file)
    with file:
        return io.BytesIO(file.read())


def _identify(file: IO[bytes], name: str) -> Image.Image:
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        file.seek(0)
        if not (start := file.read(16)):
            raise RefusedPicture("empty", "the file is empty", name) from None
        for known in FORMATS:
            if (accepts := Image.OPEN[known][1]) and accepts(start) is True:
                raise RefusedPicture("corrupt", f"the header of this {known} is broken", name) from None
        raise RefusedPicture("not-a-picture", f"its content is none of {', '.join(FORMATS)}", name) from None


def _of_good_size(image: Image.Image, name: str, most: int) -> Image.Image:
    size = f"{image.width} × {image.height} pixels"
    if not image.width * image.height:
        raise RefusedPicture("empty", f"has {size}", name)
    if image.width * image.height > most:
        raise RefusedPicture("too-large", f"has {size}, more than {most:,} in all", name)
    return image


def _from_array(array: NDArray[Any], name: str) -> Image.Image:
    shape, dtype = array.shape, array.dtype
    if dtype == np.uint8 and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))):
        return Image.fromarray(array[:, :, 0] if shape[2:] == (1,) else array)
    if dtype.kind == "u" and dtype.itemsize == 2 and len(shape) == 2:
        return Image.fromarray(array.astype(np.uint16))  # from any byte order
    if dtype.kind == "f" and len(shape) == 2:
        if not np.all((array >= 0) & (array <= 1)):
            raise RefusedPicture("no-scale", "has floats that are not in 0 to 1", name)
        return Image.fromarray(array.astype(np.float32))
    hint = "give uint8 of H×W, H×W×1, H×W×3 or H×W×4, uint16 of H×W, or floats in 0 to 1 of H×W"
    raise RequestError(f"an array of {dtype} and shape {shape} is no picture", hint=hint)


def _orientation(image: Image.Image, *, lazily: bool = False) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none, or none that makes sense."""
    try:
        if lazily and isinstance(image, PngImagePlugin.PngImageFile) and not _has_late_exif(image.fp):
            exif = Image.Image.getexif(image)  # PngImageFile.getexif decodes all pixels
        else:
            exif = image.getexif()
        orientation = exif.get(ExifTags.Base.Orientation)
        return int(orientation) if orientation in TRANSPOSES else 1
    except Exception:
        return 1


def _has_late_exif(file: Any) -> bool:
    """Whether a PNG may have its EXIF (64 KiB at most) after its pixels, where only decoding finds it."""
    here = file.tell()
    file.seek(max(0, file.seek(0, io.SEEK_END) - 70_000))
    found = b"eXIf" in file.read()
    file.seek(here)
    return found


def _rawmode(image: Image.Image) -> str:
    """How the file stores its samples, in Pillow's words ("L;4", "RGB;16B"); known only before loading."""
    arguments = next((tile[3] for tile in getattr(image, "tile", ())), "")
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _is_grey(image: Image.Image) -> bool:
    palette = image.palette
    if image.mode == "P" and palette and palette.mode == "RGB" and palette.rawmode in (None, "RGB"):
        colours = bytes(palette.palette)
        return colours[0::3] == colours[1::3] == colours[2::3]
    known = image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16")
    return known or _rawmode(image) == "LA;16B"  # of this PNG Pillow makes RGBA


def _scaled(image: Image.Image, name: str) -> Image.Image:
    """A picture of more than 8 bits as mode L, full scale being white."""
    values, tags = np.asarray(image), getattr(image, "tag_v2", {})
    low, high = values.min(), values.max()
    twelve_bits = image.mode == "I;16" and tags.get(TiffImagePlugin.BITSPERSAMPLE) == (12,)
    scales = (1, 255, 65535) if image.mode == "F" else (4095,) if twelve_bits else (65535,)
    full_scale = next((scale for scale in scales if high <= scale), None)
    if full_scale is None or not low >= 0:  # a NaN is not >= 0
        raise RefusedPicture("no-scale", f"has values from {low} to {high}: which one is white?", name)
    levels = np.rint(values.astype(np.float32) * np.float32(255 / full_scale)).astype(np.uint8)
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:  # this TIFF says that 0 is white
        levels = 255 - levels
    levels[values == image.info.get("transparency")] = 255
    return Image.fromarray(levels)


def _over_white(image: Image.Image, rawmode: str) -> Image.Image:
    """A picture with transparency composited over white, as mode RGB."""
    transparent: Any = image.info.get("transparency")
    if transparent is not None and rawmode in ("L;2", "L;4", "RGB;16B"):
        # Pillow brings the samples of these PNGs to 8 bits, but not their transparent colour.
        image = image.copy()
        image.info["transparency"] = (
            tuple(value >> 8 for value in transparent)
            if rawmode == "RGB;16B"
            else transparent * {"L;2": 85, "L;4": 17}[rawmode]
        )
    if image.mode == "La":
        image = image.convert("LA")
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _name(source: object) -> str:
    """What messages call the picture: its path where it has one, on one line whatever is in it."""
    path = source if isinstance(source, str | os.PathLike) else getattr(source, "filename", "")
    path = path or getattr(source, "name", "")
    if not isinstance(path, str | os.PathLike) or not str(path):
        return "the array" if isinstance(source, np.ndarray) else "the picture"
    return str(path) if str(path).isprintable() else ascii(str(path))


def _refusal(name: str, error: Exception) -> RefusedPicture:
    """What came out of the file system or of Pillow, as one reason and one line for people."""
    detail = " ".join(str(error).split())
    if isinstance(error, FileNotFoundError | NotADirectoryError) or "embedded null" in detail:
        return RefusedPicture("missing", "there is no such file", name)
    if isinstance(error, OSError) and error.errno is not None:
        return RefusedPicture("unreadable", f"cannot be read: {error.strerror}", name)
    if isinstance(error, Image.DecompressionBombError):
        return RefusedPicture("too-large", "claims far more pixels than are taken", name)
    if isinstance(error, MemoryError):
        return RefusedPicture("too-large", "takes more memory than there is", name)
    if isinstance(error, EOFError) or "truncated" in detail.lower():
        return RefusedPicture("truncated", "the file ends before its picture does", name)
    if not detail or "0x" in detail or len(detail) > 120:
        detail = type(error).__name__
    return RefusedPicture("corrupt", f"cannot be decoded: {detail}", name)
