"""The rules of the house, held by tests: lint, types, layers, sizes, and what no file may do."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
BANNED_CALLS = {"eval", "exec", "compile", "__import__"}
BANNED_ATTRIBUTES = {("torch", "load"), ("torch", "save"), ("yaml", "load"), ("os", "system")}
BANNED_MODULES = {"pickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}


def run_tool(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing() -> None:
    run_tool("ruff", "check", ".")


def test_everything_is_formatted() -> None:
    run_tool("ruff", "format", "--check", ".")


def test_mypy_strict_finds_nothing_in_src() -> None:
    run_tool("mypy")


def test_each_station_imports_only_from_stations_below_it() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_no_source_file_is_longer_than_320_lines(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 320


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_no_source_file_can_run_what_it_reads(path: Path) -> None:
    assert list(violations(ast.parse(path.read_text("utf-8")))) == []


def test_the_ban_recognises_what_it_bans() -> None:
    code = "import pickle\nfrom joblib import load\neval('1')\ntorch.load('x')\nsubprocess.run('x', shell=True)"
    assert len(list(violations(ast.parse(code)))) == 5


def violations(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name.split(".")[0] in BANNED_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in BANNED_MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in BANNED_CALLS:
                found.append(node.func.id)
            if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
                pair = (node.func.value.id, node.func.attr)
                found += [".".join(pair)] if pair in BANNED_ATTRIBUTES else []
            found += [
                "shell=True"
                for word in node.keywords
                if word.arg == "shell" and isinstance(word.value, ast.Constant) and word.value.value
            ]
    return found
