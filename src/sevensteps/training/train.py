"""The main job: from labelled pictures to a trained, measured, saved classifier."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..data.dataloader import DataLoader
from ..data.dataloaders import DataLoaders
from ..devices import choose_device
from ..errors import DataError, TrainingError, as_written
from ..files import remove_folder
from ..models import networks
from ..models.evaluation import Evaluation
from ..models.model_folder import ModelFolder
from ..models.pixel_similarity import PixelSimilarity
from .callbacks import Callback
from .checkpoint import Checkpoints, checkpoints
from .keepers import KeepBest, StepLog, StepRow, StopWhenAsked, TimeLimit
from .layer_log import LayerLog, LayerRow
from .learner import Learner
from .machine import at_work
from .plan import BASELINE, Plan, asked_before, check_asked, make_plan
from .result import Baseline, Scored, Silence, TrainingResult, Watcher
from .run_folder import GrowingTable, RunFolder, changes, data_facts, differences, environment

BATCH = 256  # pictures that the baseline looks at together

__all__ = ["Scored", "TrainingResult", "Watcher", "resume", "train"]


def train(
    data: str | Path | None = None,
    *,
    model: str | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    device: str = "auto",
    out: str | Path = "runs",
    minutes: float | None = None,
    checkpoint_minutes: float | None = None,
    drop_leaks: bool = False,
    follow_links: bool = False,
    precision: str = "auto",
    threads: int | None = None,
    watcher: Watcher | None = None,
) -> TrainingResult:
    """Read `data`, measure the baseline, train a network past it, and save both figures and model in a run folder.

    `data` is a folder, a CSV, a folder of IDX files, a dataset's name, or None for the embedded digits; `model` a
    registered network or "pixel_similarity"; what is None is chosen from the pictures. The network is chosen by the
    validation set (the best epoch is kept); a test set is looked at once, at the end. Ctrl-C ends the training at the
    next batch and keeps what was learned. `precision` and `threads` are the `Learner`'s. Checkpoints are kept after
    every epoch, where it is stopped, and every `checkpoint_minutes`; `resume` goes on from the last. What `check` says
    of the data is told; with `drop_leaks` training pictures that valid or test has too are left out; with
    `follow_links` symbolic links in a folder are followed. Raises `RequestError`, `DataError`, `TrainingError`,
    `StorageError`.
    """
    asked = {
        "data": str(data) if data is not None else None, "model": model, "epochs": epochs, "lr": lr,
        "batch_size": batch_size, "seed": seed, "device": device, "minutes": minutes,
        "checkpoint_minutes": checkpoint_minutes, "drop_leaks": drop_leaks, "follow_links": follow_links,
        "precision": precision, "threads": threads,
    }  # fmt: skip
    check_asked(asked)
    started, watcher, chosen_device = time.perf_counter(), watcher or Silence(), choose_device(device)
    with at_work(threads, chosen_device):
        plan = make_plan(asked, watcher)
        watcher.found(plan.dls, plan.where)
        run = RunFolder.create(out, _name(data))
        with run.held():
            try:
                _describe(run, asked, plan)
                ready = _make(run, plan, chosen_device, asked, watcher)
                ready.folder.reserve(run.model)  # a disk that is full is found out now, not after the training
                _write_environment(run, plan, ready)
            except BaseException:  # Ctrl-C, a full disk: nothing was learned yet
                remove_folder(run.path)
                raise
            return _train(run, plan, ready, asked, watcher, started)


def resume(run: str | Path, *, accept_changed_data: bool = False, watcher: Watcher | None = None) -> TrainingResult:
    """Go on with a run that was stopped or killed, from its last checkpoint, to the bits that it would have come to.

    Threads and precision are those of before; what else is other on this machine is told in the notes. Raises
    `RequestError` for a folder that is no run or that another process trains in, `DataError` where the data have
    changed, unless that is accepted; else what `train` raises.
    """
    started, watcher, folder = time.perf_counter(), watcher or Silence(), RunFolder.open(run)
    with folder.held():
        asked, before = asked_before(folder)
        device = choose_device(str(asked["device"]))
        with at_work(asked["threads"], device):
            plan = make_plan(asked, watcher)
            known = (folder.path / "data.json").exists()
            with as_written(folder.path):
                changed = changes(folder.read_json("data.json"), data_facts(plan.dls, plan.findings)) if known else ""
                other = differences(before, environment(device)) if before else []
            if changed and not accept_changed_data:
                raise DataError(
                    f"the data of {folder.path} have changed: {changed}",
                    hint="--accept-changed-data goes on with them as they are now",
                )
            plan.dls.notes += [f"bits not guaranteed: {', '.join(other)}"] if other else []
            watcher.found(plan.dls, plan.where)
            ready = _make(folder, plan, device, asked, watcher)
            if changed or not known:
                _describe(folder, asked, plan)
            if not before:  # it was killed before it began
                _write_environment(folder, plan, ready)
            return _train(folder, plan, ready, asked, watcher, started)


class _Ready(NamedTuple):
    """What trains, where it is kept, and what it is compared with."""

    learn: Learner
    folder: ModelFolder
    facts: dict[str, Any]
    similarity: PixelSimilarity
    baseline: Baseline


def _make(run: RunFolder, plan: Plan, device: torch.device, asked: dict[str, Any], watcher: Watcher) -> _Ready:
    dls, preprocessing, name = plan.dls, plan.preprocessing, plan.name
    similarity = PixelSimilarity().fit(dls.train, dls.vocab)
    ModelFolder(similarity, dls.vocab or [], preprocessing).save(run.baseline)
    baseline = _score_baseline(similarity, dls, "valid")
    watcher.baseline(baseline.evaluation)
    network = similarity if name == BASELINE else plan.network(asked["seed"])
    facts = _facts(name, network, similarity)
    learn = plan.learner(network, asked, device)
    facts |= {"precision": learn.precision, "threads": learn.threads, "device": str(device)}
    return _Ready(learn, ModelFolder(network, dls.vocab or [], preprocessing), facts, similarity, baseline)


def _write_environment(run: RunFolder, plan: Plan, ready: _Ready) -> None:
    found = environment(ready.learn.device)
    run.write_json(
        "environment.json", found | {"precision": ready.learn.precision, "batch_size": plan.recipe.batch_size}
    )


def _train(
    run: RunFolder, plan: Plan, ready: _Ready, asked: dict[str, Any], watcher: Watcher, started: float
) -> TrainingResult:
    dls, learn = plan.dls, ready.learn
    watcher.model(ready.facts, plan.recipe)
    best, interrupted, earlier = 0, False, 0.0
    if plan.name == BASELINE:
        ready.folder.save(run.model)
    else:
        best, interrupted, earlier = _fit(run, plan, ready, asked, watcher)
    scored = {split: _score(learn, loader) for split, loader in dls.splits.items() if split != "train"}
    baselines = {"valid": ready.baseline}
    if dls.test:
        baselines["test"] = _score_baseline(ready.similarity, dls, "test")
    result = TrainingResult(
        run=run, dls=dls, model=ready.folder, model_facts=ready.facts, similarity=ready.similarity,
        baselines=baselines, scored=scored, epochs=learn.recorder.rows, planned_epochs=plan.recipe.epochs,
        best_epoch=best, config=asked, seconds=earlier + time.perf_counter() - started, interrupted=interrupted,
        findings=plan.findings,
    )  # fmt: skip
    result.write()
    watcher.finished(result)
    return result


def _fit(run: RunFolder, plan: Plan, ready: _Ready, asked: dict[str, Any], watcher: Watcher) -> tuple[int, bool, float]:
    """Train, keeping the best epoch on disk; its number, whether the user stopped it, and earlier sittings' seconds."""
    learn, minutes = ready.learn, asked["minutes"]
    best, log, layers, stop = KeepBest(lambda: ready.folder.save(run.model)), StepLog(), LayerLog(), StopWhenAsked()
    kept = Checkpoints(run.checkpoints, minutes=asked["checkpoint_minutes"], best=best, asked=lambda: stop.agreed)
    reporter = _Reporter(run, log, layers, watcher)
    cbs = [best, log, layers, kept, stop, *([TimeLimit(minutes)] if minutes else []), reporter]
    try:
        with stop.listening():
            if checkpoints(run.checkpoints):
                learn.resume(run.checkpoints, cbs=cbs)
            else:
                learn.fit_one_cycle(plan.recipe.epochs, cbs=cbs)
    except TrainingError as error:
        reporter.write_logs()  # they tell how it came to that
        if best.weights:
            error.hint += f"; the best epoch before that, epoch {best.epoch}, is kept in {run.model}"
        raise
    if not best.weights:
        raise TrainingError("no epoch ended with a finite loss", hint=f"try a lower --lr than {learn.lr_max:.3g}")
    best.restore()
    ready.folder.save(
        run.model
    )  # also where the folder had the weights of an epoch that was cut short, and then begun anew
    return best.epoch, stop.agreed, reporter.earlier


