"""What strangers may bring, damaged in every way: it is read, or refused with an error of ours, and soon.

`make fuzz` tries more, and others each time.
"""
# ruff: noqa: PT017 - either is right here, and it is told which was found

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sevensteps.data import archive
from sevensteps.data.archive import unpack
from sevensteps.data.csv_labels import list_csv
from sevensteps.data.decode import decode, read_header
from sevensteps.data.idx import read_idx
from sevensteps.data.preprocessing import Preprocessing
from sevensteps.errors import DataError, DownloadError, ModelFolderError, RefusedPicture, RequestError
from sevensteps.models import networks
from sevensteps.models.model_folder import CONFIG, WEIGHTS, ModelFolder
from sevensteps.training.run_folder import RunFolder

MORE = int(os.environ.get("SEVENSTEPS_FUZZ", "1"))  # times as many tries, and others each time
REASONS = {"empty", "not-a-picture", "truncated", "corrupt", "too-large", "no-scale"}
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

pytestmark = pytest.mark.slow  # all of it: `make fuzz` does fifty times as much


def tries(count: int) -> settings:
    """So many mutants; the same ones each time, unless more are asked for."""
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=count * MORE, derandomize=MORE == 1, deadline=None, suppress_health_check=checks)


damage = st.lists(
    st.tuples(
        st.sampled_from(["flip", "byte", "big", "little", "drop", "again", "insert", "cut"]),
        st.floats(0, 1, exclude_max=True),
        st.one_of(st.sampled_from(EXTREMES), st.integers(0, 2**32 - 1)),
    ),
    min_size=1,
    max_size=6,
)


def damaged(content: bytes, edits: list[tuple[str, float, int]]) -> bytes:
    """`content` after some edits: what kind, how far in, and with which value."""
    for kind, far, value in edits:
        place, span = int(far * len(content)), 1 + value % 64
        before, after = content[:place], content[place:]
        match kind:
            case "flip":
                content = before + bytes(byte ^ (1 << value % 8) for byte in after[:1]) + after[1:]
            case "byte":
                content = before + bytes([value & 255]) + after[1:]
            case "big" | "little":
                content = before + value.to_bytes(4, kind) + after[4:]
            case "drop":
                content = before + after[span:]
            case "again":
                content = before + after[:span] + after
            case "insert":
                content = before + value.to_bytes(4, "big") * span + after
            case "cut":
                content = before
    return content


@contextmanager
def soon(seconds: float) -> Iterator[None]:
    started = time.thread_time()  # of our own: others may hold us up
    yield
    assert time.thread_time() - started < seconds


def pictures() -> dict[str, bytes]:
    """A small picture in each format, and in what the formats have besides."""
    colour = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8))
    grey, alpha = colour.convert("L"), colour.convert("RGBA")
    exif = Image.Exif()
    exif[0x0112] = 6
    several: dict[str, Any] = {"save_all": True, "append_images": [grey.convert("RGB")]}
    made: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("JPEG", colour, {"exif": exif}), ("JPEG", colour.convert("CMYK"), {}), ("JPEG", grey, {"progressive": True}),
        ("MPO", colour, several), ("PNG", alpha, {}), ("PNG", colour.convert("P"), {"transparency": 3}),
        ("PNG", grey.convert("I;16"), {}), ("PNG", colour, several), ("WEBP", colour, {}),
        ("WEBP", alpha, {"lossless": True}), ("WEBP", colour, several), ("GIF", colour.convert("P"), several),
        ("BMP", colour, {}), ("BMP", grey.convert("1"), {}), ("TIFF", colour, {"compression": "tiff_lzw"}),
        ("TIFF", colour, {"compression": "jpeg"}), ("TIFF", grey.convert("1"), {"compression": "group4"}),
        ("TIFF", grey.convert("F"), {}), ("TIFF", colour.convert("CMYK"), {"compression": "tiff_adobe_deflate"}),
        ("PPM", colour, {}), ("PPM", grey.convert("1"), {}), ("PPM", grey.convert("I;16"), {}),
    ]  # fmt: skip
    found = {}
    for number, (kind, image, options) in enumerate(made):
        file = io.BytesIO()
        image.save(file, kind, **options)
        found[f"{kind}-{number}"] = file.getvalue()
    return found


PICTURES = pictures()


@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_are_good_before_they_are_damaged(name: str) -> None:
    assert decode(PICTURES[name], grey=False).size in ((12, 9), (9, 12))


@tries(1200)
@given(st.sampled_from(sorted(PICTURES)), damage)
def test_a_damaged_picture_is_decoded_or_refused(name: str, edits: list[tuple[str, float, int]]) -> None:
    content = damaged(PICTURES[name], edits)
    with soon(5):
        try:
            header = read_header(content, most=4_000_000)
            image = decode(content, grey=False, most=4_000_000)
        except RefusedPicture as refused:
            assert refused.reason in REASONS
            assert len(refused.message) < 200
            assert refused.message.isprintable()
        else:
            assert image.mode == "RGB"
            assert image.width * image.height <= 4_000_000
            assert {header.width, header.height} == set(image.size)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = networks.create("convnet", (1, 8, 8), 3)
    return ModelFolder(network, ["a", "b", "ü"], Preprocessing(1, 8, 8)).save(tmp_path_factory.mktemp("a") / "model")


