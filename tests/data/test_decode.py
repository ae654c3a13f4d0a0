from __future__ import annotations

import io
import os
import socket
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from sevensteps.data import decode as module
from sevensteps.data import quiet
from sevensteps.data.decode import Header, decode, most_pixels, read_header
from sevensteps.errors import RefusedPicture, RequestError

REASONS = {
    "missing",
    "empty",
    "not-a-file",
    "not-a-picture",
    "truncated",
    "corrupt",
    "too-large",
    "no-scale",
    "unreadable",
}
ORIENTATION = 0x0112
MOST = 50_000_000
RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = RGB[:, :, 0]
ALPHA = RGB[:, :, 1]


def saved(image: Image.Image, extension: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, extension, **options)
    return file.getvalue()


def rgb(source: object) -> np.ndarray:
    image = decode(source, grey=False)
    assert image.mode == "RGB"
    return np.asarray(image)


def grey(source: object) -> np.ndarray:
    image = decode(source, grey=True)
    assert image.mode == "L"
    return np.asarray(image)


def refusal(source: object) -> RefusedPicture:
    with pytest.raises(RefusedPicture) as caught:
        decode(source, grey=False)
    assert caught.value.reason in REASONS
    assert "\n" not in caught.value.message
    assert "0x" not in caught.value.message
    return caught.value


def outcome(source: object) -> Image.Image | str:
    """The decoded picture, or the reason why it was refused."""
    try:
        return decode(source, grey=False)
    except RefusedPicture as error:
        return error.reason


def over_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha.astype(float) / 255
    share = share[..., None] if colour.ndim == 3 else share
    return np.rint(colour * share + 255 * (1 - share)).astype(np.uint8)


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG by hand: `rows` with their filter bytes; an eXIf stands after the pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    early = [chunk(*item) for item in chunks if item[0] != b"eXIf"]
    late = [chunk(*item) for item in chunks if item[0] == b"eXIf"]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"".join([b"\x89PNG\r\n\x1a\n", header, *early, pixels, *late, chunk(b"IEND", b"")])


# 8-bit modes


@pytest.mark.parametrize("extension", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_rgb_comes_back_as_it_was(extension):
    options = {"lossless": True, "exact": True} if extension == "WEBP" else {}
    content = saved(Image.fromarray(RGB), extension, **options)
    assert np.array_equal(rgb(content), RGB)
    assert read_header(content) == Header(7, 5, grey=False)


@pytest.mark.parametrize("extension", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_grey_comes_back_as_it_was(extension):
    content = saved(Image.fromarray(GREY), extension)
    assert np.array_equal(grey(content), GREY)
    assert np.array_equal(rgb(content), np.dstack([GREY] * 3))
    assert read_header(content) == Header(7, 5, grey=True)


@pytest.mark.parametrize("extension", ["PNG", "TIFF", "BMP", "PPM"])
def test_one_bit_is_black_and_white(extension):
    content = saved(Image.fromarray(GREY > 127), extension)
    assert np.array_equal(grey(content), np.where(GREY > 127, 255, 0))
    assert read_header(content).grey


def test_grey_of_a_colour_picture_is_its_luma():
    expected = RGB.astype(int) @ [19595, 38470, 7471] + 0x8000 >> 16
    assert np.array_equal(grey(saved(Image.fromarray(RGB), "PNG")), expected)


@pytest.mark.parametrize("mode", ["RGBX", "YCbCr", "HSV", "CMYK"])
def test_colour_modes_become_the_rgb_that_they_stand_for(mode):
    image = Image.fromarray(RGB).convert(mode)
    assert np.array_equal(rgb(image), np.asarray(image.convert("RGB")))
    assert np.array_equal(grey(image), np.asarray(image.convert("RGB").convert("L")))
    assert not read_header(image).grey
    assert np.abs(rgb(image).astype(int) - RGB).max() <= (12 if mode == "HSV" else 3)


def test_cmyk_jpeg_of_adobe_is_not_inverted():
    image = Image.new("RGB", (16, 16), (200, 30, 60)).convert("CMYK")
    plain = saved(image, "JPEG", quality=95)
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
    assert adobe[2:9] in plain  # Pillow writes inverted CMYK with Adobe's marker
    assert np.abs(rgb(plain)[8, 8].astype(int) - [200, 30, 60]).max() <= 4


def test_lab_goes_through_its_colour_space():
    image = Image.fromarray(RGB).convert("LAB")
    assert np.abs(rgb(image).astype(int) - RGB).mean() < 12
    white = Image.new("LAB", (1, 1), (255, 128, 128))
    assert rgb(white).min() >= 254
    assert grey(Image.new("LAB", (1, 1), (0, 128, 128))).max() == 0
    transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
    assert np.array_equal(rgb(image), np.asarray(ImageCms.applyTransform(image, transform)))


def test_palette_colours_are_looked_up():
    image = Image.fromarray(GREY % 4).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7])
    expected = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]], np.uint8)[GREY % 4]
    for content in (
        image,
        saved(image, "PNG"),
        saved(image, "GIF"),
        saved(image, "TIFF"),
        saved(image, "BMP"),
    ):
        assert np.array_equal(rgb(content), expected)
        assert not read_header(content).grey


