"""Any step of any run, made again: from the nearest checkpoint forward, and held against what the run recorded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from ..devices import choose_device
from ..errors import DataError, RequestError, TrainingError, as_written
from ..files import damages
from ..training.callbacks import Callback
from ..training.checkpoint import checkpoints
from ..training.checks import count_batches
from ..training.keepers import StepLog, StepRow
from ..training.machine import at_work
from ..training.optimizers import set_lr
from ..training.plan import BASELINE, asked_before, make_plan
from ..training.result import Silence, Watcher
from ..training.run_folder import RunFolder, changes, data_facts, differences, environment
from ..words import finite
from .record import recorded_steps
from .trace import Trace
from .tracer import Tracer, Until


class Replayed(NamedTuple):
    """A step that was made again: `exact` is whether its loss, learning rate and gradient norm are the recorded ones.

    To the last bit; `why` says why not. None where the run has no record of the step.
    """

    trace: Trace
    exact: bool | None
    why: str
    recorded: StepRow | None
    replayed: StepRow
    begun_at: int  # the step of the checkpoint; 0 without one

    def to_dict(self, *, parameters: bool = False) -> dict[str, Any]:
        """Fit for JSON: the proof, and the seven steps."""
        proof = {
            "exact": self.exact, "why": self.why, "recorded": self.recorded and self.recorded._asdict(),
            "replayed": self.replayed._asdict(), "begun_at": self.begun_at,
        }  # fmt: skip
        document: dict[str, Any] = finite(proof)
        return document | self.trace.to_dict(parameters=parameters)


class Replay:
    """A run's folder, with its data read again, ready to train once more what it has trained.

    Raises `RequestError` for a folder that is no run, or one in which nothing was trained; `DataError` where its data
    have changed. Nothing is written into the folder.
    """

    def __init__(self, run: str | Path, watcher: Watcher | None = None) -> None:
        self.watcher = watcher or Silence()
        self.folder = RunFolder.open(run)
        self.asked, before = asked_before(self.folder)
        if self.asked["model"] == BASELINE:
            raise RequestError(f"{run} trained nothing: pixel similarity has no steps", hint="look at another run")
        self.device = choose_device(str(self.asked["device"]))
        with at_work(self.asked["threads"], self.device):
            self.plan = make_plan(self.asked, self.watcher)
            with as_written(self.folder.path):
                self.differences = differences(before, environment(self.device)) if before else []
        if (self.folder.path / "data.json").exists():
            with as_written(self.folder.path):
                changed = changes(self.folder.read_json("data.json"), data_facts(self.plan.dls))
            if changed:
                raise DataError(f"the data of {run} have changed: {changed}", hint="its steps need the same pictures")

    @cached_property
    def recorded(self) -> list[StepRow]:
        """What the run recorded of its steps."""
        return recorded_steps(self.folder)

    @property
    def steps(self) -> int:
        """How many steps the run made; of one that was killed, how many it was to make."""
        is_over = (self.folder.path / "result.json").is_file()
        broke_down = bool(self.recorded) and not math.isfinite(self.recorded[-1].loss + self.recorded[-1].gradient_norm)
        if is_over or broke_down:
            return len(self.recorded)
        return self.plan.recipe.epochs * count_batches(self.plan.dls.train)

    def step(self, number: int) -> Replayed:
        """Make step `number` (from 0) again. Raises `RequestError` where the run has no such step."""
        if not 0 <= number < self.steps:
            raise RequestError(f"the run has no step {number}", hint=f"it has 0 to {self.steps - 1}")
        tracer, log = Tracer(number), StepLog()
        begun_at = self.train([tracer, log], until=number)
        if tracer.trace is None or len(log.rows) != number + 1:  # a checkpoint that says it is of another step
            where = self.folder.checkpoints
            raise RequestError(f"step {number} was not reached from step {begun_at}", hint=f"is {where} as it was?")
        replayed = log.rows[number]
        recorded = self.recorded[number] if number < len(self.recorded) else None
        exact, why = self._compared(recorded, replayed)
        return Replayed(tracer.trace, exact, why, recorded, replayed, begun_at)

    def train(self, cbs: Iterable[Callback], until: int | None = None) -> int:
        """Train again with other listeners: from the last checkpoint before step `until`, or all that is recorded.

        Says at which step it began. A loss that is not finite ends it where it ended the run.
        """
        with at_work(self.asked["threads"], self.device):
            learn = self.plan.learner(self.plan.network(self.asked["seed"]), self.asked, self.device)
            total = (len(self.recorded) or self.steps) if until is None else until + 1
            rates = [_RecordedRates(self.recorded)] if self.asked["minutes"] else []  # the clock had a say in them
            listeners = [*cbs, *rates, Until(total, self.watcher)]
            point = self._checkpoint_before(until) if until else None
            try:
                if point:
                    learn.resume(point, cbs=listeners)
                else:
                    learn.fit_one_cycle(self.plan.recipe.epochs, cbs=listeners)
            except TrainingError:
                if learn.step_in_fit + 1 != total:
                    raise
        return _number(point) if point else 0

    def _checkpoint_before(self, step: int) -> Path | None:
        """The last whole checkpoint from which the step can be reached."""
        for path in reversed([it for it in checkpoints(self.folder.checkpoints) if 0 <= _number(it) <= step]):
            if not damages(path):
                return path
        return None

    def _compared(self, recorded: StepRow | None, replayed: StepRow) -> tuple[bool | None, str]:
        if recorded is None:
            return None, "the run has no record of this step: it was stopped before"
        if all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(recorded, replayed, strict=True)):
            return True, ""
        return False, self.why_other("its record changed")

    def why_other(self, suspect: str) -> str:
        """Why the training, made again, came to other bits: differences of the machine, or else a question."""
        if self.differences:
            return f"on this machine bits are not guaranteed: {', '.join(self.differences)}"
        return f"versions, processor and threads are the same: was it continued elsewhere, or {suspect}?"


class _RecordedRates(Callback):
    """Sets the learning rate that the run recorded for each step."""

    order: ClassVar[int] = -60

    def __init__(self, recorded: Sequence[StepRow]) -> None:
        self.recorded = recorded

    def before_batch(self) -> None:
        learn = self.learn
        if learn.training and learn.step_in_fit < len(self.recorded):
            learn.lr = self.recorded[learn.step_in_fit].lr
            set_lr(learn.opt, learn.lr)


def _number(checkpoint: Path) -> int:
    """The step at which a checkpoint begins, by its name; -1 for another name."""
    step = checkpoint.name.partition("-")[2]
    return int(step) if step.isdecimal() else -1
