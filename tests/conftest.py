"""Where the tests find real data; without it a test is skipped, and says how to get it."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of the tests' own: what they read is kept from nobody and left nowhere."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("SEVENSTEPS_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real test data: `$SEVENSTEPS_TEST_DATA`, or `shared/data` beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SEVENSTEPS_TEST_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(
            f"no folder of test data at {folder}: name one with SEVENSTEPS_TEST_DATA that holds "
            "awkward.tar, flowers_small.tar, mnist_sample.tgz and mnist/"
        )
    return folder


@pytest.fixture(scope="session")
def awkward(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """191 awkward files, and what Pillow makes of each in MANIFEST.tsv."""
    return _unpacked(shared_data / "awkward.tar", tmp_path_factory) / "awkward"


@pytest.fixture(scope="session")
def flowers(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """525 photographs of flowers, in `train/<class>` and `valid/<class>`."""
    return _unpacked(shared_data / "flowers_small.tar", tmp_path_factory) / "flowers_small"


@pytest.fixture(scope="session")
def mnist_sample(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 3s and 7s of MNIST as PNG files, in `train/{3,7}` and `valid/{3,7}`, and labels.csv."""
    return _unpacked(shared_data / "mnist_sample.tgz", tmp_path_factory) / "mnist_sample"


@pytest.fixture(scope="session")
def mnist(shared_data: Path) -> Path:
    """The folder of the four IDX files of the full MNIST."""
    return _there(shared_data / "mnist")


def _unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(_there(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def _there(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path.name} is missing from the folder of test data ({path.parent}): put it there")
    return path