def test_a_palette_of_greys_is_grey():
    image = Image.fromarray(GREY % 2).convert("P")
    image.putpalette([10, 10, 10, 200, 200, 200])
    assert read_header(saved(image, "PNG")).grey
    assert np.array_equal(grey(saved(image, "PNG")), np.where(GREY % 2, 200, 10))


# Transparency


def test_alpha_is_laid_over_white():
    content = saved(Image.fromarray(np.dstack([RGB, ALPHA])), "PNG")
    assert np.array_equal(rgb(content), over_white(RGB, ALPHA))


def test_grey_alpha_is_laid_over_white():
    image = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)])
    assert np.array_equal(grey(saved(image, "PNG")), over_white(GREY, ALPHA))
    assert read_header(saved(image, "PNG")).grey


@pytest.mark.parametrize(("mode", "straight"), [("RGBa", "RGBA"), ("La", "LA")])
def test_premultiplied_alpha_gives_the_same_as_straight_alpha(mode, straight):
    image = Image.fromarray(np.dstack([RGB, ALPHA])).convert(straight)
    difference = rgb(image.convert(mode)).astype(int) - rgb(image)
    assert np.abs(difference).max() <= 1
    assert read_header(image.convert(mode)).grey == (mode == "La")


def test_palette_with_alpha_is_laid_over_white():
    image = Image.new("PA", (2, 1))
    image.putpalette([0, 0, 0, 200, 100, 0])
    image.putpixel((0, 0), (1, 255))
    image.putpixel((1, 0), (1, 0))
    assert rgb(image).tolist() == [[[200, 100, 0], [255, 255, 255]]]


def test_transparent_palette_entries_are_laid_over_white():
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    half = saved(image, "PNG", transparency=bytes([255, 0, 51]))
    assert rgb(half).tolist() == [[[255, 0, 0], [255, 255, 255], [204, 204, 255]]]
    for content in (saved(image, "PNG", transparency=1), saved(image, "GIF", transparency=1)):
        assert rgb(content).tolist() == [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]]


def test_the_transparent_colour_of_a_png_becomes_white():
    assert grey(saved(Image.fromarray(np.array([[5, 6]], np.uint8)), "PNG", transparency=5)).tolist() == [[255, 6]]
    assert grey(saved(Image.fromarray(np.array([[257, 514]], np.uint16)), "PNG", transparency=257)).tolist() == [
        [255, 2]
    ]
    colours = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    assert rgb(saved(colours, "PNG", transparency=(1, 2, 3))).tolist() == [[[255, 255, 255], [4, 5, 6]]]
    bits = png(2, 1, 1, 0, b"\0\x40", (b"tRNS", b"\0\0"))
    assert grey(bits).tolist() == [[255, 255]]


@pytest.mark.parametrize(("bits", "rows", "other"), [(2, b"\0\x60", 170), (4, b"\0\x12", 34)])
def test_the_transparent_colour_counts_before_the_samples_are_spread_to_8_bits(bits, rows, other):
    assert grey(png(2, 1, bits, 0, rows, (b"tRNS", b"\0\x01"))).tolist() == [[255, other]]


