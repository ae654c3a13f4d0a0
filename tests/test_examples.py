"""Every example runs as its first lines say, and prints what it promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
DATA = {  # the fixture whose folder is an example's argument, and what follows; others run without any
    "chapter4.py": ["mnist_sample"],
    "cifar10_speedrun.py": ["ten_colours", "8"],
    "ten_digits.py": ["mnist"],
}
PRINTS = {
    "chapter4.py": [
        r"0\.9168 on 3s, 0\.9854 on 7s, 0\.9511 in all",
        r"one layer: +0\.9[6-9]\d\d after 10 epochs",
        r"two layers: +0\.9[89]\d\d after 40 epochs",
        r"eighteen layers: +0\.99\d\d after 1 epoch",
    ],
    "cifar10_speedrun.py": [r"\d pictures a second", r"8 epochs .* took", r"test accuracy (0\.[5-9]|1\.0)"],
    "sgd_in_one_page.py": [r"epoch  1: 0\.\d", r"epoch 10: (0\.9[5-9]\d\d|1\.0000) of the validation pictures right"],
    "ten_digits.py": [
        r"54,999 pictures of 10 digits to learn from, 5,001 to check on",
        r"pixel similarity by l1: +6[56]\.\d\d % \(95 % interval 6\d",
        r"pixel similarity by rmse: +8[01]\.\d\d % \(95 % interval",
        r"their sum is 1\.00",
        r"-0\.004 by 1 - probability",
        r"-0\.996 by cross-entropy",
        r"one layer: +9[12]\.\d\d % \(95 % interval",
        r"two layers: +9[67]\.\d\d % \(95 % interval",
        r"a convnet: +9[89]\.\d\d % \(95 % interval",
        r"a convnet on test, looked at once: +9[89]\.\d\d % \(95 % interval .* n = 10,000\)",
    ],
}


@pytest.fixture
def ten_colours(tmp_path: Path) -> Path:
    """A folder like CIFAR-10's, with a coarse pattern of its own for each class."""
    draws = np.random.default_rng(0)
    patterns = draws.integers(30, 226, (10, 3, 4, 4)).repeat(8, 2).repeat(8, 3)
    for name in [*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]:
        labels = draws.integers(0, 10, 150)
        pixels = patterns[labels] + draws.normal(0, 30, (150, 3, 32, 32))
        records = np.concatenate([labels[:, None], pixels.clip(0, 255).reshape(150, -1)], 1)
        (tmp_path / name).write_bytes(records.astype(np.uint8).tobytes())
    (tmp_path / "batches.meta.txt").write_text("\n".join("abcdefghij"))
    return tmp_path


def test_there_are_examples() -> None:
    assert {*DATA, *PRINTS} <= {path.name for path in EXAMPLES}


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_example_runs_without_a_warning(example: Path, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    fixture, *others = DATA.get(example.name, [None])
    arguments = [str(request.getfixturevalue(fixture)), *others] if fixture else []
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example), *arguments],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"},  # two threads wait long on a busy machine
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for words in PRINTS.get(example.name, []):
        assert re.search(words, done.stdout), done.stdout
