"""Trainings that are killed, or whose disk fails, and then go on.

    python tests/certainty/harness.py FOLDER --kill-every 1 --fail-every 1 --kill-at-random 300 --kill-within 50

A warm process forks a child for each trial: a small training on pictures from a folder, which fills a pixel store,
keeps a checkpoint after every step and ends with an export and a report. It is killed (SIGKILL) before its n-th file
operation, or after a random time, or within a part of the work (`PARTS`); or that operation fails with ENOSPC, EIO,
EACCES or EMFILE; or its disk is a real one (a tmpfs) that is too small. Then a second child goes on with what is left.
A trial is good if it ends with the bytes of an undisturbed run: weights, optimizer, steps, predictions and history (but
for the seconds). Prints what it counted as JSON.
"""

from __future__ import annotations

import argparse
import errno
import functools
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from sevensteps.data.pixels import _Job
from sevensteps.data.samples import digits
from sevensteps.errors import SevenStepsError
from sevensteps.models.model_folder import ModelFolder
from sevensteps.report.page import write_report
from sevensteps.training.checkpoint import Checkpoint, checkpoints
from sevensteps.training.learner import Learner
from sevensteps.training.train import resume, train

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.chmod"}
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE)
PARTS: dict[str, tuple[type, str]] = {
    "a checkpoint": (Checkpoint, "save"),
    "the filling of the pixel store": (_Job, "fill"),
    "an epoch": (Learner, "_train"),
    "a validation": (Learner, "_validate"),
    "an export": (ModelFolder, "save"),
}
FAILED, FELL_THROUGH = 3, 4  # exit codes of a child: an error that says what to do, anything else
PICTURES = {"train": 60, "valid": 20}  # of each of five classes