def test_the_transparent_colour_of_a_16_bit_rgb_png_becomes_white():
    rows = b"\0" + struct.pack(">6H", 300, 600, 900, 40000, 50000, 60000)
    content = png(2, 1, 16, 2, rows, (b"tRNS", struct.pack(">3H", 300, 600, 900)))
    assert rgb(content).tolist() == [[[255, 255, 255], [156, 195, 234]]]


# More than 8 bits


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I;16N", "I"])
def test_sixteen_bits_are_scaled_not_clipped_in_every_byte_order(mode):
    values = [0, 128, 129, 1000, 32768, 65535]
    image = Image.new(mode, (6, 1))
    for x, value in enumerate(values):
        image.putpixel((x, 0), value)
    expected = np.rint(np.array([values]) / 257)
    assert np.array_equal(grey(image), expected)
    assert np.array_equal(rgb(image), np.dstack([expected] * 3))
    assert read_header(image).grey


@pytest.mark.parametrize("extension", ["PNG", "TIFF"])
def test_sixteen_bit_files_are_scaled_not_clipped(extension):
    values = np.array([[0, 1000, 65535]], np.uint16)
    content = saved(Image.fromarray(values), extension)
    assert grey(content).tolist() == [[0, 4, 255]]
    assert read_header(content).grey


def test_sixteen_bit_pgm_is_scaled_by_its_own_maximum():
    assert grey(b"P5 3 1 65535\n" + struct.pack(">3H", 0, 1000, 65535)).tolist() == [[0, 4, 255]]
    assert grey(b"P5 2 1 1000\n" + struct.pack(">2H", 500, 1000)).tolist() == [[128, 255]]


def test_twelve_bit_tiff_has_its_own_white():
    entries = [(256, 3, 1, 2), (257, 3, 1, 1), (258, 3, 1, 12), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 3, 1, 1), (279, 4, 1, 3)]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    content = b"II*\0" + struct.pack("<I", 12) + b"\xff\xf8\x00\0"
    content += struct.pack("<H", len(entries)) + directory + b"\0\0\0\0"
    assert grey(content).tolist() == [[255, 128]]


def test_tiff_that_calls_zero_white_is_turned_round():
    content = saved(Image.fromarray(np.array([[0, 65535]], np.uint16)), "TIFF", tiffinfo={262: 0})
    assert grey(content).tolist() == [[255, 0]]


def test_integers_without_a_known_white_are_refused():
    for value in (-1, 65536):
        error = refusal(Image.new("I", (2, 2), value))
        assert error.reason == "no-scale"
        assert str(value) in error.message


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.0, 0.5, 1.0], [0, 128, 255]), ([0, 51, 254.6], [0, 51, 255]), ([0, 257, 65535], [0, 1, 255])],
)
def test_floats_have_the_smallest_white_that_holds_them(values, expected):
    image = Image.fromarray(np.array([values], np.float32))
    assert image.mode == "F"
    assert grey(image).tolist() == [expected]
    assert grey(saved(image, "TIFF")).tolist() == [expected]
    assert read_header(image).grey


@pytest.mark.parametrize("value", [-0.1, 65536.0, float("nan"), float("inf"), float("-inf")])
def test_floats_without_a_known_white_are_refused(value):
    assert refusal(Image.fromarray(np.array([[0.5, value]], np.float32))).reason == "no-scale"


# Orientation