def load(folder: Path) -> None:
    with soon(1):
        try:
            ModelFolder.load(folder)
        except ModelFolderError as error:
            assert len(str(error)) < 2000


@tries(300)
@given(damage, st.booleans())
def test_damaged_weights_are_loaded_or_refused(model: Path, edits: list[tuple[str, float, int]], head: bool) -> None:
    content = (model / WEIGHTS).read_bytes()
    length = 8 + int.from_bytes(content[:8], "little") if head else len(content)
    try:
        (model / WEIGHTS).write_bytes(damaged(content[:length], edits) + content[length:])
        load(model)
    finally:
        (model / WEIGHTS).write_bytes(content)


@tries(300)
@given(damage)
def test_a_damaged_configuration_is_loaded_or_refused(model: Path, edits: list[tuple[str, float, int]]) -> None:
    content = (model / CONFIG).read_bytes()
    try:
        (model / CONFIG).write_bytes(damaged(content, edits))
        load(model)
    finally:
        (model / CONFIG).write_bytes(content)


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=300) | st.integers()
    | st.sampled_from([0, -1, 2**31, 2**63, 10**30, "x" * 9_000, "../../etc", "linear", "mlp", "resnet18"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value inside of a JSON value."""
    yield from [way] if way else []
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*way, key))


@tries(400)
@given(st.integers(0, 10**6), values)
def test_a_configuration_with_other_values_is_loaded_or_refused(model: Path, number: int, value: Any) -> None:
    content = (model / CONFIG).read_text("utf-8")
    config = json.loads(content)
    ways = list(places(config))
    way = ways[number % len(ways)]
    inside = config
    for key in way[:-1]:
        inside = inside[key]
    inside[way[-1]] = value
    try:
        (model / CONFIG).write_text(json.dumps(config), "utf-8")
        load(model)
    finally:
        (model / CONFIG).write_text(content, "utf-8")


@tries(300)
@given(damage, st.sampled_from(["path,label,split", "fname;label;is_valid", "name\tlabel"]))
def test_a_damaged_csv_is_read_or_refused(tmp_path: Path, edits: list[tuple[str, float, int]], head: str) -> None:
    (tmp_path / "a.png").write_bytes(PICTURES["PNG-4"])
    separator = head[head.index("label") - 1]
    rows = [("a.png", "cat", "train"), ("b.png", '"a\nb"', "valid"), ("", "", ""), ("../a.png", "=1", "test")]
    text = "\n".join([head, *(separator.join(row[: head.count(separator) + 1]) for row in rows), ""])
    (tmp_path / "labels.csv").write_bytes(damaged(text.encode(), edits))
    with soon(1):
        try:
            listing = list_csv(tmp_path / "labels.csv")
        except DataError as error:
            assert error.hint
        else:
            assert set(listing.splits) <= {"train", "valid", "test"}


@tries(200)
@given(damage)
def test_damaged_options_of_a_run_are_read_or_refused(tmp_path: Path, edits: list[tuple[str, float, int]]) -> None:
    run = RunFolder(tmp_path)
    run.write_config({"data": "digits", "epochs": 3, "lr": 0.1, "seed": 0, "recipe": {"epochs": 3}})
    path = tmp_path / "config.toml"
    path.write_bytes(damaged(path.read_bytes(), edits))
    try:
        assert isinstance(run.read_config(), dict)
    except RequestError as error:
        assert "config.toml" in error.message


@tries(300)
@given(damage, st.booleans())
def test_a_damaged_idx_file_is_read_or_refused(
    tmp_path: Path, edits: list[tuple[str, float, int]], packed: bool
) -> None:
    content = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, *range(24)])
    path = tmp_path / ("train-images-idx3-ubyte" + (".gz" if packed else ""))
    path.write_bytes(damaged(gzip.compress(content, mtime=0) if packed else content, edits))
    with soon(1):
        try:
            assert read_idx(path).nbytes < 10_000_000
        except DataError as error:
            assert str(path) in error.message


def archives() -> dict[str, bytes]:
    """The same two files in each kind of archive."""
    found = {}
    for kind in ("", "gz", "bz2", "xz"):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode=f"w:{kind}") as tar:
            for name in ("a/b.txt", "a/c.txt"):
                member = tarfile.TarInfo(name)
                member.size = 300
                tar.addfile(member, io.BytesIO(b"hello world " * 25))
        found[f"tar.{kind}".rstrip(".")] = file.getvalue()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name in ("a/b.txt", "a/c.txt"):
            zipped.writestr(name, "hello world " * 25)
    return found | {"zip": file.getvalue()}


ARCHIVES = archives()


@tries(400)
@given(st.sampled_from(sorted(ARCHIVES)), damage, st.integers(0, 2**32))
def test_a_damaged_archive_is_unpacked_or_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, edits: list[tuple[str, float, int]], number: int
) -> None:
    monkeypatch.setattr(archive, "flush_disks", lambda: None)
    place = tmp_path / f"{number}-{time.monotonic_ns()}"
    place.mkdir()
    (place / f"data.{name}").write_bytes(damaged(ARCHIVES[name], edits))
    with soon(2):
        try:
            unpack(place / f"data.{name}", place / "out")
        except DownloadError:
            assert [path.name for path in place.iterdir()] == [f"data.{name}"]
        else:
            assert sum(path.stat().st_size for path in (place / "out").rglob("*")) < 1_000_000
            assert {path.name for path in place.iterdir()} == {f"data.{name}", "out"}
