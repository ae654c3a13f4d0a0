"""Whatever the user names as their data: nothing, a folder, a CSV, IDX files, or a dataset by name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import DataError
from .labelled import LabelledData, from_arrays
from .preprocessing import Preprocessing
from .reading import read_listing
from .store import Progress

DIGITS = "scikit-learn's embedded handwritten digits"


def read_source(
    source: str | Path | None = None,
    preprocessing: Preprocessing | None = None,
    progress: Progress | None = None,
    *,
    follow_links: bool = False,
) -> LabelledData:
    """Read `source` into memory; `DataLoaders.from_data` makes loaders of it.

    None is scikit-learn's embedded handwritten digits. A path is a folder of pictures, a CSV, or a folder of IDX
    files or of CIFAR-10's binary ones. A name that is no path but a known dataset's (`mnist`, `cifar10` …) is
    downloaded once and kept in the cache. `preprocessing` fixes size and channels; symbolic links in a folder are
    refused, unless `follow_links`. Raises `DataError`, `DownloadError`.
    """
    data = _read(source, preprocessing, progress, follow_links)
    return data.resized(preprocessing) if preprocessing else data


def _read(
    source: str | Path | None, preprocessing: Preprocessing | None, progress: Progress | None, follow_links: bool
) -> LabelledData:
    from .cifar import is_cifar10, read_cifar10
    from .csv_labels import list_csv
    from .folders import list_folder
    from .idx import find_idx, load_idx
    from .samples import DATASETS, digits, fetch

    if source is None:
        pixels, labels, vocab = digits()
        return _named({"train": (pixels, labels)}, vocab, DIGITS)
    path = Path(source)
    is_there = os.path.exists(path)  # noqa: PTH110 - Path.exists raises for a name that is too long
    dataset = None if is_there else DATASETS.get(str(source))
    if not is_there and not dataset:
        raise DataError(
            f"no such path, and no dataset of that name: {source}",
            hint=f"check the spelling; the datasets by name are {', '.join(sorted(DATASETS))}",
        )
    if dataset:
        path = fetch(dataset.name, progress=partial(progress, "downloading") if progress else None)
    if is_cifar10(path):
        arrays, names = read_cifar10(path)
        return _named(arrays, names, dataset.name if dataset else str(path))
    if path.is_file():
        return read_listing(list_csv(path), preprocessing, progress)
    if path.is_dir() and find_idx(path):
        arrays = load_idx(path)
        return _named(arrays, dataset.classes, dataset.name) if dataset else from_arrays(arrays, str(path))
    return read_listing(list_folder(path, follow_links=follow_links), preprocessing, progress)


def _named(arrays: dict[str, tuple[np.ndarray, np.ndarray]], names: Sequence[str], where: str) -> LabelledData:
    """Arrays whose labels are indices into `names`."""
    return from_arrays({split: (x, np.array(names)[y]) for split, (x, y) in arrays.items()}, where)