def oriented(orientation: int) -> Image.Image:
    """The picture as a camera stores it: turned so that applying `orientation` gives RGB again."""
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    image = Image.fromarray(RGB)
    return image.transpose(Image.Transpose(undo[orientation])) if orientation in undo else image


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(orientation, extension):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True, "exact": True} if extension == "WEBP" else {}
    content = saved(oriented(orientation), extension, exif=exif, **options)
    assert np.array_equal(rgb(content), RGB)
    assert read_header(content)[:2] == (7, 5)
    with Image.open(io.BytesIO(content)) as image:
        assert read_header(image)[:2] == (7, 5)
        assert np.array_equal(rgb(image), RGB)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_a_jpeg_is_applied(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    content = saved(oriented(orientation), "JPEG", exif=exif, quality=100, subsampling=0)
    assert np.abs(rgb(content).astype(int) - RGB).max() < 8
    assert read_header(content)[:2] == (7, 5)
    with Image.open(io.BytesIO(content)) as image:
        assert np.array_equal(rgb(content), np.asarray(ImageOps.exif_transpose(image)))


def test_orientation_after_the_pixels_of_a_png_is_found():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    content = png(3, 1, 8, 0, b"\0abc", (b"eXIf", exif.tobytes()[6:]))
    assert decode(content, grey=True).size == (1, 3)
    assert read_header(content) == Header(1, 3, grey=True)


def test_a_decoded_picture_is_not_turned_a_second_time():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    once = decode(saved(oriented(6), "PNG", exif=exif), grey=False)
    assert np.array_equal(rgb(once), RGB)


@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0garbage" * 9])
def test_malformed_exif_costs_no_picture(exif):
    for extension in ("JPEG", "PNG", "WEBP"):
        content = saved(Image.fromarray(RGB), extension, exif=exif)
        assert rgb(content).shape == (5, 7, 3)
        assert read_header(content)[:2] == (7, 5)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_without_meaning_counts_as_none(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    assert np.array_equal(rgb(saved(Image.fromarray(RGB), "PNG", exif=exif)), RGB)


# Animations, sources


@pytest.mark.parametrize("extension", ["PNG", "GIF", "WEBP", "TIFF"])
def test_of_many_frames_the_first_counts(extension):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if extension == "WEBP" else {}
    content = saved(frames[0], extension, save_all=True, append_images=frames[1:], **options)
    assert rgb(content)[0, 0].tolist() == [255, 0, 0]


def test_every_kind_of_source_gives_the_same_pixels(tmp_path):
    path = tmp_path / "a picture with no extension"
    path.write_bytes(saved(Image.fromarray(RGB), "PNG"))
    content = path.read_bytes()
    with path.open("rb") as file, Image.open(path) as image:
        file.read(11)  # a file is read from its start
        for source in (path, str(path), content, bytearray(content), io.BytesIO(content), file, image, RGB):
            assert np.array_equal(rgb(source), RGB)
            assert read_header(source) == Header(7, 5, grey=False)
        assert not file.closed


def test_a_stream_that_cannot_seek_is_read():
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as file:
        file.write(saved(Image.fromarray(RGB), "PNG"))
    with os.fdopen(reading, "rb") as file:
        assert np.array_equal(rgb(file), RGB)


def test_arrays_are_pictures():
    assert np.array_equal(grey(GREY), GREY)
    assert np.array_equal(grey(GREY[:, :, None]), GREY)
    assert np.array_equal(rgb(RGB[:, ::-1]), RGB[:, ::-1])
    assert np.array_equal(rgb(np.dstack([RGB, ALPHA])), over_white(RGB, ALPHA))
    assert grey(np.array([[0, 1000, 65535]], np.uint16)).tolist() == [[0, 4, 255]]
    assert grey(np.array([[0, 1000, 65535]], ">u2")).tolist() == [[0, 4, 255]]
    for kind in (np.float16, np.float32, np.float64):
        assert grey(np.array([[0, 0.2, 1]], kind)).tolist() == [[0, 51, 255]]


@pytest.mark.parametrize("array", [np.full((2, 2), 1.5), np.full((2, 2), -0.1), np.full((2, 2), np.nan)])
def test_float_arrays_outside_0_to_1_are_refused(array):
    assert refusal(array).reason == "no-scale"


@pytest.mark.parametrize("array", [np.zeros((0, 3), np.uint8), np.zeros((3, 0, 3), np.uint8)])
def test_arrays_without_pixels_are_refused(array):
    assert refusal(array).reason == "empty"


@pytest.mark.parametrize(
    "source", [np.zeros(3, np.uint8), np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2), np.int64), None, 7]
)
def test_what_is_no_picture_at_all_is_a_wrong_request(source):
    with pytest.raises(RequestError, match=r"(?s)is no picture.*hint: give"):
        decode(source, grey=False)


def test_a_text_file_object_is_a_wrong_request():
    with pytest.raises(RequestError, match="opened with 'rb'"):
        decode(io.StringIO("text"), grey=False)


