"""Every example runs as its first lines say, and prints what it promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
DATA = {"chapter4.py": "mnist_sample"}  # the fixture whose folder is an example's argument; others run without one
PRINTS = {
    "chapter4.py": [
        r"0\.9168 on 3s, 0\.9854 on 7s, 0\.9511 in all",
        r"one layer: +0\.9[6-9]\d\d after 10 epochs",
        r"two layers: +0\.9[89]\d\d after 40 epochs",
        r"eighteen layers: +0\.99\d\d after 1 epoch",
    ]
}


def test_there_are_examples() -> None:
    assert {*DATA, *PRINTS} <= {path.name for path in EXAMPLES}


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_example_runs_without_a_warning(example: Path, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    arguments = [str(request.getfixturevalue(DATA[example.name]))] if example.name in DATA else []
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
