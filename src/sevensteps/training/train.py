"""The main job: from labelled pictures to a trained, measured, saved classifier."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from ..data.dataloaders import DataLoaders
from ..data.preprocessing import Preprocessing
from ..data.sources import read_source
from ..devices import choose_device
from ..errors import DataError, RequestError, TrainingError
from ..files import remove_folder
from ..models import networks
from ..models.evaluation import Evaluation
from ..models.model_folder import ModelFolder, default_card
from ..models.pixel_similarity import PixelSimilarity
from .callbacks import Callback
from .checks import check_count, check_lr
from .keepers import KeepBest, StepLog, StopWhenAsked, TimeLimit
from .learner import Learner
from .machine import PRECISIONS, at_work
from .metrics import accuracy
from .optimizers import AdamW
from .recipes import Recipe, default_network, recipe_for
from .result import Scored, Silence, TrainingResult, Watcher
from .run_folder import RunFolder, environment, fingerprint

__all__ = ["Scored", "TrainingResult", "Watcher", "train"]

BASELINE = "pixel_similarity"


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
    precision: str = "auto",
    threads: int | None = None,
    watcher: Watcher | None = None,
) -> TrainingResult:
    """Read `data`, measure the baseline, train a network past it, and save both figures and model in a run folder.

    `data` is a folder, a CSV, a folder of IDX files, a dataset's name, or None for the embedded digits; `model` a
    registered network or "pixel_similarity"; what is None is chosen from the pictures. The network is chosen by the
    validation set (the best epoch is kept); a test set is looked at once, at the end. Ctrl-C ends the training at the
    next batch and keeps what was learned. `precision` and `threads` are the `Learner`'s. Raises `RequestError`,
    `DataError`, `TrainingError`, `StorageError`.
    """
    asked = {
        "data": str(data) if data is not None else None, "model": model, "epochs": epochs, "lr": lr,
        "batch_size": batch_size, "seed": seed, "device": device, "minutes": minutes, "precision": precision,
        "threads": threads,
    }  # fmt: skip
    _check(model, epochs, lr, batch_size, minutes, precision, threads)
    chosen_device = choose_device(device)
    with at_work(threads, chosen_device):
        return _train(data, asked, chosen_device, out, watcher or Silence())


def _train(
    data: str | Path | None, asked: dict[str, Any], device: torch.device, out: str | Path, watcher: Watcher
) -> TrainingResult:
    started = time.perf_counter()
    seed = asked["seed"]
    labelled = read_source(data, progress=watcher.progress)
    preprocessing = labelled.preprocessing
    if preprocessing is None:
        raise DataError(f"{labelled.where} holds no pictures", hint="expected uint8 pictures")
    name = asked["model"] or default_network(preprocessing)
    pictures = len(labelled.splits["train"].x) if "train" in labelled.splits else 0
    recipe = recipe_for(name, pictures, preprocessing)
    recipe = replace(recipe, **{key: asked[key] for key in ("epochs", "lr", "batch_size") if asked[key]})
    dls = DataLoaders.from_data(labelled, batch_size=recipe.batch_size, augment=recipe.augment, seed=seed)
    watcher.found(dls, labelled.where)

    run = RunFolder.create(out, _name(data))
    try:
        _describe(run, asked, name, recipe, dls)
        similarity, baseline = _measure_baseline(run, dls, preprocessing)
        watcher.baseline(baseline)
        network = similarity if name == BASELINE else networks.for_data(name, dls, seed=seed)
        folder, facts = ModelFolder(network, dls.vocab or [], preprocessing), _facts(name, network, similarity)
        folder.reserve(run.model)  # a disk that is full is found out now, not after the training
        learn = Learner(
            dls, network, lr=recipe.lr, opt_func=partial(AdamW, weight_decay=recipe.weight_decay), metrics=accuracy,
            seed=seed, device=device, precision=asked["precision"], threads=torch.get_num_threads(), quiet=True,
        )  # fmt: skip
        facts |= {"precision": learn.precision, "threads": learn.threads, "device": str(device)}
        run.write_json("environment.json", environment(device) | {"precision": learn.precision})
        watcher.model(facts, recipe)
    except BaseException:  # Ctrl-C, a full disk: nothing was learned yet
        remove_folder(run.path)
        raise

    best, interrupted = 0, False
    if name == BASELINE:
        folder.save(run.model)
    else:
        best, interrupted = _fit(learn, recipe.epochs, run, folder, asked["minutes"], watcher)
    scored = {split: _score(learn, loader) for split, loader in dls.splits.items() if split != "train"}
    result = TrainingResult(
        run=run, dls=dls, model=folder, model_facts=facts, similarity=similarity, baseline=baseline,
        baseline_test=similarity.evaluate(dls.test) if dls.test else None, scored=scored,
        epochs=learn.recorder.rows, planned_epochs=recipe.epochs, best_epoch=best, config=asked,
        seconds=time.perf_counter() - started, interrupted=interrupted,
    )  # fmt: skip
    _finish(result)
    watcher.finished(result)
    return result


def _check(model: Any, epochs: Any, lr: Any, batch_size: Any, minutes: Any, precision: Any, threads: Any) -> None:
    if model is not None and model not in networks.names():
        raise RequestError(f"no network is called {model!r}", hint=f"the networks are {', '.join(networks.names())}")
    for what, number in (("number of epochs", epochs), ("batch size", batch_size), ("number of threads", threads)):
        if number is not None:
            check_count(what, number)
    if lr is not None:
        check_lr(lr)
    if precision not in PRECISIONS:
        raise RequestError(f"precision is {precision!r}", hint=f"expected one of {', '.join(PRECISIONS)}")
    if minutes is not None and not (isinstance(minutes, int | float) and minutes > 0):
        raise RequestError(f"minutes is {minutes!r}", hint="expected a number above 0")


def _fit(
    learn: Learner, epochs: int, run: RunFolder, folder: ModelFolder, minutes: float | None, watcher: Watcher
) -> tuple[int, bool]:
    """Train, keeping the best epoch on disk; the best epoch's number, and whether the user stopped it."""
    best, log, stop = KeepBest(lambda: folder.save(run.model)), StepLog(), StopWhenAsked()
    limits = [TimeLimit(minutes)] if minutes else []
    try:
        with stop.listening():
            learn.fit_one_cycle(epochs, cbs=[best, log, stop, *limits, _Reporter(run, log, watcher)])
    except TrainingError as error:
        if best.weights:
            error.hint += f"; the best epoch before that, epoch {best.epoch}, is kept in {run.model}"
        raise
    if not best.weights:
        raise TrainingError("no epoch ended with a finite loss", hint=f"try a lower --lr than {learn.lr_max:.3g}")
    best.restore()
    return best.epoch, stop.asked