def test_the_callers_picture_is_left_as_it_was():
    image = Image.fromarray(RGB)
    image.info["transparency"] = (1, 2, 3)
    decoded = decode(image, grey=False)
    decoded.putpixel((0, 0), (9, 9, 9))
    assert image.info == {"transparency": (1, 2, 3)}
    assert np.array_equal(np.asarray(image), RGB)


# Refusals


def test_files_that_are_not_there_or_not_files_are_refused(tmp_path):
    assert refusal(tmp_path / "none.png").reason == "missing"
    (tmp_path / "dangling.png").symlink_to(tmp_path / "none.png")
    assert refusal(tmp_path / "dangling.png").reason == "missing"
    (tmp_path / "file").write_bytes(b"x")
    assert refusal(tmp_path / "file" / "below.png").reason == "missing"
    assert refusal("a\0b.png").reason == "missing"
    assert refusal(tmp_path).reason == "not-a-file"
    assert refusal("/dev/zero").reason == "not-a-file"
    assert refusal(tmp_path / ("n" * 300)).reason == "unreadable"


def test_a_fifo_or_socket_is_refused_without_waiting(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "fifo.png")
    assert refusal(tmp_path / "fifo.png").reason == "not-a-file"
    monkeypatch.chdir(tmp_path)  # a socket's name must be short
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("socket.png")
        assert refusal("socket.png").reason == "not-a-file"


