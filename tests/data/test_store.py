from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sevensteps.data import pixels as reading
from sevensteps.data import store, stores
from sevensteps.data.decode import Header
from sevensteps.data.pixels import read_pixels
from sevensteps.data.preprocessing import Preprocessing
from sevensteps.data.stores import stores_folder
from sevensteps.errors import RefusedPicture

GREY = Preprocessing(1, 8, 8)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The pictures that were decoded, in the order in which they were asked for."""
    asked: list[str] = []
    real = reading.decode_all

    def listening(paths, sizes, preprocessing=None):
        if preprocessing:
            asked.extend(Path(path).name for path in paths)
        return real(paths, sizes, preprocessing)

    monkeypatch.setattr(reading, "decode_all", listening)
    return asked


def pictures(folder: Path, count: int = 5) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("L", (8, 8), number).save(folder / f"{number}.png")
    return [str(folder / f"{number}.png") for number in range(count)]


def values(pixels: store.Pixels) -> list[int]:
    return pixels.array[:, 0, 0, 0].tolist()


def files() -> list[Path]:
    return sorted(stores_folder().glob("*.pixels"))


def test_a_second_reading_decodes_no_picture(tmp_path, decoded):
    paths = pictures(tmp_path / "data")
    for expected in ([f"{n}.png" for n in range(5)], []):
        decoded.clear()
        read = read_pixels("data", paths)
        assert values(read) == [0, 1, 2, 3, 4]
        assert read.statuses == [Header(8, 8, True)] * 5
        assert (read.preprocessing, read.note) == (GREY, "")
        assert decoded == expected


def test_only_what_has_changed_is_decoded_again(tmp_path, decoded):
    paths = pictures(tmp_path / "data")
    read_pixels("data", paths)
    decoded.clear()
    Image.new("L", (8, 8), 99).save(paths[1])
    os.utime(paths[1], ns=(1, 1))
    Image.new("L", (8, 8), 50).save(tmp_path / "data" / "new.png")
    wanted = [str(tmp_path / "data" / "new.png"), *paths[:2], paths[4]]
    assert values(read_pixels("data", wanted)) == [50, 0, 99, 4]
    assert decoded == ["new.png", "1.png"]
    assert len(files()) == 1


def test_a_picture_of_another_size_may_change_the_size_of_all(tmp_path, decoded):
    paths = pictures(tmp_path / "data")
    read_pixels("data", paths)
    for number in range(5, 12):
        paths.append(str(tmp_path / "data" / f"{number}.png"))
        Image.new("RGB", (20, 30), (number,) * 3).save(paths[-1])
    read = read_pixels("data", paths)
    assert read.preprocessing == Preprocessing(3, 20, 20)
    assert values(read) == list(range(12))


def test_a_size_that_the_sample_did_not_show_is_found_out(tmp_path, decoded):
    """Of 200 pictures every third header is looked at first; what fits all is decided by all."""
    paths = pictures(tmp_path / "data", 200)
    Image.new("L", (9, 9), 7).save(paths[100])
    read = read_pixels("data", paths)
    assert read.preprocessing == GREY
    Image.new("RGB", (8, 8), (7, 7, 7)).save(paths[100])
    read = read_pixels("other", paths)
    assert read.preprocessing == Preprocessing(3, 8, 8)


def test_pictures_that_have_no_say_do_not_choose_the_size(tmp_path):
    paths = pictures(tmp_path / "data")
    Image.new("RGB", (30, 30)).save(paths[4])
    assert read_pixels("data", paths, choosing=range(4)).preprocessing == GREY


def test_the_size_that_fits_serves_those_who_ask_for_it(tmp_path, decoded):
    paths = pictures(tmp_path / "data")
    read_pixels("data", paths)
    decoded.clear()
    assert values(read_pixels("data", paths, GREY)) == [0, 1, 2, 3, 4]
    assert decoded == []
    assert read_pixels("data", paths, Preprocessing(3, 4, 4)).array.shape == (5, 3, 4, 4)
    assert len(decoded) == 5


def test_refused_pictures_are_kept_as_such(tmp_path, decoded):
    paths = pictures(tmp_path / "data")
    Path(paths[2]).write_bytes(b"no picture")
    Path(paths[3]).unlink()
    for _ in range(2):
        statuses = read_pixels("data", paths).statuses
        told = [status.reason for status in statuses if isinstance(status, RefusedPicture)]
        assert told == ["not-a-picture", "missing"]
    assert len(decoded) == 5


def test_nothing_to_read_is_nothing_read():
    assert read_pixels("data", []).array.shape == (0, 1, 28, 28)


@pytest.mark.parametrize("part", ["pixels", "table", "end"])
def test_a_changed_byte_is_found_and_the_store_is_made_again(tmp_path, decoded, part):
    paths = pictures(tmp_path / "data")
    read_pixels("data", paths)
    decoded.clear()
    [file] = files()
    content = bytearray(file.read_bytes())
    content[{"pixels": 70, "table": 5 * 64 + 9, "end": len(content) - 3}[part]] ^= 1
    file.write_bytes(content)
    assert values(read_pixels("data", paths)) == [0, 1, 2, 3, 4]
    assert len(decoded) == 5


@pytest.mark.parametrize("length", [0, 5, 200, -1])
def test_a_store_that_was_cut_short_is_made_again(tmp_path, decoded, length):
    paths = pictures(tmp_path / "data")
    read_pixels("data", paths)
    [file] = files()
    os.truncate(file, length % file.stat().st_size)
    assert values(read_pixels("data", paths)) == [0, 1, 2, 3, 4]
    assert len(decoded) == 10


def test_a_store_of_another_decoder_does_not_serve(tmp_path, decoded, monkeypatch):
    paths = pictures(tmp_path / "data")
    read_pixels("data", paths)
    monkeypatch.setattr(store, "DECODER", store.DECODER + 1)
    read_pixels("data", paths)
    assert len(decoded) == 10


def test_what_was_too_large_is_looked_at_again_where_more_is_allowed(tmp_path, decoded, monkeypatch):
    paths = pictures(tmp_path / "data")
    monkeypatch.setenv("SEVENSTEPS_MEGAPIXELS", "0.00001")
    assert {status.reason for status in read_pixels("data", paths).statuses} == {"too-large"}
    monkeypatch.delenv("SEVENSTEPS_MEGAPIXELS")
    assert values(read_pixels("data", paths)) == [0, 1, 2, 3, 4]


def test_what_was_given_stays_when_the_store_is_made_again(tmp_path):
    paths = pictures(tmp_path / "data")
    before = read_pixels("data", paths)
    before.array[0] = 77  # a user's change is the user's own
    for path in paths:
        Image.new("L", (8, 8), 200).save(path)
        os.utime(path, ns=(1, 1))
    assert values(read_pixels("data", paths)) == [200] * 5
    assert values(before) == [77, 1, 2, 3, 4]


def test_the_stores_that_were_not_used_for_longest_make_room(tmp_path, monkeypatch):
    paths = pictures(tmp_path / "data")
    for name in ("a", "b"):
        read_pixels(name, paths)
    read_pixels("a", paths)  # used again
    size = files()[0].stat().st_size
    monkeypatch.setenv("SEVENSTEPS_CACHE_GB", str((2 * size + 100) / 1e9))
    monkeypatch.setattr(stores, "SPARE_BYTES", 0)
    before = set(files())
    read_pixels("c", paths)
    assert len(files()) == 2
    assert len(before & set(files())) == 1


@pytest.mark.parametrize("trouble", ["budget", "disk", "folder"])
def test_where_there_is_no_room_the_pixels_are_in_memory_only_and_that_is_said(tmp_path, monkeypatch, trouble):
    paths = pictures(tmp_path / "data")
    if trouble == "budget":
        monkeypatch.setenv("SEVENSTEPS_CACHE_GB", "0")
    elif trouble == "disk":
        monkeypatch.setattr(stores, "SPARE_BYTES", 1 << 60)
    else:
        (tmp_path / "cache").write_text("a file in the way")
    read = read_pixels("data", paths)
    assert values(read) == [0, 1, 2, 3, 4]
    assert read.note.startswith("the decoded pictures are not kept for the next time: ")
    assert not (tmp_path / "cache" / "pixels").is_dir() or not files()


def test_a_disk_that_fills_up_meanwhile_costs_nothing_but_the_store(tmp_path, monkeypatch):
    paths = pictures(tmp_path / "data")
    real, calls = reading.write_at, []

    def full(descriptor, content, start):
        calls.append(start)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")
        real(descriptor, content, start)

    monkeypatch.setattr(reading, "write_at", full)
    read = read_pixels("data", paths)
    assert values(read) == [0, 1, 2, 3, 4]
    assert "No space left on device" in read.note
    assert list(stores_folder().glob("*.tmp")) == list(stores_folder().glob(".*.tmp")) == files() == []


def test_leftovers_of_a_killed_process_are_removed(tmp_path):
    paths = pictures(tmp_path / "data")
    read_pixels("data", paths)
    [file] = files()
    leftover = file.with_name(f".{file.name}.abc.tmp")
    leftover.write_bytes(b"x")
    file.unlink()
    read_pixels("data", paths)
    assert not leftover.exists()


def test_two_readings_at_once_decode_once(tmp_path, decoded, monkeypatch):
    paths = pictures(tmp_path / "data", 40)
    told: list[tuple[str, int, int]] = []
    real = reading._decode

    def slow(*arguments):
        statuses = real(*arguments)
        time.sleep(0.3)
        return statuses

    monkeypatch.setattr(reading, "_decode", slow)
    results: list[store.Pixels] = []
    threads = [
        threading.Thread(
            target=lambda: results.append(read_pixels("data", paths, progress=lambda *now: told.append(now)))
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(results[0].array, results[1].array)
    assert len(decoded) == 40
    assert len(told) > 3  # the one that waits tells how far the other is
    assert set(told) == {("reading pictures", 40, 40)}


def test_it_needs_no_torch(tmp_path):
    pictures(tmp_path / "data" / "a")
    pictures(tmp_path / "data" / "b")
    code = (
        "import sys; from sevensteps.data.sources import read_source; read_source(sys.argv[1]);"
        "print(sorted({'torch', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_of_200_flipped_bits_and_50_cuts_each_is_found_and_the_store_made_again(tmp_path, decoded):
    paths = pictures(tmp_path / "data", 20)
    expected = read_pixels("data", paths)
    [file] = files()
    whole, draws = file.read_bytes(), random.Random(0)
    places = [draws.randrange(len(whole)) for _ in range(120)]
    places += [len(whole) - 1 - place for place in range(80)]  # the end, which says how long all is, bit by bit
    damaged = []
    for place in places:
        content = bytearray(whole)
        content[place] ^= 1 << draws.randrange(8)
        damaged.append(bytes(content))
    damaged += [whole[: draws.randrange(len(whole))] for _ in range(50)]
    for content in damaged:
        file.write_bytes(content)
        decoded.clear()
        found = read_pixels("data", paths)
        assert len(decoded) == 20
        assert np.array_equal(found.array, expected.array)
        assert found.statuses == expected.statuses
        assert file.read_bytes() == whole