class _Reporter(Callback):
    """Tells the watcher of batches and epochs, and writes the tables of the run after each epoch."""

    def __init__(self, run: RunFolder, log: StepLog, watcher: Watcher) -> None:
        self.run, self.log, self.watcher = run, log, watcher

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
        self.run.write_table("steps.csv", self.log.head, self.log.rows)
        self.watcher.epoch(rows[-1], self.learn.epochs)


def _describe(run: RunFolder, asked: dict[str, Any], name: str, recipe: Recipe, dls: DataLoaders) -> None:
    """Write down what was asked, what was chosen, and from which data."""
    chosen = {
        "model": name, "epochs": recipe.epochs, "lr": recipe.lr, "batch_size": recipe.batch_size,
        "weight_decay": recipe.weight_decay, "augment": str(recipe.augment or "none"),
        "preprocessing": dls.preprocessing.rule if dls.preprocessing else None,
    }  # fmt: skip
    run.write_config(asked | {"recipe": chosen})
    fingerprinted = fingerprint({split: loader.collection for split, loader in dls.splits.items()})
    facts = {"fingerprint": fingerprinted, "classes": dls.vocab, "counts": dls.counts, "sizes": dls.sizes}
    refused = [refused._asdict() for refused in dls.refused]
    run.write_json("data.json", {**facts, "notes": dls.notes, "refused": refused})


def _measure_baseline(
    run: RunFolder, dls: DataLoaders, preprocessing: Preprocessing
) -> tuple[PixelSimilarity, Evaluation]:
    similarity = PixelSimilarity().fit(dls.train, dls.vocab)
    ModelFolder(similarity, dls.vocab or [], preprocessing).save(run.baseline)
    return similarity, similarity.evaluate(dls.splits["valid"])


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


def _finish(result: TrainingResult) -> None:
    rows: list[list[Any]] = []
    vocab = result.dls.vocab or []
    for split, (preds, targets, _) in result.scored.items():
        probs, losses = preds.softmax(1).max(1), F.cross_entropy(preds, targets, reduction="none")
        columns = (targets.tolist(), probs.indices.tolist(), probs.values.tolist(), losses.tolist())
        names = result.dls.splits[split].collection.names
        rows += [
            [split, n, vocab[y], vocab[p], prob, loss] for n, y, p, prob, loss in zip(names, *columns, strict=True)
        ]
    result.run.write_table("predictions.csv", ["split", "picture", "class", "predicted", "probability", "loss"], rows)
    result.run.write_json("result.json", result.to_dict())
    sentences = [f"- {split}: {scored.evaluation.accuracy}" for split, scored in result.scored.items()] + [
        f"- pixel similarity, the baseline, on valid: {result.baseline.accuracy}"
    ]
    result.model.write_card(result.run.model, default_card(result.model, "\n".join(["Accuracy:", "", *sentences])))
