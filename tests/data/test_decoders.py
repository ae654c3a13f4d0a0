from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sevensteps.data import decoders
from sevensteps.data.decode import Header
from sevensteps.data.decoders import decode_all, from_status
from sevensteps.data.preprocessing import Preprocessing
from sevensteps.errors import RefusedPicture

SIZE = Preprocessing(3, 10, 12)


def pictures(folder: Path, count: int) -> list[str]:
    rng = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(folder / f"{number:04}.png")
    return [str(folder / f"{number:04}.png") for number in range(count)]


def all_of(paths, preprocessing=SIZE):
    sizes = [Path(path).stat().st_size if Path(path).exists() else -1 for path in paths]
    statuses, rows = [None] * len(paths), [b""] * len(paths)
    for first, decoded, pixels in decode_all(paths, sizes, preprocessing):
        length = len(pixels) // len(decoded)
        for number, status in enumerate(decoded):
            statuses[first + number] = status
            rows[first + number] = pixels[number * length : (number + 1) * length]
    return statuses, rows


def test_the_pixels_are_those_of_the_one_preprocessing(tmp_path):
    paths = pictures(tmp_path, 600)
    statuses, rows = all_of(paths)
    assert statuses == [Header(24, 20, False)] * 600
    assert rows == [SIZE.pixels(path).numpy().tobytes() for path in paths]


def test_without_a_size_only_the_headers_are_read(tmp_path):
    statuses, rows = all_of([*pictures(tmp_path, 3), str(tmp_path / "none.png")], None)
    assert statuses[:3] == [Header(24, 20, False)] * 3
    assert statuses[3].reason == "missing"
    assert rows == [b""] * 4


def test_every_awkward_file_becomes_what_it_becomes_here(awkward):
    paths = sorted(str(path) for path in awkward.rglob("*") if path.is_file())
    statuses, rows = all_of(paths)
    for path, status, row in zip(paths, statuses, rows, strict=True):
        try:
            expected, pixels = SIZE.read(path)
        except RefusedPicture as refused:
            expected, pixels = refused, np.zeros(360, np.uint8)
        assert from_status(status) == from_status(expected)
        assert row == pixels.tobytes()


@pytest.mark.parametrize("name", ["new\nline.png", "ü 花.png", os.fsdecode(b"\xff.png"), '"quoted".png'])
def test_any_name_comes_through(tmp_path, name):
    Image.new("L", (5, 5)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / name)
    assert all_of([str(tmp_path / name)])[0] == [Header(5, 5, True)]


def test_jobs_are_neither_too_many_pictures_nor_too_many_bytes():
    large = decoders.CHUNK_BYTES
    assert decoders._chunks([]) == []
    assert decoders._chunks([1] * 300) == [(0, 256), (256, 300)]
    assert decoders._chunks([large, 1, 1, large, 5 * large]) == [(0, 1), (1, 3), (3, 4), (4, 5)]


@pytest.mark.parametrize("size", [SIZE, Preprocessing(3, 200, 200)])
def test_many_pictures_with_long_names_do_not_fill_the_pipes(tmp_path, size):
    folder = tmp_path / "写" / ("x" * 200)
    folder.mkdir(parents=True)
    Image.new("RGB", (24, 20)).save(folder / "0.png")
    paths = [str(folder / "0.png")]
    for number in range(1, 900):
        paths.append(str(folder / f"{number}{'写' * 70}.png"))
        os.link(paths[0], paths[-1])
    statuses, _ = all_of(paths, size)
    assert statuses == [Header(24, 20, False)] * 900


def test_a_job_has_not_too_many_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(decoders, "CHUNK_PIXELS", 1000)
    paths = pictures(tmp_path, 5)
    sizes = [Path(path).stat().st_size for path in paths]
    assert max(len(statuses) for _, statuses, _ in decode_all(paths, sizes, SIZE)) == 2
    assert len(list(decode_all(paths, sizes, Preprocessing(3, 100, 100)))) == 5


def sabotaged(monkeypatch, tmp_path, what: str) -> None:
    """Decoders that do `what` when they meet a file called bad.png."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "sitecustomize.py").write_text(
        "import os, signal, time, PIL.Image\n"
        "real = PIL.Image.open\n"
        "def sabotage(fp, *a, **k):\n"
        "    image = real(fp, *a, **k)\n"
        f"    if image.size == (7, 7): {what}\n"
        "    return image\n"
        "PIL.Image.open = sabotage\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "code"))
    monkeypatch.setattr(decoders._Decoder, "resting", [])


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed"),
        ("os._exit(3)", "crashed"),
        ("os.kill(os.getpid(), signal.SIGALRM)", "too-slow"),
    ],
)
def test_a_picture_that_ends_its_decoder_is_one_refused_picture(tmp_path, monkeypatch, what, reason):
    paths = pictures(tmp_path, 10)
    Image.new("L", (7, 7)).save(paths[4])
    sabotaged(monkeypatch, tmp_path, what)
    statuses, rows = all_of(paths)
    assert [getattr(status, "reason", "good") for status in statuses] == ["good"] * 4 + [reason] + ["good"] * 5
    assert rows[4] == bytes(360)
    assert rows[5] == SIZE.pixels(paths[5]).numpy().tobytes()
    for decoder in decoders._Decoder.resting:
        decoder.end()


@pytest.mark.slow
def test_a_picture_that_never_ends_is_refused(tmp_path, monkeypatch):
    paths = pictures(tmp_path, 3)
    Image.new("L", (7, 7)).save(paths[1])
    sabotaged(monkeypatch, tmp_path, "time.sleep(1000)")
    statuses, _ = all_of(paths)
    assert [getattr(status, "reason", "good") for status in statuses] == ["good", "too-slow", "good"]
    assert "took more than 5 seconds" in statuses[1].message
    for decoder in decoders._Decoder.resting:
        decoder.end()


def test_decoders_are_used_again_and_those_that_died_are_not(tmp_path):
    paths = pictures(tmp_path, 2)
    all_of(paths)
    first = decoders._Decoder.resting[-1].process.pid
    all_of(paths)
    assert decoders._Decoder.resting[-1].process.pid == first
    for decoder in decoders._Decoder.resting:
        os.kill(decoder.process.pid, signal.SIGKILL)
        decoder.process.wait()
    assert all_of(paths)[0] == [Header(24, 20, False)] * 2


def test_who_stops_listening_leaves_no_decoder_with_work(tmp_path):
    paths = pictures(tmp_path, 300)
    for _ in decode_all(paths, [Path(path).stat().st_size for path in paths], SIZE):
        break
    assert all_of(paths[:2])[0] == [Header(24, 20, False)] * 2


def test_a_decoder_takes_no_more_memory_than_it_may():
    code = "from sevensteps.data.decoders import MEMORY, limit_memory; limit_memory(); bytearray(MEMORY)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "MemoryError"
