"""Datasets by name: from their publishers into the cache, checked byte by byte.

Comes in: a name. Goes out: a folder that a loader understands, its `layout` telling which: "idx" for
`idx.load_idx`, "cifar" for `cifar.read_cifar10`, "folders" for split folders with a folder for each class.
Every size and digest is a published one; its source stands beside it. `digits` needs no network at all.
"""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..files import cache_folder, lock_file, make_folder, move, remove, remove_folder, storage_errors
from .archive import unpack
from .download import Progress, download, is_whole

Layout = Literal["idx", "folders", "cifar"]


@dataclass(frozen=True)
class RemoteFile:
    """A file as its publisher offers it: mirrors in order, size in bytes, "sha256:…"."""

    name: str
    urls: tuple[str, ...]
    size: int
    digest: str


@dataclass(frozen=True)
class Dataset:
    """A dataset that `fetch` knows: IDX files, or one archive with the top folder `folder`."""

    name: str
    description: str
    layout: Layout
    origin: str  # who made it; the licence
    files: tuple[RemoteFile, ...]
    folder: str = ""
    classes: tuple[str, ...] = ()  # names by label, where the files themselves have only numbers

    @property
    def size(self) -> int:
        """What there is to download, in bytes."""
        return sum(file.size for file in self.files)


def _files(published: str, *mirrors: str) -> tuple[RemoteFile, ...]:
    rows = (line.split() for line in published.strip().splitlines())
    return tuple(
        RemoteFile(name, tuple(mirror + name for mirror in mirrors), int(size), f"sha256:{digest}")
        for size, digest, name in rows
    )