def test_a_file_without_permission_is_unreadable(tmp_path, monkeypatch):
    path = tmp_path / "secret.png"
    path.write_bytes(saved(Image.fromarray(RGB), "PNG"))

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(module, "open_regular", forbidden)  # root may read everything
    error = refusal(path)
    assert (error.reason, str(error)) == ("unreadable", f"{path}: cannot be read: Permission denied")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html>", "not-a-picture"),
        (b"\0" * 100, "not-a-picture"),
        (b"\x89PNG\r\n\x1a\n and no more", "corrupt"),
        (b"P5 10 10 255\nshort", "truncated"),
        (b"P9", "not-a-picture"),
    ],
)
def test_bytes_that_are_no_picture_are_refused(content, reason, tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    assert refusal(content).reason == refusal(io.BytesIO(content)).reason == refusal(path).reason == reason
    assert refusal(path).picture == str(path)


@pytest.mark.parametrize("extension", ["JPEG", "PNG", "BMP", "TIFF", "PPM", "GIF", "WEBP"])
def test_a_file_cut_anywhere_is_decoded_or_refused(extension):
    content = saved(Image.fromarray(np.tile(RGB, (4, 4, 1))), extension)
    for length in range(0, len(content), 1 + len(content) // 97):
        result = outcome(content[:length])
        assert isinstance(result, Image.Image) or result in REASONS
    assert refusal(content[: len(content) // 2]).reason in {"truncated", "corrupt"}


def test_half_a_jpeg_is_truncated():
    content = saved(Image.fromarray(np.tile(RGB, (9, 9, 1))), "JPEG")
    assert refusal(content[: len(content) // 2]).reason == "truncated"


@pytest.mark.parametrize(("width", "height"), [(MOST + 1, 1), (9_400, 9_400), (12_000, 12_000), (60_000, 60_000)])
def test_a_bomb_is_refused_by_its_header(width, height):
    content = png(width, height, 8, 0, b"")
    assert refusal(content).reason == "too-large"
    with pytest.raises(RefusedPicture, match=r"more than 50,000,000|far more pixels than are taken"):
        read_header(content)


def test_a_bomb_costs_under_50_ms_and_20_mb(tmp_path):
    (tmp_path / "bomb.png").write_bytes(png(12_000, 12_000, 8, 2, bytes(12_000 * 12_000 * 3 // 8)))
    code = """
import resource, sys, time
from sevensteps.data.preprocessing import Preprocessing
from sevensteps.errors import RefusedPicture
taken = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
size = Preprocessing(3, 28, 28)
for path in (sys.argv[1], sys.argv[2]):
    before, started = taken(), time.perf_counter()
    try:
        size.read(path)
    except RefusedPicture as refused:
        print(refused.reason, time.perf_counter() - started, taken() - before)
"""
    (tmp_path / "first.png").write_bytes(b"")
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "first.png", tmp_path / "bomb.png"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    reason, seconds, kilobytes = done.stdout.splitlines()[1].split()
    assert reason == "too-large"
    assert float(seconds) < 0.05
    assert int(kilobytes) < 20_000


def test_how_many_pixels_are_too_many_can_be_said(monkeypatch):
    content = saved(Image.new("L", (1001, 1000)), "PNG")
    assert decode(content, grey=True).size == (1001, 1000)
    assert decode(content, grey=True, most=1_001_000).size == (1001, 1000)
    with pytest.raises(RefusedPicture, match="more than 1,000,000"):
        decode(content, grey=True, most=1_000_000)
    monkeypatch.setenv("SEVENSTEPS_MEGAPIXELS", "0.5")
    assert most_pixels() == most_pixels(16) == 500_000
    with pytest.raises(RefusedPicture, match="more than 500,000"):
        decode(content, grey=True)
    monkeypatch.setenv("SEVENSTEPS_MEGAPIXELS", "178")
    assert read_header(png(MOST + 1, 1, 8, 0, b"")).width == MOST + 1


@pytest.mark.parametrize("said", ["many", "0", "-1", "nan", "inf", "179"])
def test_a_wrong_number_of_pixels_is_told(monkeypatch, said):
    monkeypatch.setenv("SEVENSTEPS_MEGAPIXELS", said)
    with pytest.raises(RequestError, match=f"SEVENSTEPS_MEGAPIXELS is '{said}'"):
        decode(GREY, grey=True)


def test_a_picture_of_just_the_most_pixels_is_not_too_large():
    assert read_header(png(MOST, 1, 8, 0, b"")) == Header(MOST, 1, grey=True)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "too-large"),
        (RuntimeError("object at 0x7f00"), "corrupt"),
        (RecursionError(), "corrupt"),
        (EOFError(), "truncated"),
        (struct.error("unpack requires a buffer\nof 4 bytes"), "corrupt"),
        (zlib.error("-3"), "corrupt"),
        (OverflowError(), "corrupt"),
        (OSError(5, "Input/output error"), "unreadable"),
        (UserWarning("as an error"), "corrupt"),
        (Image.DecompressionBombError(), "too-large"),
    ],
)
def test_whatever_a_decoder_raises_becomes_a_refusal(error, reason):
    image = Image.new("RGB", (2, 2))

    def load() -> None:
        raise error

    image.load = load
    assert refusal(image).reason == reason


def test_a_name_that_would_break_the_line_is_escaped(tmp_path):
    assert "two\\nlines" in refusal(tmp_path / "two\nlines.png").picture
    assert "\\udcff" in refusal(os.fsdecode(b"\xff.png")).picture


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_and_never_crash(content):
    assert refusal(content).reason in {"empty", "not-a-picture", "corrupt", "truncated", "too-large"}


@given(st.data())
def test_a_file_with_broken_bytes_is_decoded_or_refused(data):
    extension = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM"]))
    content = bytearray(saved(Image.fromarray(RGB), extension))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    result = outcome(bytes(content))
    if isinstance(result, Image.Image):
        assert read_header(bytes(content))[:2] == result.size
    else:
        assert result in REASONS


# Warnings and state


def test_other_peoples_warnings_are_not_touched():
    content = saved(Image.fromarray(RGB), "PNG")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        decode(content, grey=False)
        warnings.warn("mine", UserWarning, stacklevel=1)
        decode(content, grey=False)
        assert len([entry for entry in warnings.filters if entry[2] is quiet._PillowWarning]) == 1
    assert [str(warning.message) for warning in seen] == ["mine"]


def test_only_the_thread_that_decodes_is_quiet():
    with quiet.quiet_pillow():
        warnings.warn("not heard", UserWarning, stacklevel=1)
        heard: list[Warning] = []

        def elsewhere() -> None:
            try:
                warnings.warn("heard", UserWarning, stacklevel=1)
            except UserWarning as warning:
                heard.append(warning)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert [str(warning) for warning in heard] == ["heard"]
    with pytest.warns(UserWarning, match="afterwards"):
        warnings.warn("afterwards", UserWarning, stacklevel=1)


def test_decoding_imports_no_torch():
    code = "import sys, sevensteps.data.decode; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Real files


def manifest(folder: Path) -> dict[str, str]:
    lines = (folder / "MANIFEST.tsv").read_text(encoding="utf-8").splitlines()[2:]
    return {line.split("\t")[0]: line.split("\t")[4] for line in lines}


DIFFERENT_ON_PURPOSE = {
    "made_here/bomb_12000x12000_grey8.png": "too-large",  # Pillow only warns
    "real/pillow__10ct_32bit_128.tiff": "no-scale",  # floats from -3.14 to 3.14
    "real/pillow__hopper.ico": "not-a-picture",  # not among the formats
}


def test_awkward_files_are_decoded_or_refused_and_nothing_else(awkward):
    files = manifest(awkward)
    assert len(files) > 180
    for name, verdict in files.items():
        result = outcome(awkward / name)
        if isinstance(result, Image.Image):
            assert "load OK" in verdict, name
            assert name not in DIFFERENT_ON_PURPOSE
            assert result.mode == "RGB"
            assert read_header(awkward / name)[:2] == result.size, name
            assert decode(awkward / name, grey=True).size == result.size, name
        else:
            assert result == DIFFERENT_ON_PURPOSE.get(name, result), name
            assert result in REASONS, name
            assert "LOAD FAILS" in verdict or name in DIFFERENT_ON_PURPOSE, name


GOLDEN = Path(__file__).parent / "awkward.tsv"


def described(path: Path) -> str:
    """A picture's size, kind and the mean colour of its four quarters; or why it is refused."""
    try:
        header, pixels = read_header(path), rgb(path).astype(float)
    except RefusedPicture as refused:
        return refused.reason
    middle, centre = (max(1, side // 2) for side in pixels.shape[:2])
    rows = (pixels[:middle], pixels[-middle:])
    quarters = [part.mean((0, 1)) for row in rows for part in (row[:, :centre], row[:, -centre:])]
    colours = " ".join(",".join(f"{level:.0f}" for level in quarter) for quarter in quarters)
    return f"{header.width}×{header.height} {'grey' if header.grey else 'colour'} {colours}"


@pytest.mark.slow
def test_all_191_awkward_files_give_their_pixels_or_their_refusal(awkward):
    """To agree to others: SEVENSTEPS_WRITE_GOLDEN=1 make quick, and read the difference."""
    found = {name: described(awkward / name) for name in sorted(manifest(awkward))}
    if os.environ.get("SEVENSTEPS_WRITE_GOLDEN"):
        GOLDEN.write_text("".join(f"{name}\t{what}\n" for name, what in found.items()), "utf-8")
    golden = dict(line.split("\t") for line in GOLDEN.read_text("utf-8").splitlines())
    assert len(found) == 191
    assert found.keys() == golden.keys()
    for name, what in found.items():
        words, expected = what.split(), golden[name].split()
        assert words[:2] == expected[:2], name
        levels = [[int(level) for colour in it[2:] for level in colour.split(",")] for it in (words, expected)]
        assert np.allclose(*levels, atol=1), name  # other builds of the decoders may round otherwise


def test_the_eight_orientations_of_a_photo_give_nearly_the_same_pixels(awkward):
    # The orientation's digit is written in the middle of each picture, and the median does not see it.
    first = rgb(awkward / "real" / "exif__Landscape_1.jpg").astype(int)
    for orientation in range(2, 9):
        other = rgb(awkward / "real" / f"exif__Landscape_{orientation}.jpg")
        difference = np.abs(other - first)
        assert other.shape == (1200, 1800, 3)
        assert difference.mean() < 4, orientation
        assert np.median(difference) <= 3, orientation


@pytest.mark.parametrize("name", ["tbbn0g04", "tbbn2c16", "tbrn2c08", "tbwn0g16", "tbwn3p08"])
def test_the_transparent_surroundings_of_a_cube_are_white(awkward, name):
    pixels = rgb(awkward / "real" / f"pngsuite__{name}.png")
    assert pixels[0, 0].tolist() == pixels[0, 31].tolist() == [255, 255, 255]
    assert pixels[16, 16].max() < 200
