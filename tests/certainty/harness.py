"""Trainings that are killed, or whose disk fails, at every file operation or at random times, and then go on.

    python tests/certainty/harness.py FOLDER --kill-every 1 --fail-every 1 --kill-at-random 300

A warm process forks a child for each trial: a small training that is killed (SIGKILL) before its n-th file operation,
or in which that operation fails with ENOSPC, EIO, EACCES or EMFILE, or that is killed after a random time. Then a
second child goes on with what is left. A trial is good if it ends with the bytes of an undisturbed run: weights,
optimizer, steps and history (but for the seconds). Prints what it counted as JSON.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sevensteps.errors import StorageError
from sevensteps.report.page import write_report
from sevensteps.training.checkpoint import checkpoints
from sevensteps.training.train import resume, train

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.chmod"}
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE)
FAILED, FELL_THROUGH = 3, 4  # exit codes of a child: a StorageError, anything else


def begin(out: Path) -> None:
    """The training of every trial: two epochs, and a checkpoint after every step."""
    write_report(train(model="linear", epochs=2, batch_size=512, threads=1, out=out, checkpoint_minutes=1e-9))


def go_on(out: Path) -> None:
    """What a user does after it: go on, or begin again where there is nothing to go on from."""
    run = out / "digits"
    write_report(resume(run)) if (run / "config.toml").exists() else begin(out)


def child(work: Callable[[], None], log: Path) -> int:
    """Do `work` in a forked process; its exit code, negative for a signal."""
    process = os.fork()
    if process == 0:
        code = FELL_THROUGH
        try:
            with log.open("w") as file:
                os.dup2(file.fileno(), 2)
            work()
            code = 0
        except StorageError as error:
            print(error, file=sys.stderr)
            code = FAILED
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def at_operation(place: Path, number: int, act: Callable[[str], None]) -> None:
    """From now on `act` before the file operation of that number below `place`; 0 counts them into a file."""
    count = 0
    inside = str(place)

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
        if not str(path).startswith(inside):
            return
        count += 1
        if count == number:
            act(str(path))
        elif number == 0:
            os.pwrite(counter, str(count).encode(), 0)

    counter = os.open(f"{place}.count", os.O_RDWR | os.O_CREAT)
    sys.addaudithook(hook)


def outcome(out: Path) -> dict[str, str]:
    """The bytes that must be the same again."""
    (result,) = out.glob("*/result.json")
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
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    wrong: list[str] = []

    reference, log = options.folder / "reference", options.folder / "log"
    started = time.monotonic()
    assert child(lambda: (at_operation(reference, 0, print), begin(reference)), log) == 0, log.read_text()
    seconds = time.monotonic() - started
    operations = int((options.folder / "reference.count").read_text())
    expected = outcome(reference)

    def trial(kind: str, name: str, first: Callable[[Path], None], allowed: set[int], after: float = 0.0) -> None:
        out = options.folder / name
        code = killed_after(out, after, log) if after else child(lambda: first(out), log)
        told = log.read_text()
        good = code in allowed
        if code == FAILED and str(out) not in told:
            good, told = False, f"the message does not name the path: {told}"
        counts[f"{kind}, {'went on' if code == 0 else 'stopped'}"] += 1
        if good and code != 0:
            good = child(lambda: go_on(out), log) == 0
            told = log.read_text()
        if good:
            good, told = outcome(out) == expected, "other bytes"
        counts[f"{kind}, {'the same bytes in the end' if good else 'WRONG'}"] += 1
        wrong.extend([] if good else [f"{name}: exit code {code}: {told}"])
        shutil.rmtree(out, ignore_errors=True)

    def killed_after(out: Path, after: float, log: Path) -> int:
        process = os.fork()
        if process == 0:
            try:
                begin(out)
            finally:
                os._exit(0)
        time.sleep(after)
        os.kill(process, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    def dying(number: int) -> Callable[[Path], None]:
        def work(out: Path) -> None:
            at_operation(out, number, lambda path: os.kill(os.getpid(), signal.SIGKILL))
            begin(out)

        return work

    def failing(number: int, code: int) -> Callable[[Path], None]:
        def fail(path: str) -> None:
            raise OSError(code, os.strerror(code), path)

        def work(out: Path) -> None:
            at_operation(out, number, fail)
            begin(out)

        return work

    for number in range(1, operations + 1, options.kill_every) if options.kill_every else ():
        trial("killed at a file operation", f"kill-{number}", dying(number), {-signal.SIGKILL, 0})
    for number in range(1, operations + 1, options.fail_every) if options.fail_every else ():
        for code in ERRORS:
            name = f"fail-{number}-{errno.errorcode[code]}"
            trial(f"{errno.errorcode[code]} at a file operation", name, failing(number, code), {FAILED, 0})
    draws = random.Random(0)
    for number in range(options.kill_at_random):
        trial("killed at random", f"random-{number}", begin, {-signal.SIGKILL, 0}, after=draws.uniform(0, seconds))
    print(json.dumps({"operations": operations, "counts": counts, "wrong": wrong}, indent=2))


if __name__ == "__main__":
    main()
