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


@pytest.mark.slow
def test_killed_or_failed_at_some_file_operations_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    counts = trials(tmp_path, "--kill-every", "41", "--fail-every", "101", "--kill-at-random", "1")
    assert counts["killed at a file operation, the same bytes in the end"] >= 4
    assert counts["ENOSPC at a file operation, the same bytes in the end"] >= 2


@pytest.mark.slow
def test_killed_within_each_part_of_the_work_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    counts = trials(tmp_path, "--kill-within", "5")
    for part in ("a checkpoint", "the filling of the pixel store", "an epoch", "a validation", "an export"):
        assert counts[f"killed within {part}, stopped"] == 5


@pytest.mark.slow
def test_on_a_disk_that_is_too_small_it_says_so_and_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    probe = ["mount", "-t", "tmpfs", "-o", "size=4096", "tmpfs", str(tmp_path)]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("only root may make a small disk")
    subprocess.run(["umount", str(tmp_path)], check=True)
    counts = trials(tmp_path, "--disks", "8")
    assert counts["a real disk that is full, stopped"] >= 4
    assert counts["a real disk that is full, the same bytes in the end"] == 8


@pytest.mark.slow
def test_killed_at_every_file_operation_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    counts = trials(tmp_path, "--kill-every", "1")
    assert counts["killed at a file operation, stopped"] >= 100
