"""What a training is asked for, and the plan that it makes from that: the data, the network's name, the recipe."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from ..data.check import Finding, check, without_leaks
from ..data.dataloaders import DataLoaders
from ..data.preprocessing import Preprocessing
from ..data.samples import DATASETS
from ..data.sources import read_source
from ..errors import DataError, RequestError, as_written
from ..models import networks
from .checks import check_count, check_lr
from .learner import Learner
from .machine import PRECISIONS
from .metrics import accuracy
from .optimizers import AdamW
from .recipes import Recipe, default_network, recipe_for
from .result import Watcher
from .run_folder import RunFolder

MOST_THREADS = 1024
BASELINE = "pixel_similarity"
ASKED = (
    "data", "model", "epochs", "lr", "batch_size", "minutes", "checkpoint_minutes", "drop_leaks", "follow_links",
    "threads",
)  # or not  # fmt: skip


class Plan(NamedTuple):
    """The data, what `check` found in them, and what was chosen for them."""

    dls: DataLoaders
    preprocessing: Preprocessing
    name: str
    recipe: Recipe
    where: str
    findings: list[Finding]

    def network(self, seed: int) -> nn.Module:
        """The network of that name, with the weights that `seed` draws. Not for `BASELINE`."""
        return networks.for_data(self.name, self.dls, seed=seed)

    def learner(self, network: nn.Module, asked: dict[str, Any], device: torch.device) -> Learner:
        """The Learner that trains `network` as planned, with as many threads as torch has now."""
        return Learner(
            self.dls, network, lr=self.recipe.lr, opt_func=partial(AdamW, weight_decay=self.recipe.weight_decay),
            metrics=accuracy, seed=asked["seed"], device=device, precision=asked["precision"],
            threads=torch.get_num_threads(), quiet=True,
        )  # fmt: skip


def make_plan(asked: dict[str, Any], watcher: Watcher) -> Plan:
    """Read the data, look at them, and choose what was not asked for. Raises `DataError`, `RequestError`."""
    labelled = read_source(asked["data"], progress=watcher.progress, follow_links=asked["follow_links"])
    report = check(labelled)
    findings = report.findings
    if asked["drop_leaks"]:
        labelled = without_leaks(labelled, report)
        findings = [it for it in findings if it.kind != "leaks"]
    labelled.notes.extend(it.line for it in findings if it.kind != "refused")  # those are listed anyway
    preprocessing = labelled.preprocessing
    if preprocessing is None:
        raise DataError(f"{labelled.where} holds no pictures", hint="expected uint8 pictures")
    name = asked["model"] or default_network(preprocessing)
    pictures = len(labelled.splits["train"].x) if "train" in labelled.splits else 0
    recipe = recipe_for(name, pictures, preprocessing)
    recipe = replace(recipe, **{key: asked[key] for key in ("epochs", "lr", "batch_size") if asked[key]})
    dls = DataLoaders.from_data(labelled, batch_size=recipe.batch_size, augment=recipe.augment, seed=asked["seed"])
    return Plan(dls, preprocessing, name, recipe, labelled.where, findings)


def asked_before(folder: RunFolder) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a run was asked for, with the threads, precision and batch size that it chose; and its `environment.json`.

    That is empty where it was killed before it began. Raises `RequestError` where a file is damaged.
    """
    asked = dict.fromkeys(ASKED) | {"seed": 0, "device": "auto"} | folder.read_config()
    before = folder.read_json("environment.json") if (folder.path / "environment.json").exists() else {}
    with as_written(folder.path):
        asked |= {name: before[name] for name in ("precision", "threads", "batch_size") if name in before}
        check_asked(asked)
    data = asked["data"]
    if data and not os.path.exists(data) and data not in DATASETS:  # noqa: PTH110 - Path.exists raises for long names
        hint = "start from the folder in which it was trained, or put them back"
        raise DataError(f"the data that the run was trained on are not here: {data:.200}", hint=hint)
    return asked, before


def check_asked(asked: dict[str, Any]) -> None:
    """Raise `RequestError` for what makes no sense."""
    model, lr, precision = asked["model"], asked["lr"], asked["precision"]
    if model is not None and model not in networks.names():
        raise RequestError(f"no network is called {model!r}", hint=f"the networks are {', '.join(networks.names())}")
    for key, what in (("epochs", "number of epochs"), ("batch_size", "batch size"), ("threads", "number of threads")):
        if asked[key] is not None:
            check_count(what, asked[key])
    if (asked["threads"] or 1) > MOST_THREADS:
        raise RequestError(f"{asked['threads']!s:.20} threads", hint=f"expected {MOST_THREADS:,} at the most")
    if lr is not None:
        check_lr(lr)
    if precision not in PRECISIONS:
        raise RequestError(f"precision is {precision!r}", hint=f"expected one of {', '.join(PRECISIONS)}")
    for key, right in (("data", str | None), ("device", str | torch.device), ("seed", int | np.integer)):
        if not isinstance(asked[key], right):
            raise RequestError(f"{key} is {asked[key]!r:.80}", hint=f"expected {right}")
    for key in ("minutes", "checkpoint_minutes"):
        if asked[key] is not None and not (isinstance(asked[key], int | float) and asked[key] > 0):
            raise RequestError(f"{key} is {asked[key]!r}", hint="expected a number above 0")
