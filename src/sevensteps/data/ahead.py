"""Reading ahead: pictures are decoded into the store by another process while this one imports torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import SevenStepsError
from .cifar import is_cifar10
from .decoders import python_environment
from .idx import find_idx


@contextmanager
def reading_ahead(source: str | None, *, follow_links: bool = False) -> Iterator[None]:
    """Inside the block a process of its own reads `source`, where that is a folder or a CSV, into the pixel store.

    Who reads the same then waits for it, and finds all done. What goes wrong there is told by who reads.
    """
    if source is None or not _has_pictures(source):
        yield
        return
    command = [sys.executable, "-P", "-m", __name__, source, *(["follow links"] if follow_links else [])]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=python_environment(), process_group=0,
    )  # fmt: skip
    try:
        yield
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)  # its decoders end with it
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)


def _has_pictures(source: str) -> bool:
    """Whether there may be picture files to decode: not in files of MNIST or CIFAR-10, and not in what is not there."""
    with suppress(SevenStepsError):
        if os.path.isdir(source):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
            return not (find_idx(Path(source)) or is_cifar10(Path(source)))
        return os.path.isfile(source)  # noqa: PTH113
    return False


def main() -> None:
    """Read what is named into the store."""
    from .sources import read_source

    with suppress(SevenStepsError, KeyboardInterrupt):
        read_source(sys.argv[1], follow_links=len(sys.argv) > 2)


if __name__ == "__main__":
    main()
