from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import sevensteps

NAMES = [
    "Accuracy", "AdamW", "BasicOptim", "Callback", "CancelBatchException", "CancelEpochException",
    "CancelFitException", "DataError", "DataLoader", "DataLoaders", "Evaluation", "Learner", "PixelSimilarity",
    "Prediction", "Predictor", "Preprocessing", "RefusedPicture", "RequestError", "SGD", "SevenStepsError", "accuracy",
    "batch_accuracy", "error_rate", "l1", "mnist_loss", "mse", "networks", "rmse", "train",
]  # fmt: skip


def imported_after(code: str, *modules: str) -> list[str]:
    """Which of `modules` a fresh Python has imported after `code`."""
    question = f"{code}\nimport sys\nprint(*[name for name in {modules!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_public_names_are_these_and_no_others() -> None:
    assert sevensteps.__all__ == sorted(NAMES)
    assert len(sevensteps.__all__) <= 30


@pytest.mark.parametrize("name", NAMES)
def test_each_public_name_can_be_imported_and_says_what_it_is(name: str) -> None:
    assert getattr(sevensteps, name).__doc__
    assert name in dir(sevensteps)


def test_a_star_import_brings_the_public_names() -> None:
    brought: dict[str, object] = {}
    exec("from sevensteps import *", brought)
    assert set(NAMES) <= set(brought)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'sevensteps' has no attribute 'Learnr'"):
        _ = sevensteps.Learnr  # type: ignore[attr-defined, unused-ignore]


def test_importing_sevensteps_alone_imports_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "matplotlib", "sklearn", "PIL", "rich", "click")
    assert imported_after("import sevensteps; sevensteps.__version__; dir(sevensteps)", *heavy) == []


def test_training_imports_neither_matplotlib_nor_scikit_learn_nor_the_compiler() -> None:
    code = """
import numpy as np
from sevensteps import DataLoaders, Learner, PixelSimilarity, accuracy, networks
x, y = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 2
dls = DataLoaders.from_arrays(x, y, valid=(x, y))
PixelSimilarity().fit(dls.train, dls.vocab).evaluate(dls.valid)
learn = Learner(dls, networks.convnet(dls), metrics=accuracy, quiet=True)
learn.fit_one_cycle(1, 0.01)
learn.predict(x[0])
from sevensteps import train
import tempfile
train(epochs=1, out=tempfile.mkdtemp())
"""
    assert imported_after(code, "matplotlib", "torch._dynamo", "torch._inductor", "sklearn", "pandas") == []


def test_type_checkers_see_the_same_names_as_python() -> None:
    source = Path(sevensteps.__file__).read_text("utf-8")
    typed = re.findall(r"^    from \S+ import (\w+) as \1$", source, re.MULTILINE)
    assert sorted(typed) == sevensteps.__all__
