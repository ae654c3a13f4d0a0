"""A few trials of the harness; `make crash` runs all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parent / "harness.py"


def trials(folder: Path, *options: str) -> dict[str, int]:
    done = subprocess.run([sys.executable, HARNESS, folder, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    counts: dict[str, int] = found["counts"]
    return counts


def test_killed_or_failed_at_some_file_operations_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    counts = trials(tmp_path, "--kill-every", "23", "--fail-every", "61", "--kill-at-random", "4")
    assert counts["killed at a file operation, the same bytes in the end"] >= 5
    assert counts["ENOSPC at a file operation, the same bytes in the end"] >= 2


@pytest.mark.slow
def test_killed_at_every_file_operation_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    counts = trials(tmp_path, "--kill-every", "1")
    assert counts["killed at a file operation, stopped"] >= 100
