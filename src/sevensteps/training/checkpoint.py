"""Checkpoints: a training as it stood after a step, so that it goes on from there to the same bits.

`checkpoints/step-00000469/` has `weights.safetensors`, `optimizer.safetensors`, `state.json` (how far it was, and what
the listeners had noted), and `manifest.json` with the SHA-256 of each. It is written under another name and renamed
when it is whole on the disk; the last two and the best are kept. What was random in the steps before needs no state:
every draw is a function of seed, purpose and step.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from ..distributed import rank
from ..errors import RequestError, TrainingError, as_written
from ..files import MANIFEST, atomic_folder, damages, make_folder, read_json, remove_folder, seal, write_bytes
from .callbacks import Callback
from .keepers import KeepBest
from .optimizers import BasicOptim
from .schedules import SCHEDULES, Schedule

if TYPE_CHECKING:
    from .learner import Learner

WEIGHTS, OPTIMIZER, STATE = "weights.safetensors", "optimizer.safetensors", "state.json"
KINDS: dict[str, Any] = {
    **dict.fromkeys(("epoch", "epochs", "epochs_done", "steps_done", "step_in_fit", "steps_per_epoch", "seed"), int),
    "lr_max": (int, float), "progress": (int, float), "schedule": (str, type(None)), "listeners": dict,
}  # fmt: skip
KEPT = 2  # the last ones, besides the best


@dataclass
class Checkpoint:
    """The weights, what the optimizer remembers, and the state of the loop and its listeners."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]

    @classmethod
    def of(cls, learn: Learner, *, epoch_is_over: bool) -> Checkpoint:
        """Of a fit under way, after a step or after an epoch with its validation."""
        state = {
            "epoch": learn.epoch - (not epoch_is_over),
            "epochs": learn.epochs,
            "epochs_done": learn.epochs_done + epoch_is_over,
            "steps_done": 0 if epoch_is_over else learn.step_in_epoch + 1,
            "step_in_fit": learn.step_in_fit + (not epoch_is_over),
            "steps_per_epoch": learn.steps_per_epoch,
            "lr_max": learn.lr_max,
            "progress": learn.progress,
            "schedule": next((name for name, it in SCHEDULES.items() if it is learn.schedule), None),
            "seed": learn.seed,
            "listeners": {type(it).__name__: it.to_state() for it in learn.listening if hasattr(it, "to_state")},
        }
        return cls(learn.model.state_dict(), _remembered(learn.opt), state)

    def save(self, folder: Path) -> None:
        """Write it, whole or not at all. Raises `StorageError`, and `TrainingError` for what is not finite."""
        for name, tensor in self.weights.items():
            if not bool(tensor.isfinite().all()):
                raise TrainingError(f"{name} has a value that is not finite", hint="try a lower learning rate")
        with atomic_folder(folder) as draft:
            write_bytes(draft / WEIGHTS, _bytes(self.weights))
            write_bytes(draft / OPTIMIZER, _bytes(self.optimizer))
            write_bytes(draft / STATE, json.dumps(self.state).encode())  # a loss may be NaN
            seal(draft)

    @classmethod
    def load(cls, folder: str | Path) -> Checkpoint:
        """Read a checkpoint, or the last whole one of a folder of them. Raises `RequestError` where there is none."""
        found = [Path(folder)] if (Path(folder) / MANIFEST).is_file() else checkpoints(folder)
        for candidate in reversed(found):
            try:
                if damages(candidate):
                    continue
                state = read_json(candidate / STATE)
                if not all(isinstance(state[name], kinds) for name, kinds in KINDS.items()):
                    continue
                weights = safetensors.torch.load_file(candidate / WEIGHTS)
                return cls(weights, safetensors.torch.load_file(candidate / OPTIMIZER), state)
            except (OSError, ValueError, KeyError, TypeError, SafetensorError):
                continue
        raise RequestError(
            f"{folder} holds no checkpoint that is whole", hint="expected a folder checkpoints/ of a run, or one of its"
        )

    @property
    def schedule(self) -> Schedule:
        """The schedule of the fit. Raises `RequestError` for one that is not of the house."""
        if self.state["schedule"] not in SCHEDULES:
            raise RequestError(
                "the schedule of this fit is not one of ours", hint="give resume(…, schedule=…) the same"
            )
        return SCHEDULES[self.state["schedule"]]

    def restore(self, learn: Learner) -> None:
        """Put a Learner that was made in the same way into this state. Raises `RequestError` for another one."""
        if learn.seed != self.state["seed"] or learn.steps_per_epoch != self.state["steps_per_epoch"]:
            raise RequestError(
                f"the checkpoint is of seed {self.state['seed']} and {self.state['steps_per_epoch']} steps an epoch, "
                f"not of seed {learn.seed} and {learn.steps_per_epoch}",
                hint="make the Learner with the same data, batch size and seed",
            )
        try:
            learn.model.load_state_dict(self.weights)
        except RuntimeError as error:
            raise RequestError(f"the checkpoint is of another network: {error}", hint="build the same one") from error
        if not (0 <= self.state["steps_done"] <= learn.steps_per_epoch and self.state["epochs_done"] >= 0):
            raise RequestError("the checkpoint is of a step that there is not", hint="resume from another one")
        with as_written("the checkpoint"):
            _remind(learn.opt, self.optimizer)
            self._remind_listeners(learn)
        for name in ("epoch", "epochs_done", "steps_done", "step_in_fit", "progress"):
            setattr(learn, name, self.state[name])

    def _remind_listeners(self, learn: Learner) -> None:
        for listener in learn.listening:
            if (noted := self.state["listeners"].get(type(listener).__name__)) is not None:
                listener.from_state(noted)  # type: ignore[attr-defined]


