"""CIFAR-10 in its binary form: records of one label byte and 3072 pixel bytes.

Comes in: the folder `cifar-10-batches-bin`. Goes out: pixels and labels by split, and the classes' names.
The layout is published at https://www.cs.toronto.edu/~kriz/cifar.html under "Binary version": after the
label come 1024 red, 1024 green and 1024 blue values, each colour row by row. The Python version of the same
data is a pickle, which can execute code; it is never read here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..files import read_small

SHAPE = (3, 32, 32)
RECORD_BYTES = 1 + 3 * 32 * 32
FILES = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}
NAMES_FILE = "batches.meta.txt"
MAX_BYTES = 100_000 * RECORD_BYTES  # ten times a published file

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def is_cifar10(folder: Path) -> bool:
    """Whether `folder` has the names or the first files of CIFAR-10 in its binary form."""
    return (folder / NAMES_FILE).exists() or all((folder / names[0]).exists() for names in FILES.values())


def read_cifar10(folder: Path) -> tuple[dict[str, tuple[Pixels, Labels]], list[str]]:
    """The pixels (uint8, N×3×32×32) and labels (int64, N) of "train" and "test", and the classes' names.

    Raises `DataError` when a file is missing, is not made of whole records, or has a label without a name.
    """
    classes = _read_names(folder / NAMES_FILE)
    splits = {}
    for split, names in FILES.items():
        records = np.concatenate([_read_records(folder / name, len(classes)) for name in names])
        pixels = np.ascontiguousarray(records[:, 1:]).reshape(-1, *SHAPE)
        splits[split] = pixels, records[:, 0].astype(np.int64)
    return splits, classes


def _read_names(path: Path) -> list[str]:
    names = [line.strip() for line in _read(path).decode("ascii", "replace").splitlines() if line.strip()]
    if not names or len(names) != len(set(names)):
        raise DataError(f"{path}: expected one class name a line, each once, found {names!r}", hint="fetch it again")
    return names


def _read_records(path: Path, class_count: int) -> Pixels:
    content = np.frombuffer(_read(path), np.uint8)
    if content.size == 0 or content.size % RECORD_BYTES:
        raise DataError(
            f"{path}: expected whole records of {RECORD_BYTES:,} bytes, found {content.size:,} bytes",
            hint="the file is cut short or of another format: fetch it again",
        )
    records = content.reshape(-1, RECORD_BYTES)
    if (largest := int(records[:, 0].max())) >= class_count:
        raise DataError(
            f"{path}: expected labels below {class_count}, as {NAMES_FILE} has names, found {largest}",
            hint="the file is damaged or of another format: fetch it again",
        )
    return records


def _read(path: Path) -> bytes:
    try:
        return read_small(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}",
            hint=f"expected a folder with {NAMES_FILE}, data_batch_1.bin to _5.bin and test_batch.bin",
        ) from error
