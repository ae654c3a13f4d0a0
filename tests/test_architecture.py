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


WRITES = {"unlink", "rename", "mkdir", "rmdir", "rmtree", "mkdtemp", "fsync", "sync", "write_text", "write_bytes"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_only_one_file_writes_renames_and_removes(path: Path) -> None:
    if path.name != "files.py":
        assert list(writes(ast.parse(path.read_text("utf-8")))) == []


def test_writes_are_recognised() -> None:
    code = "open('x', 'w')\nPath('x').open(mode='rb+')\nos.open('x', os.O_RDWR)\npath.unlink()\nos.replace(a, b)"
    assert len(list(writes(ast.parse(code)))) == 5
    assert list(writes(ast.parse("open('file', 'rb')\nfile.open()\ntext.replace('a', 'b')\nzipped.open(member)"))) == []


def writes(tree: ast.AST) -> list[str]:
    """Calls that open a file for writing, or rename or remove one. A Path's `replace` looks like a text's."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        of_os = isinstance(owner, ast.Name) and owner.id in ("os", "shutil")
        modes = [*node.args, *(word.value for word in node.keywords if word.arg == "mode")]
        words = [word.value for word in modes if isinstance(word, ast.Constant) and isinstance(word.value, str)]
        opens = name == "open" and any(set(word) & set("wax+") for word in words if set(word) <= set("rwaxbt+"))
        if opens or (name in WRITES and owner is not None) or (of_os and name in ("open", "replace", "remove", "link")):
            found.append(ast.unparse(node))
    return found


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