class Checkpoints(Callback):
    """Keeps checkpoints of a fit in `folder`: after every epoch, every `minutes`, and where it is `asked` to stop.

    An epoch that was cut short leaves none but that of its last step.
    """

    order: ClassVar[int] = 15  # after those who note things, before those who stop the fit

    def __init__(
        self,
        folder: str | Path,
        *,
        minutes: float | None = None,
        best: KeepBest | None = None,
        asked: Callable[[], bool] = lambda: False,
    ) -> None:
        self.folder, self.best, self.asked = Path(folder), best, asked
        self.seconds = 60 * minutes if minutes else float("inf")
        self.best_name = ""

    def before_fit(self) -> None:
        """Begin to count the minutes."""
        make_folder(self.folder)
        self.saved_at = time.monotonic()

    def after_batch(self) -> None:
        """Keep the training as it stands where it is time, or where it is to stop here."""
        if self.learn.training and (self.asked() or time.monotonic() - self.saved_at >= self.seconds):
            self._save(epoch_is_over=False)

    def after_epoch(self) -> None:
        """Keep the training as it stands after a whole epoch."""
        if self.learn.step_in_epoch + 1 == self.learn.steps_per_epoch:
            if self.best and self.best.epoch == self.learn.recorder.rows[-1].epoch:
                self.best_name = _name(self.learn.step_in_fit)
            self._save(epoch_is_over=True)

    def to_state(self) -> dict[str, Any]:
        """Which one is the best."""
        return {"best": self.best_name}

    def from_state(self, state: dict[str, Any]) -> None:
        """Go on with the best one so far."""
        self.best_name = state["best"]
        if self.best and self.best_name:
            self.best.weights = Checkpoint.load(self.folder / self.best_name).weights

    def _save(self, *, epoch_is_over: bool) -> None:
        if rank():  # of several processes the first one writes
            return
        checkpoint = Checkpoint.of(self.learn, epoch_is_over=epoch_is_over)
        folder = self.folder / _name(checkpoint.state["step_in_fit"])
        if folder.exists():  # as the last step of an epoch may have left it, before the epoch was validated
            remove_folder(folder)
        checkpoint.save(folder)
        self.saved_at = time.monotonic()
        for old in checkpoints(self.folder)[:-KEPT]:
            if old.name != self.best_name:
                remove_folder(old)


def checkpoints(folder: str | Path) -> list[Path]:
    """The checkpoints in a folder, the oldest first."""
    return sorted(Path(folder).glob("step-*"))


def _name(step: int) -> str:
    return f"step-{step:08}"


def _bytes(tensors: dict[str, Tensor]) -> bytes:
    copies = {name: it.detach().cpu().clone(memory_format=torch.contiguous_format) for name, it in tensors.items()}
    return safetensors.torch.save(copies)


def _remembered(opt: Any) -> dict[str, Tensor]:
    """What an optimizer of ours, or one of torch's, has of each weight, by the weight's number and its name there."""
    if isinstance(opt, BasicOptim):
        states = {number: dict(enumerate(opt.state.get(p, ()))) for number, p in enumerate(opt.params)}
    elif hasattr(opt, "state_dict"):
        states = opt.state_dict()["state"]
    else:
        raise RequestError(
            f"a {type(opt).__name__} cannot be kept in a checkpoint", hint="take SGD, AdamW, or an optimizer of torch's"
        )
    return {
        f"{number}.{name}": torch.as_tensor(value)
        for number, state in states.items()
        for name, value in state.items()
        if value is not None
    }


def _remind(opt: Any, tensors: dict[str, Tensor]) -> None:
    """Give an optimizer back what it remembered."""
    states: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        states.setdefault(int(number), {})[name] = tensor
    if not isinstance(opt, BasicOptim):
        opt.load_state_dict(opt.state_dict() | {"state": states})
        return
    counts: dict[float, Tensor] = {}  # weights that began together share one
    for place, state in states.items():
        p = opt.params[place]
        values = [state[str(number)] for number in range(len(state))]
        opt.state[p] = tuple(
            torch.empty_like(p).copy_(it)  # laid out in memory as the weight is
            if it.shape == p.shape
            else counts.setdefault(float(it), it.to(p.device))
            for it in values
        )
