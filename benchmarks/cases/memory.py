"""Memory to load MNIST with sevensteps, as a multiple of the bytes of its pixels; no model.

From after the imports to the end of one pass over the batches: by how much the process grew at its peak, and the peaks
of the processes that it started.
"""

import os
from pathlib import Path

import case

from sevensteps import DataLoader, DataLoaders

STATUS = Path("/proc/self/status")


def kibibytes(what: str, status: Path = STATUS) -> int:
    """`VmRSS`, what a process has in memory, or `VmHWM`, the most that it ever had."""
    (line,) = [line for line in status.read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1])


def children() -> list[Path]:
    """The status of each process that this one has started and that still runs."""
    parent = f"PPid:\t{os.getpid()}\n"
    return [file for file in Path("/proc").glob("[0-9]*/status") if parent in file.read_text()]


def main() -> None:
    options = case.options()
    if not STATUS.exists():
        raise SystemExit("this system does not tell a process's memory in /proc/self/status")
    assert DataLoader  # so that what reads pictures is imported too
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is that of the imports: forget it
    before = kibibytes("VmRSS")
    folder = options.work / "mnist_png" if options.source == "mnist_png" else options.data / "mnist"
    dls = DataLoaders.from_source(folder, batch_size=case.BATCH_SIZE)
    for loader in dls.splits.values():
        for _ in loader:
            pass
    grown = kibibytes("VmHWM") - before
    bytes_of_pixels = sum(loader.n for loader in dls.splits.values()) * dls.input_shape[1] * dls.input_shape[2]
    figures = {
        "times_pixels": 1024 * grown / bytes_of_pixels,
        "grown": 1024 * grown,
        "pixels": bytes_of_pixels,
        "children": 1024 * sum(kibibytes("VmHWM", child) for child in children()),
    }
    case.finish(figures, precision="uint8")


if __name__ == "__main__":
    main()
