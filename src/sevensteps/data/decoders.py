"""Pictures decoded by processes of their own: as many at once as there are cores, and none can harm the training.

A decoder process is `python -m sevensteps.data.decoders`. It knows no torch, so it starts in a tenth of a second, and
reads jobs as JSON lines: paths, or how many bytes of a picture come behind the line, and the size to make of them, or
none to look at the headers alone. A picture that crashes its decoder, takes more than `MEMORY`, or keeps it busy for
`SECONDS_A_PICTURE`, is one refused picture; the rest goes on.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..devices import available_cores
from ..errors import RefusedPicture
from .decode import Header, most_pixels, read_header
from .preprocessing import Preprocessing

SECONDS_A_PICTURE = 5.0
MEMORY = 4 << 30  # bytes of addresses: the largest picture that is allowed by default takes less than a quarter
SECONDS_IDLE, SECONDS_RESTED = 20, 15  # a decoder that gets no job for so long ends; shortly before it gets none
AT_MOST = 16  # decoders at once
CHUNK = 256  # pictures in a job at most
CHUNK_BYTES = 1 << 20  # and of so many bytes together
CHUNK_PIXELS = 1 << 26  # and that come to so many bytes of pixels
AHEAD = 2  # jobs that each decoder has got: it never waits for the next

Status = Header | RefusedPicture


class Decoded(NamedTuple):
    """A job's outcome: the first picture's index, what became of each, and their pixels, blank where refused."""

    first: int
    statuses: list[Status]
    pixels: bytes


def decode_all(
    paths: Sequence[str], sizes: Sequence[int], preprocessing: Preprocessing | None = None
) -> Iterator[Decoded]:
    """Decode the pictures at `paths`, whose files have `sizes` bytes; jobs come back as they are done, in any order.

    Without `preprocessing` only their headers are read.
    """
    chunks = _chunks(sizes, min(CHUNK, CHUNK_PIXELS // max(1, _row_bytes(preprocessing))))
    waiting: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
    for chunk in chunks:
        waiting.put(chunk)
    done: queue.SimpleQueue[Decoded | BaseException] = queue.SimpleQueue()

    def work() -> None:
        try:
            for decoded in _work(paths, preprocessing, waiting):
                done.put(decoded)
        except BaseException as error:  # told where the results are awaited
            done.put(error)

    workers = min(available_cores(), AT_MOST, len(chunks)) or 1
    with ThreadPoolExecutor(workers) as pool:
        try:
            for _ in chunks[:workers]:
                pool.submit(work)
            for _ in chunks:
                result = done.get()
                if isinstance(result, BaseException):
                    raise result
                yield result
        finally:
            with contextlib.suppress(queue.Empty):
                while True:  # after an error or Ctrl-C: nothing new is begun
                    waiting.get_nowait()


def decode_bytes(content: bytes, preprocessing: Preprocessing, most: int) -> NDArray[np.uint8]:
    """The pixels (uint8, C×H×W) of one picture of at most `most` pixels. Raises `RefusedPicture`."""
    status, pixels = _alone(content, preprocessing, most)
    if isinstance(status, RefusedPicture):
        raise RefusedPicture(status.reason, status.message, "the picture")
    return np.frombuffer(bytearray(pixels), np.uint8).reshape(
        preprocessing.channels, preprocessing.height, preprocessing.width
    )


def _chunks(sizes: Sequence[int], most: int = CHUNK) -> list[tuple[int, int]]:
    """Jobs as (start, stop): not too many pictures, but at least one, and not too many bytes, in one."""
    chunks, start, size = [], 0, 0
    for index, length in enumerate(sizes):
        if index > start and (index - start >= most or size + length > CHUNK_BYTES):
            chunks.append((start, index))
            start, size = index, 0
        size += length
    return [*chunks, (start, len(sizes))] if sizes else []


def _work(
    paths: Sequence[str], preprocessing: Preprocessing | None, waiting: queue.SimpleQueue[tuple[int, int]]
) -> Iterator[Decoded]:
    """What one decoder does of the jobs that wait; where it dies, its pictures are tried again one by one."""
    decoder = _Decoder.idle()
    sent: deque[tuple[int, int]] = deque()
    while True:
        try:
            while len(sent) < AHEAD and not waiting.empty():
                try:
                    sent.append(waiting.get_nowait())
                except queue.Empty:
                    break
                decoder.send(paths[slice(*sent[-1])], preprocessing)
            if not sent:
                decoder.rest()
                return
            first, stop = sent[0]
            statuses, pixels = decoder.receive(stop - first, preprocessing)
            sent.popleft()
            yield Decoded(first, statuses, pixels)
        except (OSError, EOFError):
            decoder.end()
            while sent:
                first, stop = sent.popleft()
                alone = [_alone(path, preprocessing) for path in paths[first:stop]]
                yield Decoded(first, [status for status, _ in alone], b"".join(pixels for _, pixels in alone))
            decoder = _Decoder.idle()
        except BaseException:
            decoder.end()
            raise


def _alone(picture: str | bytes, preprocessing: Preprocessing | None, most: int | None = None) -> tuple[Status, bytes]:
    """One picture in a decoder to itself: should that die, the picture is refused."""
    decoder = _Decoder.idle()
    try:
        decoder.send([picture] if isinstance(picture, str) else picture, preprocessing, most)
        [status], pixels = decoder.receive(1, preprocessing)
    except (OSError, EOFError):
        code = decoder.end()
        blank = bytes(_row_bytes(preprocessing))
        if code == -signal.SIGALRM:
            return RefusedPicture("too-slow", f"took more than {SECONDS_A_PICTURE:g} seconds to decode"), blank
        return RefusedPicture("crashed", f"its decoder died of it (exit code {code})"), blank
    decoder.rest()
    return status, pixels


def _row_bytes(preprocessing: Preprocessing | None) -> int:
    return preprocessing.channels * preprocessing.height * preprocessing.width if preprocessing else 0


def python_environment() -> dict[str, str]:
    """The environment of a Python process of ours, in which the same sevensteps is found."""
    here = str(Path(__file__).parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])}


class _Decoder:
    """One process, and the pipes to it. Those that rest wait for the next reading in this process."""

    resting: list[_Decoder] = []  # noqa: RUF012
    lock = threading.Lock()

    def __init__(self) -> None:
        self.owner, self.rested = os.getpid(), 0.0
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],  # -P: a PIL.py in the current folder is not imported
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=python_environment(),
            process_group=0,  # Ctrl-C is for us: we end it
        )

    @classmethod
    def idle(cls) -> _Decoder:
        """One that rests, or a new one."""
        with cls.lock:
            while cls.resting:
                decoder = cls.resting.pop()
                if decoder.owner != os.getpid():  # this process was forked: they are the other's
                    continue
                if decoder.process.poll() is None and time.monotonic() - decoder.rested < SECONDS_RESTED:
                    return decoder
                decoder.end()
        return cls()

    def send(
        self, pictures: Sequence[str] | bytes, preprocessing: Preprocessing | None, most: int | None = None
    ) -> None:
        """A job: the paths of some pictures, or the bytes of one, and how many pixels one may have."""
        size = preprocessing.to_dict() if preprocessing else None
        job: dict[str, Any] = {"as": size, "most": most or most_pixels()}
        content = b""
        if isinstance(pictures, bytes):
            content = pictures
            job["bytes"] = len(content)
        else:
            here = os.getcwd()  # noqa: PTH109 - the decoder may have been started elsewhere
            job["paths"] = [os.path.join(here, path) for path in pictures]  # noqa: PTH118
        assert self.process.stdin
        self.process.stdin.write(json.dumps(job).encode() + b"\n" + content)
        self.process.stdin.flush()

    def receive(self, count: int, preprocessing: Preprocessing | None) -> tuple[list[Status], bytes]:
        """The statuses and pixels of the job sent first. Raises `EOFError` where the process has died."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        length = count * _row_bytes(preprocessing)
        pixels = self.process.stdout.read(length) if line.endswith(b"\n") else b""
        if not line.endswith(b"\n") or len(pixels) < length:
            raise EOFError
        return [as_status(values) for values in json.loads(line)], pixels

    def rest(self) -> None:
        """No job is out: it may be used again."""
        self.rested = time.monotonic()
        with self.lock:
            self.resting.append(self)

    def end(self) -> int:
        """Its exit code, after it was killed unless it was dead."""
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                if pipe:
                    pipe.close()
            except OSError:  # what could not be sent any more
                pass
        try:
            return self.process.wait(0.1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@atexit.register
def _end_all() -> None:
    for decoder in _Decoder.resting:
        if decoder.owner == os.getpid():
            decoder.end()


def as_status(values: Sequence[Any]) -> Status:
    """A picture's status from its JSON."""
    return Header(*values) if len(values) == 3 else RefusedPicture(*values)


def from_status(status: Status) -> list[Any]:
    """A picture's status for JSON."""
    return list(status) if isinstance(status, Header) else [status.reason, status.message]


def limit_memory() -> None:
    """This process may take so much memory and no more: what asks for more gets a `MemoryError`, or dies of it."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        limit = MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most)
        with contextlib.suppress(ValueError, OSError):  # not every system has it
            resource.setrlimit(resource.RLIMIT_AS, (limit, most))


def main() -> None:
    """The decoder process: jobs on stdin, their outcomes on stdout, until stdin ends or it has been idle."""
    limit_memory()
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints, it goes not between the pixels
    jobs: queue.SimpleQueue[tuple[dict[str, Any], bytes]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(jobs,), daemon=True).start()
    with contextlib.suppress(queue.Empty):
        while (job := jobs.get(timeout=SECONDS_IDLE))[0]:
            results.writelines(_outcome(*job))
            results.flush()
    os._exit(0)  # the other thread waits for what does not come any more


def _receive(jobs: queue.SimpleQueue[tuple[dict[str, Any], bytes]]) -> None:
    """Take jobs from stdin as they come, so that who sends them never waits for us while we wait for them."""
    while line := sys.stdin.buffer.readline():
        job = json.loads(line)
        jobs.put((job, sys.stdin.buffer.read(job.get("bytes", 0))))
    jobs.put(({}, b""))


def _outcome(job: dict[str, Any], content: bytes) -> list[Any]:
    """The statuses of a job's pictures as a line of JSON, and their pixels."""
    preprocessing = Preprocessing.from_dict(job["as"]) if job["as"] else None
    blank, statuses, rows = bytes(_row_bytes(preprocessing)), [], []
    for picture in job.get("paths", [content]):
        signal.setitimer(signal.ITIMER_REAL, SECONDS_A_PICTURE)  # its default action ends the process
        row: Any = blank
        try:
            if preprocessing:
                header, row = preprocessing.read(picture, job["most"])
                statuses.append(from_status(header))
            else:
                statuses.append(from_status(read_header(picture, most=job["most"])))
        except RefusedPicture as refused:
            statuses.append(from_status(refused))
        rows.append(row)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return [json.dumps(statuses).encode() + b"\n", *rows]


if __name__ == "__main__":
    main()
