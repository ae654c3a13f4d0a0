"""The Learner: the seven steps of stochastic gradient descent, and everything that listens to them.

1. initialise  2. predict  3. loss  4. gradient  5. step  6. repeat  7. stop
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..data.dataloader import DataLoader
from ..data.dataloaders import DataLoaders
from ..devices import choose_device
from ..errors import RequestError
from ..models.evaluating import evaluating
from ..models.function_model import FunctionModel
from ..models.model_folder import ModelFolder
from ..models.predictor import Prediction, Predictor
from ..models.summary import summary
from ..randomness import seed_for, seed_torch, torch_seeded
from .callbacks import (
    EVENTS,
    Callback,
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelTrainException,
    CancelValidException,
    as_callbacks,
)
from .checkpoint import Checkpoint
from .checks import check_count, check_lr, check_pair, count_batches
from .losses import cross_entropy
from .machine import at_work, choose_precision, compiled, in_fast_layout, in_precision, sound_gradients
from .optimizers import SGD, OptFunc, make_optimizer, set_lr
from .recorder import EpochTable, Recorder
from .schedules import Schedule, constant, one_cycle
from .together import together

if TYPE_CHECKING:
    from ..insight.trace import Trace


class Learner:
    """Trains `model` on `dls.train`, watching `dls.valid`.

    `model` is any `nn.Module`, or a plain function of tensors; `loss_func(preds, yb)` any callable (cross-entropy if
    not given); `opt_func(params, lr=…)` makes the optimizer; `metrics` is one metric or several; `cbs` are listeners;
    `seed` draws the order of the pictures, augmentation and dropout; `device` is "auto", "cpu", "cuda" or "mps".
    `precision` is "fp32", "bf16" (the model's products while it trains; weights, loss and answers are float32), or
    "auto", the faster of the two; `threads` how many the CPU gives, by default as many as are free. `compile` trains by
    `torch.compile`, which takes up to minutes to begin and pays on a GPU.

    While it trains, `xb`, `yb`, `preds`, `loss`, `lr` and the gradients of the batch lie open as plain attributes.
    `recorder` keeps the figures. Raises `RequestError` for arguments that make no sense.
    """

    def __init__(
        self,
        dls: DataLoaders,
        model: nn.Module | Callable[[Tensor], Tensor],
        *,
        loss_func: Callable[[Tensor, Tensor], Tensor] | None = None,
        opt_func: OptFunc = SGD,
        lr: float = 1e-3,
        metrics: Any = None,
        cbs: Callback | Iterable[Callback] | None = None,
        seed: int = 0,
        device: str | torch.device = "auto",
        precision: str = "auto",
        threads: int | None = None,
        compile: bool = False,
        quiet: bool = False,
    ) -> None:
        self.dls, self.seed = dls, seed
        self.lr = self.default_lr = check_lr(lr)
        self.device = choose_device(device)
        if isinstance(model, nn.Module):
            self.model = in_fast_layout(model.to(self.device))
        else:  # its weights are the caller's own tensors, so the batches go to them
            self.model = FunctionModel(model)
            self.device = next(self.model.parameters()).device
        self.precision = choose_precision(precision, self.device, self.model)
        self._trained = compiled(self.model, self.device) if compile else self.model
        self.threads = threads if threads is None else check_count("number of threads", threads)
        self.loss_func, self.opt_func = loss_func or cross_entropy, opt_func
        self.metrics = list(metrics) if isinstance(metrics, list | tuple) else [] if metrics is None else [metrics]
        self.recorder = Recorder()
        self.cbs: list[Callback] = [self.recorder, *([] if quiet else [EpochTable()]), *as_callbacks(cbs)]
        self.opt: Any = None
        self.preds: Any = None
        self.loss: Any = None
        self.epoch, self.training = 0, False  # epochs begun since this Learner was made
        self._listeners: dict[str, list[Callable[[], None]]] = {}

    # -- the seven steps ------------------------------------------------------------------------------------------

    def fit(self, epochs: int, lr: float | None = None, *, schedule: Schedule = constant, cbs: Any = None) -> None:
        """Train for `epochs` passes over the training set at learning rate `lr`, or as `schedule` varies it."""
        self._initialise(epochs, lr, schedule, as_callbacks(cbs))
        self._run()

    def _initialise(self, epochs: int, lr: float | None, schedule: Schedule, cbs: list[Callback]) -> None:
        self.epochs, self.schedule = check_count("number of epochs", epochs), schedule
        self.lr = self.lr_max = self.default_lr if lr is None else check_lr(lr)
        self.opt = self.opt or make_optimizer(self.opt_func, self.model.parameters(), self.lr)
        self.step_in_fit, self.steps_per_epoch, self.progress = 0, count_batches(self.dls.train), 0.0
        self.epochs_done = self.steps_done = 0  # of this fit; of its epoch, where it goes on in the middle of one
        self._listen(self.cbs, cbs, together())

    def _predict(self) -> None:
        self.preds = in_precision(self.precision, self._trained, self.xb) if self.training else self.model(self.xb)
        self._tell("after_pred")

    def _loss(self) -> None:
        self.loss = self.loss_func(self.preds, self.yb)
        self._tell("after_loss")

    def _gradient(self) -> None:
        self._tell("before_backward")
        self.opt.zero_grad()  # backward adds to the gradients that are there
        self.loss.backward()
        self._tell("after_backward")

    def _step(self) -> None:
        self._tell("before_step")
        self.opt.step()
        self._tell("after_step")

    def _repeat(self) -> None:
        while self.epochs_done < self.epochs:  # unless a listener cancels the fit
            self.epoch += 1
            self._during("epoch", CancelEpochException, self._one_epoch)
            self.epochs_done, self.steps_done = self.epochs_done + 1, 0

    def _stop(self) -> None:
        self.training = False
        self.model.eval()  # ready to answer
        self._listen(self.cbs)

    # -- an epoch: the training batches, then the validation batches --------------------------------------------------

    def _one_epoch(self) -> None:
        self._during("train", CancelTrainException, self._train)
        if self.dls.valid is not None:
            self._during("validate", CancelValidException, lambda: self._validate(self.dls.valid))

    def _train(self) -> None:
        self.training = True
        self.model.train()
        seed = seed_for(self.seed, "model", self.epoch)
        self.step_in_epoch = self.steps_done - 1
        for step, batch in enumerate(self._batches(self.dls.train, self.steps_done), start=self.steps_done):
            self.step_in_epoch = step
            seed_torch(seed + step)
            self._take(batch)
            self.advance_to(self.step_in_fit / (self.epochs * self.steps_per_epoch))
            self._one_batch(self._predict, self._loss, self._gradient, self._step)
            self.step_in_fit += 1

    def _validate(self, dl: Any) -> None:
        self.training = False
        self.model.eval()
        with torch.no_grad():
            for batch in self._batches(dl):
                self._take(batch)
                self._one_batch(self._predict, self._loss)

    def _one_batch(self, *steps: Callable[[], None]) -> None:
        try:
            self._tell("before_batch")
            for step in steps:
                step()
        except CancelBatchException:
            self._tell("after_cancel_batch")
        self._tell("after_batch")

    # -- what a user does besides -----------------------------------------------------------------------------------

    def fit_one_cycle(self, epochs: int, lr: float | None = None, *, cbs: Any = None) -> None:
        """Train with the learning rate going up to `lr` and down again, once over all epochs (Smith & Topin 2017)."""
        self.fit(epochs, lr, schedule=one_cycle, cbs=cbs)

    def resume(self, checkpoint: str | Path, *, schedule: Schedule | None = None, cbs: Any = None) -> None:
        """Go on with a fit from a checkpoint (see `Checkpoints`) to its end, as if it had never stopped.

        For a Learner made with the same arguments. Raises `RequestError` for another, or where there is none.
        """
        point = Checkpoint.load(checkpoint)
        self._initialise(point.state["epochs"], point.state["lr_max"], schedule or point.schedule, as_callbacks(cbs))
        point.restore(self)
        self._run()

    def validate(self, dl: Any = None) -> list[float]:
        """[loss, metric, …] over `dl`, by default the validation set. Changes no weight."""
        dl = self._valid(dl)
        account = Recorder()  # so that a fit under way keeps its own
        with self._looking():
            self._listen([account], [callback for callback in self.cbs if callback is not self.recorder])
            self._during("validate", CancelValidException, lambda: self._validate(dl))
        if not account.validation:
            raise RequestError("the loader has no batch to validate on", hint="give a loader with pictures in it")
        return account.validation

    def get_preds(self, dl: Any = None) -> tuple[Tensor, Tensor]:
        """Raw scores (N×classes) and targets (N) for all of `dl`, by default the validation set; on the CPU."""
        pairs = []
        with self._looking():
            for xb, yb in map(self._pair, self._batches(self._valid(dl))):
                pairs.append((self.model(xb).cpu(), yb.cpu()))
        if not pairs:
            raise RequestError("the loader has no batch to predict", hint="give a loader with pictures in it")
        preds, targets = (torch.cat(column) for column in zip(*pairs, strict=True))
        return preds, targets

    def predict(self, picture: Any) -> Prediction:
        """The class of one picture (a path, bytes, a PIL image, an array) and the probability of each class."""
        with self._looking():
            return Predictor(ModelFolder.of(self.model, self.dls), self.device).predict(picture)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write a model folder. Raises `RequestError` where `folder` exists, unless `overwrite`."""
        if Path(folder).exists() and not overwrite:
            raise RequestError(f"{folder} exists already", hint="choose another name, or pass overwrite=True")
        return ModelFolder.of(self.model, self.dls).save(folder)

    def load(self, folder: str | Path) -> Learner:
        """Take the weights of a model folder of the same network. Raises `ModelFolderError`, `RequestError`."""
        loaded = ModelFolder.load(folder)
        loaded.check_same(self.model, self.dls.vocab, self.dls.preprocessing, str(folder))
        self.model.load_state_dict(loaded.model.state_dict())
        return self

    def summary(self) -> str:
        """A table of the layers: what each gives, and how many parameters it has."""
        with self._looking():
            return summary(self.model, self._pair(next(self._batches(self.dls.train)))[0][:2])

    def trace(self, lr: float | None = None) -> Trace:
        """The seven steps of the next batch, as a record that prints and draws; then all is as it was.

        `lr` is by default that of the last fit. Raises `RequestError` while a fit is under way.
        """
        from ..insight.tracer import trace_next_step  # the one look upwards: see docs/decisions/0011

        return trace_next_step(self, lr)

    def advance_to(self, progress: float) -> None:
        """Set the learning rate for a point of the schedule, 0 to 1, unless it is past that already."""
        self.progress = max(self.progress, progress)
        self.lr = self.schedule(self.progress, self.lr_max)
        set_lr(self.opt, self.lr)

    # -- how the loop is wired --------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with torch_seeded(self.seed, "fit"), at_work(self.threads, self.device), sound_gradients(self.model):
                self._during("fit", CancelFitException, self._repeat)
        finally:
            self._stop()

    def _during(self, part: str, cancel: type[Exception], body: Callable[[], None]) -> None:
        try:
            self._tell("before_" + part)
            body()
        except cancel:
            self._tell("after_cancel_" + part)
        self._tell("after_" + part)

    def _tell(self, event: str) -> None:
        for listener in self._listeners[event]:
            listener()

    def _listen(self, *callbacks: list[Callback]) -> None:
        self.listening = sorted(itertools.chain(*callbacks), key=lambda callback: callback.order)
        for callback in self.listening:
            callback.learn = self
        self._listeners = {name: [getattr(it, name) for it in self.listening if hasattr(it, name)] for name in EVENTS}

    def _batches(self, dl: Any, first: int = 0) -> Iterator[Any]:
        if isinstance(dl, DataLoader):
            return dl.batches(seed=self.seed, epoch=self.epoch, device=self.device, first=first)
        seed_torch(seed_for(self.seed, "order", self.epoch))  # torch's loaders draw from the global generator
        return itertools.islice(dl, first, None)

    def _take(self, batch: Any) -> None:
        self.xb, self.yb = self._pair(batch)
        self.preds = self.loss = None  # so that a batch that is cancelled leaves no other batch's behind
        self.pictures = len(self.yb)

    def _pair(self, batch: Any) -> tuple[Tensor, Tensor]:
        xb, yb = check_pair(batch)
        if xb.device != self.device or yb.device != self.device:
            return xb.to(self.device, non_blocking=True), yb.to(self.device, non_blocking=True)
        return xb, yb

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """No gradients, evaluation mode, the caller's random numbers unmoved; a fit that is under way goes on after."""
        before = dict(vars(self))
        try:
            with evaluating(self.model), torch.no_grad(), torch_seeded(self.seed, "look"):
                yield
        finally:
            vars(self).update(before)  # the batch in hand, and who listens

    def _valid(self, dl: Any) -> Any:
        """`dl`, or the validation set; a loader of ours in its collection's order, whole and not augmented."""
        dl = self.dls.valid if dl is None else dl
        if dl is None:
            raise RequestError("there is no validation set", hint="give DataLoaders a valid loader, or name a loader")
        return DataLoader(dl.collection, dl.batch_size, workers=dl.workers) if isinstance(dl, DataLoader) else dl
