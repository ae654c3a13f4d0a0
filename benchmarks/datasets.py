"""Fill the work folder with the data in the forms that the cases read.

    python benchmarks/datasets.py --data ../shared/data --work benchmarks/.work

Comes in: a folder with `mnist/` (MNIST's four IDX files, gzipped), `mnist_sample.tgz` and `flowers_small.tar`. Goes
out: `mnist_sample/` and `flowers/` (train/<class>/*, valid/<class>/*), `mnist_png/` (70,000 PNG files, the test
pictures as valid), `mnist_png_few/` (every tenth of them), and the same pixels as arrays in `mnist.npz` and
`mnist_sample.npz`. What is there is kept.
"""

import argparse
import gzip
import shutil
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
WORK = ROOT / "benchmarks" / ".work"
NEEDED = ("mnist", "mnist_sample.tgz", "flowers_small.tar")


def check(data: Path) -> None:
    """Exit with a message where `data` has not all that is needed."""
    missing = [name for name in NEEDED if not (data / name).exists()]
    if missing:
        hint = f"name a folder that has {', '.join(NEEDED)} with --data FOLDER"
        raise SystemExit(f"{data} has no {', no '.join(missing)}\n  hint: {hint}")


def prepare(data: Path, work: Path) -> None:
    """Make all that is not there yet."""
    check(data)
    work.mkdir(parents=True, exist_ok=True)
    _make(work / "mnist_sample", lambda target: _unpack(data / "mnist_sample.tgz", target))
    _make(work / "flowers", lambda target: _unpack(data / "flowers_small.tar", target))
    _make(work / "mnist.npz", lambda target: _write_arrays(target, *_mnist(data / "mnist")))
    _make(work / "mnist_png", lambda target: _write_pictures(target, *_mnist(data / "mnist")))
    _make(work / "mnist_png_few", lambda target: _link_some(work / "mnist_png", target))
    _make(work / "mnist_sample.npz", lambda target: _write_arrays(target, *_sample(work / "mnist_sample")))


def _make(target: Path, make) -> None:
    """`make(temporary)` and give it its name: what was interrupted is not taken for whole the next time."""
    if target.exists():
        return
    print(f"making {target.name}", flush=True)
    temporary = target.with_name(f"unfinished-{target.name}")
    if temporary.is_dir():
        shutil.rmtree(temporary)
    make(temporary)
    temporary.rename(target)


def _unpack(archive: Path, target: Path) -> None:
    """Unpack an archive that holds one folder, as the folder `target`."""
    outer = target.with_name(f"{target.name}-outer")
    with tarfile.open(archive) as tar:
        tar.extractall(outer, filter="data")
    (train,) = [folder for folder in (outer / "train", *outer.glob("*/train")) if folder.is_dir()]
    train.parent.rename(target)
    shutil.rmtree(outer, ignore_errors=True)


def _mnist(folder: Path) -> tuple[np.ndarray, ...]:
    """Pixels (uint8, N×28×28) and labels (int64, N) to train on, then the same to validate on."""
    parts = []
    for split in ("train", "t10k"):
        with gzip.open(folder / f"{split}-images-idx3-ubyte.gz") as file:
            parts.append(np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28))
        with gzip.open(folder / f"{split}-labels-idx1-ubyte.gz") as file:
            parts.append(np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64))
    return tuple(parts)


def _sample(folder: Path) -> tuple[np.ndarray, ...]:
    """The 3s (label 1) and the 7s (label 0), as chapter 4 has them."""
    parts = []
    for split in ("train", "valid"):
        files = [
            (file, label) for name, label in (("3", 1), ("7", 0)) for file in sorted((folder / split / name).iterdir())
        ]
        parts.append(np.stack([np.asarray(Image.open(file)) for file, _ in files]))
        parts.append(np.array([label for _, label in files], np.int64))
    return tuple(parts)


def _write_arrays(
    target: Path, train_x: np.ndarray, train_y: np.ndarray, valid_x: np.ndarray, valid_y: np.ndarray
) -> None:
    with target.open("wb") as file:  # not by name: NumPy would add .npz to it
        np.savez(file, train_x=train_x, train_y=train_y, valid_x=valid_x, valid_y=valid_y)


def _write_pictures(
    target: Path, train_x: np.ndarray, train_y: np.ndarray, valid_x: np.ndarray, valid_y: np.ndarray
) -> None:
    for split, x, y in (("train", train_x, train_y), ("valid", valid_x, valid_y)):
        for digit in range(10):
            (target / split / str(digit)).mkdir(parents=True)
        for number, (pixels, label) in enumerate(zip(x, y, strict=True)):
            Image.fromarray(pixels).save(target / split / str(label) / f"{number:05}.png")


def _link_some(folder: Path, target: Path) -> None:
    """Every tenth file of `folder`, as hard links."""
    for file in sorted(folder.glob("*/*/*.png"))[::10]:
        link = target / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.hardlink_to(file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, default=WORK)
    asked = parser.parse_args()
    prepare(asked.data, asked.work)