# Bytes, SHA-256 and name, from tensorflow/datasets, tensorflow_datasets/url_checksums/mnist.txt
MNIST_FILES = """
9912422 440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609 train-images-idx3-ubyte.gz
28881 3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c train-labels-idx1-ubyte.gz
1648877 8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6 t10k-images-idx3-ubyte.gz
4542 f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6 t10k-labels-idx1-ubyte.gz
"""
# the same, from url_checksums/fashion_mnist.txt
FASHION_FILES = """
26421880 3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84 train-images-idx3-ubyte.gz
29515 a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845 train-labels-idx1-ubyte.gz
4422102 346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073 t10k-images-idx3-ubyte.gz
5148 67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5 t10k-labels-idx1-ubyte.gz
"""
MNIST = Dataset(
    "mnist",
    "handwritten digits, 60,000 train and 10,000 test, 28×28 grey",
    "idx",
    "Y. LeCun, C. Cortes and C. Burges; no licence stated",
    # mirrors: the one of pytorch/vision, torchvision/datasets/mnist.py; the one of tensorflow/datasets
    _files(
        MNIST_FILES,
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    classes=tuple("0123456789"),
)
MNIST_SAMPLE = Dataset(
    "mnist_sample",
    "the 3s and 7s of MNIST as PNG, 12,396 train and 2,038 valid, 28×28 grey",
    "folders",
    "fast.ai, from MNIST; no licence stated",
    # size from fastai/fastai, fastai/data/checks.txt, whose MD5 is of the first MiB only (`_check_file` in
    # fastai/data/external.py); SHA-256 from FluxML/FastAI.jl, which registers fastai's datasets
    _files(
        "3214948 b373a14f282298aeba0f7dd56b7cdb6c2401063d4f118c39c54982907760bd38 mnist_sample.tgz",
        "https://s3.amazonaws.com/fast-ai-sample/",
    ),
    folder="mnist_sample",
)
FASHION_MNIST = Dataset(
    "fashion_mnist",
    "articles of clothing, 60,000 train and 10,000 test, 28×28 grey",
    "idx",
    "Zalando SE; MIT",
    # mirrors: the publisher's repository, whose README also has the class names; the one of Keras
    _files(
        FASHION_FILES,
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
    classes=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
)
CIFAR10 = Dataset(
    "cifar10",
    "small photographs in ten classes, 50,000 train and 10,000 test, 32×32 colour",
    "cifar",
    "A. Krizhevsky, V. Nair and G. Hinton; no licence stated",
    # the binary version: the Python version is a pickle; from tensorflow/datasets, url_checksums/cifar10.txt
    # (the publisher's page has the MD5 c32a1d4ab5d03f1284b67883e8d87530)
    _files(
        "170052171 c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd cifar-10-binary.tar.gz",
        "https://www.cs.toronto.edu/~kriz/",
    ),
    folder="cifar-10-batches-bin",
)
IMAGENETTE = Dataset(
    "imagenette",
    "photographs of ten easy classes of ImageNet, 9,469 train and 3,925 val, shorter side 160 px",
    "folders",
    "fast.ai, from ImageNet: for research and education",
    # from tensorflow/datasets, datasets/imagenette/checksums.tsv; fastai's checks.txt has the same size, and
    # FluxML/FastAI.jl the same SHA-256
    _files(
        "99003388 64d0c4859f35a461889e0147755a999a48b49bf38a7e0f9bd27003f10db02fe5 imagenette2-160.tgz",
        "https://s3.amazonaws.com/fast-ai-imageclas/",
    ),
    folder="imagenette2-160",
)
DATASETS = {dataset.name: dataset for dataset in (MNIST, MNIST_SAMPLE, FASHION_MNIST, CIFAR10, IMAGENETTE)}

# WordNet's ids and their names: pytorch/vision, torchvision/datasets/imagenette.py
# fmt: off
WORDNET_NAMES = {
    "n01440764": "tench", "n02102040": "English springer", "n02979186": "cassette player",
    "n03000684": "chain saw", "n03028079": "church", "n03394916": "French horn",
    "n03417042": "garbage truck", "n03425413": "gas pump", "n03445777": "golf ball", "n03888257": "parachute",
}
# fmt: on


def fetch(name: str, *, progress: Progress | None = None, cache: Path | None = None) -> Path:
    """The folder of a dataset of `DATASETS`, downloaded and unpacked into `cache` where it is not there yet.

    A dataset that is there is used without any network. Two fetches at the same time wait for each other.
    Imagenette's class folders get readable names ("tench" for n01440764); its `noisy_imagenette.csv` keeps
    the ids. `progress` is told the downloaded bytes of the whole dataset. No `cache` is the user's own.

    Raises `DataError` for an unknown name, `DownloadError` and `StorageError` as `download` and `unpack` do.
    """
    if name not in DATASETS:
        raise DataError(f"no dataset is called {name!r}", hint=f"known are {', '.join(DATASETS)}")
    dataset = DATASETS[name]
    home = (cache or cache_folder()) / "datasets" / name
    ready = home / dataset.folder
    if not _is_ready(dataset, ready):
        make_folder(home)
        with _locked(home):
            _remove_leftovers(home)
            if not _is_ready(dataset, ready):  # somebody else may have fetched it meanwhile
                paths = _download_all(dataset, home, progress)
                if dataset.folder:
                    _unpack(paths[0], ready)
    return ready


def digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], list[str]]:
    """scikit-learn's handwritten digits: pixels (uint8, 1797×1×8×8), labels (int64), class names; no network.

    Its values from 0 to 16 are scaled to round(value · 255 / 16), so to 0 to 255. Its file is read without importing
    scikit-learn, which would take as long as training on them. Raises `DataError` where that is not installed.
    """
    found = importlib.util.find_spec("sklearn")
    file = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz" if found and found.origin else None
    if file is None or not file.is_file():
        raise DataError("scikit-learn, which carries the digits, is not installed", hint="pip install scikit-learn")
    with gzip.open(file, "rt") as lines:
        table = np.loadtxt(lines, delimiter=",")
    pixels = np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    return pixels, table[:, -1].astype(np.int64), list("0123456789")


def _is_ready(dataset: Dataset, ready: Path) -> bool:
    if dataset.folder:
        return ready.is_dir()  # it got its name when everything was in it
    return all(is_whole(ready / file.name, file.size, file.digest) for file in dataset.files)


def _download_all(dataset: Dataset, home: Path, progress: Progress | None) -> list[Path]:
    paths, before = [], 0
    for file in dataset.files:
        shifted = _shifted(progress, before, dataset.size) if progress else None
        paths.append(download(file.urls, home / file.name, size=file.size, digest=file.digest, progress=shifted))
        before += file.size
    return paths


def _shifted(progress: Progress, before: int, total: int) -> Progress:
    return lambda done_bytes, _: progress(before + done_bytes, total)


def _unpack(archive: Path, ready: Path) -> None:
    unpacked = ready.parent / ".unpacked.tmp"
    try:
        source = unpack(archive, unpacked) / ready.name
        for folder in list(source.glob("*/*")):
            if folder.name in WORDNET_NAMES:
                move(folder, folder.with_name(WORDNET_NAMES[folder.name]))
        move(source, ready)
        remove(archive)
    finally:
        remove_folder(unpacked)


def _remove_leftovers(home: Path) -> None:
    """Remove what a process that was killed has left; only to be called with the lock."""
    for leftover in home.glob(".*.tmp"):
        if leftover.is_dir():
            remove_folder(leftover)
        else:
            remove(leftover)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Waits until no other process is fetching into `home`."""
    import fcntl

    with lock_file(home / ".lock") as lock:
        with storage_errors(home):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
