"""IDX files: the format in which MNIST is published, arrays of numbers with a short header.

Comes in: a folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and so on, gzipped or not. Goes
out: pixels and labels by split. The layout (two zero bytes, a type code, the rank, the sizes, then the
numbers, all big-endian) is described at http://yann.lecun.com/exdb/mnist/ under "The IDX file format".
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import DataError

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
SPLITS = {"train": "train", "t10k": "test", "test": "test", "valid": "valid"}
NAME = re.compile(
    r"(?P<prefix>.*)(?<![a-z])(?P<split>train|t10k|test|valid)[-_](?P<what>images|labels)[-.]idx[13]-\w+(?P<gz>\.gz)?",
    re.IGNORECASE,
)
MAX_BYTES = 4 << 30  # EMNIST's largest file has 0.55 GB; more is a mistake or a bomb
CHUNK_BYTES = 1 << 18

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


class _Readable(Protocol):
    def read(self, count: int, /) -> bytes: ...
    def readinto(self, buffer: Any, /) -> int | None: ...


def load_idx(folder: Path) -> dict[str, tuple[Pixels, Labels]]:
    """The pixels (uint8, N×1×H×W) and labels (int64, N) of a folder of IDX files, by split.

    Raises `DataError` when the folder has no IDX files, one of them is damaged, or images and labels do not
    belong together.
    """
    found = find_idx(folder)
    if not found:
        raise DataError(f"no IDX files in {folder}", hint="expected names like train-images-idx3-ubyte.gz")
    return {split: _load_pair(*paths) for split, paths in found.items()}


def _load_pair(images_path: Path, labels_path: Path) -> tuple[Pixels, Labels]:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.dtype != np.uint8 or images.ndim != 3 or images.size == 0:
        raise DataError(
            f"{images_path}: expected grey pictures, uint8 N×H×W, found {images.dtype} of {_shape(images)}",
            hint="only grey pictures are read from IDX files; save others as picture files in class folders",
        )
    if labels.dtype.kind not in "iu" or labels.ndim != 1 or (labels < 0).any():
        raise DataError(
            f"{labels_path}: expected labels as integers from 0 on, one row of N, "
            f"found {labels.dtype} of {_shape(labels)}",
            hint="put the labels into a file of rank 1 (idx1)",
        )
    if len(images) != len(labels):
        raise DataError(
            f"{images_path} has {len(images):,} pictures, but {labels_path.name} has {len(labels):,} labels: "
            "expected as many",
            hint="the two files are not of the same set: fetch both again",
        )
    return images[:, None], labels.astype(np.int64)


def find_idx(folder: Path) -> dict[str, tuple[Path, Path]]:
    """The paths of images and labels for each split ("train", "valid", "test") that `folder` has in IDX form.

    Knows MNIST's names, with a dot for the last hyphen but one (`train-images.idx3-ubyte`), with `.gz` or
    without, and with a prefix as EMNIST's have. Where a file is there twice, the one without `.gz` is taken.
    A folder without IDX files gives an empty dict. Raises `DataError` when there is no such folder, when
    images lack their labels or labels their images, and when two sets share the folder.
    """
    if not folder.is_dir():
        raise DataError(f"no folder {folder}", hint="check the spelling")
    found: dict[tuple[str, str], dict[str, Path]] = {}
    for path in sorted(folder.iterdir(), reverse=True):  # `x` after `x.gz`, so that it wins
        if (match := NAME.fullmatch(path.name)) and path.is_file():
            key = (SPLITS[match["split"].lower()], match["prefix"].lower())
            found.setdefault(key, {})[match["what"].lower()] = path
    pairs: dict[str, tuple[Path, Path]] = {}
    for (split, _), files in sorted(found.items()):
        if len(files) < 2:
            [(what, path)] = files.items()
            missing = {"images": "labels", "labels": "images"}[what]
            raise DataError(f"{path} has no {missing} beside it", hint=f"put the file with the {missing} there too")
        if split in pairs:
            raise DataError(
                f"{folder} has two sets for {split}: {pairs[split][0].name} and {files['images'].name}",
                hint="give each set its own folder",
            )
        pairs[split] = files["images"], files["labels"]
    return {split: pairs[split] for split in ("train", "valid", "test") if split in pairs}


def read_idx(path: Path) -> npt.NDArray[Any]:
    """The array in an IDX file, gzipped or not (told by its content), in this machine's byte order.

    Never reads more than one byte beyond what the header announces. Raises `DataError` when the file is not
    there, is not IDX, or is shorter or longer than its header says.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not zipped:
                return _read(file, path)
            with gzip.open(file) as unzipped:
                return _read(unzipped, path)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}",
            hint="expected an IDX file, gzipped or not: fetch it again",
        ) from error


def _read(file: _Readable, path: Path) -> npt.NDArray[Any]:
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in TYPES or start[3] == 0:
        raise _not_as_expected(
            path, "00 00, a type code (08, 09, 0b to 0e) and a rank of 1 or more", start.hex(" ") or "nothing"
        )
    sizes = file.read(4 * start[3])
    if len(sizes) < 4 * start[3]:
        raise _not_as_expected(path, f"a header with {start[3]} sizes", f"{len(sizes)} bytes of them")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    dtype = np.dtype(TYPES[start[2]])
    announced = math.prod(shape) * dtype.itemsize
    if math.prod(max(size, 1) for size in shape) * dtype.itemsize > MAX_BYTES:  # also where another size is 0
        raise _not_as_expected(
            path, f"at most {MAX_BYTES:,} bytes of numbers", f"a header that announces {announced:,}"
        )
    numbers = np.empty(announced, np.uint8)
    filled = 0
    while filled < announced and (count := file.readinto(numbers[filled : filled + CHUNK_BYTES])):
        filled += count
    if filled < announced:
        raise _not_as_expected(path, f"{announced:,} bytes of numbers, as the header announces", f"{filled:,}")
    if file.read(1):  # for gzip, this also checks the checksum at its end
        raise _not_as_expected(path, f"{announced:,} bytes of numbers, as the header announces", "more")
    return numbers.view(dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _not_as_expected(path: Path, expected: str, found: str) -> DataError:
    return DataError(
        f"{path} is not a whole IDX file: expected {expected}, found {found}",
        hint="the file is damaged, cut short or of another format: fetch it again",
    )


def _shape(array: npt.NDArray[Any]) -> str:
    return "×".join(str(size) for size in array.shape)