class _Reporter(Callback):
    """Tells the watcher of batches and epochs, and writes the tables of the run after each epoch."""

    def __init__(self, run: RunFolder, log: StepLog, layers: LayerLog, watcher: Watcher) -> None:
        self.run, self.watcher = run, watcher
        self.tables: list[tuple[GrowingTable, StepLog | LayerLog]] = [
            (run.growing_table("steps.csv", StepRow._fields), log),
            (run.growing_table("layers.csv", LayerRow._fields), layers),
        ]

    def before_fit(self) -> None:
        """Note the seconds of the epochs that a checkpoint brought; take back the results of a run that goes on."""
        learn = self.learn
        self.earlier = sum(row.seconds for row in learn.recorder.rows)
        if learn.epochs_done < learn.epochs:
            self.run.reopen()

    def after_batch(self) -> None:
        learn = self.learn
        if learn.training:
            self.watcher.progress(
                f"epoch {learn.epoch} of {learn.epochs}", learn.step_in_epoch + 1, learn.steps_per_epoch
            )

    def after_epoch(self) -> None:
        rows = self.learn.recorder.rows
        head = ["epoch", "train_loss", "valid_loss", *rows[0].metrics, "seconds", "pictures_per_second"]
        cells = [[row.epoch, row.train_loss, row.valid_loss, *row.metrics.values(), *row[-2:]] for row in rows]
        self.run.write_table("history.csv", head, cells)
        self.write_logs()
        self.watcher.epoch(rows[-1], self.learn.epochs)

    def write_logs(self) -> None:
        """The tables of the steps and of the layers so far."""
        for table, log in self.tables:
            table.write(log.rows)