class Trials:
    """Trials in a folder, and what became of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.log = folder, folder / "pictures", folder / "log"
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.draws = random.Random(0)
        pixels, labels, _ = digits()
        for label in range(5):
            chosen = iter(pixels[labels == label])
            for split, count in PICTURES.items():
                place = self.data / split / str(label)
                place.mkdir(parents=True)
                for number in range(count):
                    Image.fromarray(next(chosen)[0]).save(place / f"{number}.png")
        self.begin(folder / "warm")  # here, so that no child imports anything any more
        self.reference = folder / "reference"
        self.times = folder / "times.json"
        started = time.monotonic()
        code = self.child(lambda: (at_operation(self.reference, 0, print), self.begin(self.reference)))
        assert code == 0, self.log.read_text()
        self.seconds = time.monotonic() - started
        self.operations = int((folder / "reference.count").read_text())
        self.expected = outcome(self.reference)
        assert self.child(lambda: self.begin(folder / "timed", watched=self.note_times)) == 0, self.log.read_text()
        self.parts: dict[str, list[float]] = json.loads(self.times.read_text())

    def begin(self, out: Path, watched: Callable[[], None] = lambda: None) -> None:
        """The training of every trial: two epochs, and a checkpoint after every step."""
        os.environ["SEVENSTEPS_CACHE"] = str(out / "cache")
        watched()
        write_report(
            train(self.data, model="linear", epochs=2, batch_size=100, threads=1, out=out / "runs",
                  checkpoint_minutes=1e-9)
        )  # fmt: skip

    def go_on(self, out: Path) -> None:
        """What a user does after it: go on, or begin again where there is nothing to go on from."""
        os.environ["SEVENSTEPS_CACHE"] = str(out / "cache")
        runs = sorted(out.glob("runs/*/config.toml"))
        write_report(resume(runs[-1].parent)) if runs else self.begin(out)

    def child(self, work: Callable[[], Any], after: float = 0.0) -> int:
        """Do `work` in a forked process, killed `after` some seconds; its exit code, negative for a signal."""
        process = os.fork()
        if process == 0:
            code = FELL_THROUGH
            try:
                with self.log.open("w") as file:
                    os.dup2(file.fileno(), 2)
                work()
                code = 0
            except SevenStepsError as error:
                print(error, file=sys.stderr)
                code = FAILED
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        if after:
            time.sleep(after)
            os.kill(process, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    def trial(
        self, kind: str, out: Path, first: Callable[[Path], None], allowed: set[int], after: float = 0.0,
        mend: Callable[[], Any] = lambda: None,
    ) -> None:  # fmt: skip
        """One trial: `first`, which may end with the codes that are `allowed`; `mend` what was wrong; then go on."""
        code = self.child(lambda: first(out), after)
        told = self.log.read_text()
        good = code in allowed
        if code == FAILED and str(out) not in told:
            good, told = False, f"the message does not name the path: {told}"
        mend()
        self.counts[f"{kind}, {'went on' if code == 0 else 'stopped'}"] += 1
        if good and code != 0:
            good = self.child(lambda: self.go_on(out)) == 0
            told = self.log.read_text()
        if good:
            good, told = outcome(out) == self.expected, "other bytes"
        self.counts[f"{kind}, {'the same bytes in the end' if good else 'WRONG'}"] += 1
        self.wrong.extend([] if good else [f"{out.name}: exit code {code}: {told}"])
        shutil.rmtree(out, ignore_errors=True)
        Path(f"{out}.count").unlink(missing_ok=True)

    def kill_at_operations(self, every: int) -> None:
        """Killed before each so manieth file operation."""
        for number in range(1, self.operations + 1, every):

            def first(out: Path, number: int = number) -> None:
                at_operation(out, number, lambda path: os.kill(os.getpid(), signal.SIGKILL))
                self.begin(out)

            self.trial("killed at a file operation", self.folder / f"kill-{number}", first, {-signal.SIGKILL, 0})

    def fail_at_operations(self, every: int) -> None:
        """Each so manieth file operation fails, in each way."""
        for number in range(1, self.operations + 1, every):
            for code in ERRORS:

                def first(out: Path, number: int = number, code: int = code) -> None:
                    def fail(path: str) -> None:
                        raise OSError(code, os.strerror(code), path)

                    at_operation(out, number, fail)
                    self.begin(out)

                name = f"fail-{number}-{errno.errorcode[code]}"
                self.trial(f"{errno.errorcode[code]} at a file operation", self.folder / name, first, {FAILED, 0})

    def kill_at_random(self, count: int) -> None:
        """Killed so many times at random."""
        for number in range(count):
            after = self.draws.uniform(0, self.seconds)
            out = self.folder / f"random-{number}"
            self.trial("killed at random", out, self.begin, {-signal.SIGKILL, 0}, after)

    def kill_within(self, count: int) -> None:
        """Killed so many times at random within each part; what survives its part is tried again."""
        for part, seconds in self.parts.items():
            kind, tries = f"killed within {part}", 0
            while self.counts[f"{kind}, stopped"] < count and tries < 20 * count:
                tries += 1
                place = self.draws.randrange(len(seconds))
                after = self.draws.uniform(0, seconds[place])

                def first(out: Path, part: str = part, place: int = place, after: float = after) -> None:
                    self.begin(out, lambda: kill_in(part, place, after))

                out = self.folder / f"within-{part.split()[-1]}-{tries}"
                self.trial(kind, out, first, {-signal.SIGKILL, 0})

    def note_times(self) -> None:
        """How long each part takes, each time: into a file."""
        taken: dict[str, list[float]] = {part: [] for part in PARTS}
        for part in PARTS:

            @contextmanager
            def timed(part: str = part) -> Iterator[None]:
                started = time.perf_counter()
                yield
                taken[part].append(time.perf_counter() - started)
                self.times.write_text(json.dumps(taken))

            around(part, timed)

    def fill_disks(self, count: int) -> None:
        """On real disks, of sizes from nearly nothing to nearly enough."""
        full = sum(path.stat().st_size for path in self.reference.rglob("*") if path.is_file())
        for number in range(count):
            out = self.folder / f"disk-{number}"
            out.mkdir()
            size = max(4096, int(1.6 * full * (number + 1) / count))
            mount = ["mount", "-t", "tmpfs", "-o", f"size={size},nr_inodes=10k", "tmpfs", str(out)]
            subprocess.run(mount, check=True, capture_output=True)
            more = ["mount", "-o", "remount,size=64M", str(out)]
            try:
                self.trial("a real disk that is full", out, self.begin, {FAILED, 0},
                           mend=lambda more=more: subprocess.run(more, check=True))  # fmt: skip
            finally:
                subprocess.run(["umount", str(out)], check=True)
                out.rmdir()


def at_operation(place: Path, number: int, act: Callable[[str], None]) -> None:
    """From now on `act` before the file operation of that number below `place`; 0 counts them into a file."""
    count = 0
    inside = str(place) + "/"

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event == "open":
            path, _, flags = arguments
            if not isinstance(path, str) or not flags & WRITES:
                return
        elif event in EVENTS:
            path = arguments[0]
        else:
            return
        if not f"{path}/".startswith(inside):
            return
        count += 1
        if count == number:
            act(str(path))
        elif number == 0:
            os.pwrite(counter, str(count).encode(), 0)

    counter = os.open(f"{place}.count", os.O_RDWR | os.O_CREAT)
    sys.addaudithook(hook)


def around(part: str, context: Callable[[], Any]) -> None:
    """From now on each call of a part of the work is made within `context()`."""
    owner, name = PARTS[part]
    work = getattr(owner, name)

    @functools.wraps(work)
    def within(*args: Any, **kwargs: Any) -> Any:
        with context():
            return work(*args, **kwargs)

    setattr(owner, name, within)


def kill_in(part: str, place: int, after: float) -> None:
    """Kill this process so many seconds after that part has begun for the time `place`, unless it is over."""
    calls = iter(range(10**6))

    @contextmanager
    def killing() -> Iterator[None]:
        over = threading.Event()

        def kill() -> None:
            if not over.wait(after):
                os.kill(os.getpid(), signal.SIGKILL)

        if next(calls) == place:
            threading.Thread(target=kill, daemon=True).start()
        yield
        over.set()

    around(part, killing)


def outcome(out: Path) -> dict[str, str]:
    """The bytes that must be the same again."""
    (result,) = out.glob("runs/*/result.json")
    run = result.parent
    files = [run / "model/model.safetensors", run / "steps.csv", run / "predictions.csv"]
    files += [checkpoints(run / "checkpoints")[-1] / name for name in ("weights.safetensors", "optimizer.safetensors")]
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    rows = [line.split(",")[:-2] for line in (run / "history.csv").read_text().splitlines()]
    return found | {"history": json.dumps(rows)}


def main() -> None:
    """Run the trials that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kill-every", type=int, default=0, help="of the file operations, each so manieth; 0 is none")
    parser.add_argument("--fail-every", type=int, default=0)
    parser.add_argument("--kill-at-random", type=int, default=0, help="so many times")
    parser.add_argument("--kill-within", type=int, default=0, help="so many times in each part of the work")
    parser.add_argument("--disks", type=int, default=0, help="real disks that are too small, so many; needs root")
    options = parser.parse_args()
    torch.set_num_threads(1)
    trials = Trials(options.folder)
    if options.kill_every:
        trials.kill_at_operations(options.kill_every)
    if options.fail_every:
        trials.fail_at_operations(options.fail_every)
    trials.kill_at_random(options.kill_at_random)
    trials.kill_within(options.kill_within)
    trials.fill_disks(options.disks)
    facts = {"operations": trials.operations, "seconds": trials.seconds, "parts": trials.parts}
    print(json.dumps(facts | {"counts": trials.counts, "wrong": trials.wrong}, indent=2))


if __name__ == "__main__":
    main()
