"""Finished runs to tell of and to compare: on the embedded digits, trained in a moment."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from sevensteps.report.page import write_report
from sevensteps.training.train import train


def trained(out: Path, **asked: Any) -> Path:
    result = train(out=out, threads=1, **asked)
    write_report(result)
    return result.run.path


@pytest.fixture(scope="package")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two that differ in their learning rate, one whose seed split the digits otherwise, and the baseline."""
    out = tmp_path_factory.mktemp("runs")
    return {
        "slow": trained(out, model="linear", epochs=2, lr=1e-3),
        "fast": trained(out, model="linear", epochs=3, lr=1e-2),
        "other": trained(out, model="linear", epochs=1, seed=1),
        "baseline": trained(out, model="pixel_similarity"),
    }


@pytest.fixture
def copied(runs: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the slow run, to be damaged."""
    return Path(shutil.copytree(runs["slow"], tmp_path / "copied"))