def _describe(run: RunFolder, asked: dict[str, Any], plan: Plan) -> None:
    """Write down what was asked, what was chosen, and from which data."""
    recipe = plan.recipe
    chosen = {
        "model": plan.name, "epochs": recipe.epochs, "lr": recipe.lr, "batch_size": recipe.batch_size,
        "weight_decay": recipe.weight_decay, "augment": str(recipe.augment or "none"),
        "preprocessing": plan.preprocessing.rule,
    }  # fmt: skip
    run.write_config(asked | {"recipe": chosen})
    run.write_json("data.json", data_facts(plan.dls, plan.findings))


def _score_baseline(similarity: PixelSimilarity, dls: DataLoaders, split: str) -> Baseline:
    pictures = dls.splits[split].collection
    predicted = torch.cat([similarity.predict(xb) for xb, _ in DataLoader(pictures, BATCH)])
    return Baseline(Evaluation.of(predicted, pictures.labels, dls.vocab or []), predicted == pictures.labels)


def _facts(name: str, network: torch.nn.Module, similarity: PixelSimilarity) -> dict[str, Any]:
    operations = networks.count_operations(network, tuple(similarity.archetypes.shape[1:]))
    # pixel similarity has no layers: one subtraction for each pixel of each archetype
    operations = operations or similarity.archetypes.numel()
    return {"name": name, "parameters": networks.count_parameters(network), "operations": operations}


def _name(data: str | Path | None) -> str:
    if data is None:
        return "digits"
    path = Path(data).resolve()
    return path.stem if path.is_file() else path.name


def _score(learn: Learner, dl: Any) -> Scored:
    preds, targets = learn.get_preds(dl)
    return Scored(preds, targets, Evaluation.of(preds.argmax(1), targets, learn.dls.vocab or []))
