"""The README and the documentation held true: their code and commands run, their links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sevensteps.cli.main import command, run

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
WITH_PYTHON = [page for page in PAGES if "```python" in page.read_text("utf-8")]
WITH_SHELL = [page for page in PAGES if "```sh" in page.read_text("utf-8")]
LONG_RUNNING = ("serve", "studio")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages speak of: flowers/, labels.csv, picture.png, runs/digits."""
    here = tmp_path_factory.mktemp("docs")
    rng = np.random.default_rng(0)
    lines = ["path,label"]
    for label, colour in (("daisy", (240, 240, 240)), ("rose", (200, 20, 40))):
        (here / "flowers" / label).mkdir(parents=True)
        for number in range(12):
            pixels = np.clip(np.array(colour) + rng.integers(-15, 15, (24, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(here / "flowers" / label / f"{number}.png")
            lines.append(f"flowers/{label}/{number}.png,{label}")
    (here / "labels.csv").write_text("\n".join(lines))
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(here / "picture.png")
    assert run(["train", "--epochs", "1", "--quiet", "--out", str(here / "runs")]) == 0
    assert run(["train", str(here / "flowers"), "--epochs", "1", "--quiet", "--out", str(here / "runs")]) == 0
    return here


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_the_python_on_the_page_runs(page: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    names: dict[str, object] = {"__name__": "__main__"}
    for code in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        exec(compile(code, page.name, "exec"), names)


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_SHELL, ids=name_of)
def test_the_commands_on_the_page_run(page: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    for block in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["sevensteps"] and words[1] in LONG_RUNNING:
                assert words[1] in command.commands
            elif words[:1] == ["sevensteps"]:
                assert run(words[1:]) == 0, line
            elif words[:1] == ["make"]:
                assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_lists_every_station_and_command() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    source = ROOT / "src" / "sevensteps"
    for path in source.iterdir():
        if path.is_dir() and not path.name.startswith("__"):
            assert f"`{path.name}/`" in text, path.name
        elif path.suffix == ".py" and not path.name.startswith("__"):
            assert f"`{path.name}`" in text, path.name
    for name in command.commands:
        assert f"sevensteps {name}" in text, name


def test_the_first_code_stands_before_line_25_and_the_readme_is_short() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert next(number for number, line in enumerate(lines) if line.startswith("```python")) < 25
    assert len(lines) <= 150


def test_the_page_of_public_names_has_them_all() -> None:
    import sevensteps

    page = (ROOT / "docs/reference/public-names.md").read_text("utf-8")
    assert [name for name in sevensteps.__all__ if f"`{name}`" not in page] == []


def test_every_reason_of_a_refusal_has_its_row() -> None:
    from sevensteps.errors import RefusedPicture

    rows = set(re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs/reference/reasons.md").read_text("utf-8"), re.MULTILINE))
    named = (RefusedPicture.__doc__ or "").partition("Reasons:")[2].partition(">>>")[0]
    assert set(re.findall(r"`([a-z-]+)`", named)) == rows
    source = "".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    used = re.findall(r'(?:RefusedPicture\(|_refuse\(\w+, \w+, )"([a-z-]+)"', source)
    assert len(used) > 10
    assert set(used) <= rows
