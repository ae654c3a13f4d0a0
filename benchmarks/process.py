"""Run one case in a process of its own: its environment, its cache, its busy neighbours, its answer."""

from __future__ import annotations

import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments import python_of
from target import OURS, Entry

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MOST_SECONDS = 1800
CALM = 0.1  # of a core that other programs may take during a run
STAT = Path("/proc/stat")
BUSY = """
import os
parent = os.getppid()
while os.getppid() == parent:  # never busy on its own, should the harness be killed
    for _ in range(10**7):
        pass
"""


class FailedError(Exception):
    """A case ended with an error, or did not learn. Its message is one line."""


@dataclass(frozen=True)
class Places:
    """The folders that the cases are told of."""

    data: Path
    work: Path
    environments: Path

    @property
    def filled_cache(self) -> Path:
        return self.work / "cache"


def words(entry: Entry, options: Mapping[str, object], places: Places) -> list[str]:
    """The command that runs an entry with `options` over its own, by paths relative to the repository where it can."""
    given = {"work": relative(places.work), "data": relative(places.data), **entry.options, **options}
    command = [relative(python_of(entry.environment, places.environments)), f"benchmarks/cases/{entry.script}.py"]
    for name, value in given.items():
        command += [f"--{name.replace('_', '-')}"] if value is True else [f"--{name.replace('_', '-')}", str(value)]
    return command


def shown(entry: Entry, options: Mapping[str, object], places: Places) -> str:
    """`words` as a line for a shell in the repository's root."""
    cache = f"SEVENSTEPS_CACHE={'FILLED' if entry.cache == 'filled' else 'EMPTY'} " if entry.environment == OURS else ""
    return f"PYTHONPATH=benchmarks {cache}{shlex.join(words(entry, options, places))}"


def relative(path: Path) -> str:
    """`path` as seen from the repository's root; not resolved, as the Python of an environment is a link."""
    return os.path.relpath(path, ROOT)


def run(entry: Entry, options: Mapping[str, object], places: Places) -> dict[str, Any]:
    """The answer of a case, its `moments` turned into figures. Raises `FailedError`."""
    foreign = Foreign()
    with _cache(entry, places) as cache, _busy(entry.busy):
        variables = os.environ | {"PYTHONPATH": str(HERE), "SEVENSTEPS_CACHE": str(cache), "NO_COLOR": "1"}
        started, begun = time.time(), time.perf_counter()
        try:
            done = subprocess.run(
                words(entry, options, places),
                cwd=ROOT,
                env=variables,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=MOST_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise FailedError(f"it was not done after {MOST_SECONDS} seconds") from error
        except OSError as error:
            raise FailedError(f"it could not be started: {error.strerror}") from error
        wall = time.perf_counter() - begun
    if done.returncode:
        raise FailedError(_last_line(done.stderr) or f"it ended with exit code {done.returncode}")
    try:
        answer = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise FailedError("it did not print its answer as a line of JSON") from error
    moments = {name: moment - started for name, moment in answer.pop("moments", {}).items()}
    answer["figures"] |= {"wall": wall, **moments}
    answer["foreign_cores"] = foreign.cores()
    return answer


def run_undisturbed(entry: Entry, options: Mapping[str, object], places: Places, attempts: int = 3) -> dict[str, Any]:
    """`run`, again where other programs were at work meanwhile: of all attempts the least disturbed."""
    answers = []
    for attempt in range(attempts):
        if attempt:
            wait_for_calm()
        answers.append(run(entry, options, places))
        if (answers[-1]["foreign_cores"] or 0.0) <= CALM:
            break
    return min(answers, key=lambda answer: answer["foreign_cores"] or 0.0)


def wait_for_calm(most_seconds: int = 60) -> None:
    """Wait until other programs leave the processors alone for two seconds."""
    for _ in range(most_seconds // 2):
        foreign = Foreign()
        time.sleep(2)
        if (foreign.cores() or 0.0) <= CALM:
            return


class Foreign:
    """How much the processors did for others than us and our processes, since this was made."""

    def __init__(self) -> None:
        self.begun, self.before = time.perf_counter(), self._seconds()

    def cores(self) -> float | None:
        """In processors: 1.0 is one that was taken all the time. None where the system does not tell."""
        if self.before is None:
            return None
        return round(max(0.0, self._seconds() - self.before) / (time.perf_counter() - self.begun), 3)

    def _seconds(self) -> float | None:
        if not STAT.exists():
            return None
        user, nice, system, _, _, irq, softirq, steal = map(int, STAT.read_text().split()[1:9])
        all_seconds = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
        us = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return all_seconds - sum(usage.ru_utime + usage.ru_stime for usage in us)


def check(answer: Mapping[str, Any], accuracy: float) -> None:
    """Raise `FailedError` for an answer that shows that nothing was learned."""
    proof = answer.get("check", {})
    before, after = proof.get("loss_before"), proof.get("loss_after")
    if before is not None and after is not None and not after < before:
        raise FailedError(f"it does not learn: its loss went from {before:.4f} to {after:.4f}")
    if proof.get("accuracy", 1.0) < accuracy:
        raise FailedError(f"it does not learn: its accuracy is {proof['accuracy']:.4f}, expected {accuracy} or more")
    if not answer.get("moved", True):
        raise FailedError("its first step did not change the weights")


@contextmanager
def _cache(entry: Entry, places: Places) -> Iterator[Path]:
    """The folder of the pixel cache: one that is new and goes away, or the one that stays."""
    if entry.cache == "filled":
        places.filled_cache.mkdir(parents=True, exist_ok=True)
        yield places.filled_cache
        return
    folder = Path(tempfile.mkdtemp(dir=places.work, prefix="cache-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _busy(count: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _last_line(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1].replace(str(ROOT), ".")[:300] if lines else ""
