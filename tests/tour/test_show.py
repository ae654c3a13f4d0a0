"""Running the tour, its results as JSON, its figures on disk and its pages on a terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from sevensteps.data.dataloaders import DataLoaders
from sevensteps.data.sources import read_source
from sevensteps.errors import RequestError
from sevensteps.tour.exhibit import EXHIBITS, Exhibit, Shown
from sevensteps.tour.pages import write_tour
from sevensteps.tour.show import choose, contents, render, run_exhibit, run_tour

HERE = tuple(range(1, 38))


@pytest.fixture(scope="module")
def digits() -> DataLoaders:
    return DataLoaders.from_data(read_source(None))


def as_printed(renderable: Any, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_the_tour_holds_these_questions() -> None:
    assert tuple(exhibit.number for exhibit in choose()) == HERE


@pytest.mark.parametrize("number", HERE)
def test_every_exhibit_has_an_answer_a_proof_and_controls_with_a_range(number: int) -> None:
    exhibit = EXHIBITS[number]
    assert len(exhibit.answer.split("\n\n")) == 2, "a short answer, and what there is to know besides"
    assert "return Shown(findings" in exhibit.code or "return Shown({" in exhibit.code
    assert all(control.range or control.choices for control in exhibit.controls.values())
    for control in exhibit.controls.values():
        control.check(control.default)


def test_a_tour_is_json_and_has_its_figures(digits: DataLoaders, tmp_path: Path) -> None:
    results = run_tour([1, 3, 17], digits, tmp_path / "new" / "tour")
    assert json.loads(json.dumps(results, allow_nan=False))[1]["number"] == 3
    for result in results:
        with Image.open(result["figure"]) as image:
            assert image.format == "PNG"
            assert image.width > 500
    assert (tmp_path / "new" / "tour" / "03_pixel_similarity.png").is_file()


def test_without_a_folder_nothing_is_written(
    digits: DataLoaders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (result,) = run_tour([34], digits)
    assert result["figure"] is None
    assert not list(tmp_path.iterdir())


def test_the_exhibits_come_in_the_order_that_was_asked_for(digits: DataLoaders) -> None:
    assert [result["number"] for result in run_tour([34, 7], digits)] == [34, 7]


def test_an_unknown_number_is_refused_before_anything_runs(digits: DataLoaders, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="the tour has no exhibit 99") as caught:
        run_tour([34, 99], digits, tmp_path / "tour")
    assert caught.value.hint == "it has 1 to 37"
    assert not (tmp_path / "tour").exists()


def test_controls_that_were_turned_are_in_the_result_beside_the_others(digits: DataLoaders) -> None:
    result = run_exhibit(EXHIBITS[14], digits, controls={"steps": 5})
    assert result["controls"] == {"lr": 10.0, "steps": 5}
    assert len(result["findings"]["loss"]) == 5


def test_few_pictures_are_told_beside_what_was_found_on_them(
    digits: DataLoaders, colour: DataLoaders, tmp_path: Path
) -> None:
    (few,), (many,) = run_tour([12], colour), run_tour([12], digits)
    assert few["note"].startswith("only 48 training pictures: ")
    assert few["note"] in as_printed(render(few), width=250)
    assert many["note"] == ""
    (page,), _ = write_tour([12], colour, tmp_path, "colours")
    assert few["note"] in Path(page["page"]).read_text("utf-8")


def test_what_is_not_finite_becomes_null(digits: DataLoaders) -> None:
    def endless(dls: DataLoaders) -> Shown:
        """Answer."""
        return Shown({"loss": [1.0, float("inf")], "deep": {"lr": float("nan")}, "n": 3})

    result = run_exhibit(Exhibit(98, "?", endless), digits)
    assert result["findings"] == {"loss": [1.0, None], "deep": {"lr": None}, "n": 3}
    assert result["figure"] is None


def test_a_page_shows_question_answer_findings_code_and_picture(digits: DataLoaders, tmp_path: Path) -> None:
    (result,) = run_tour([20], digits, tmp_path)
    page = as_printed(render(result), width=250)
    for part in (
        "20. Why can't we use accuracy as a loss function?",
        "Because its gradient is 0 almost everywhere: no weight would ever move.",
        "zero for accuracy",
        "def accuracy_as_loss(",
        f"picture: {tmp_path / '20_accuracy_as_loss.png'}",
    ):
        assert part in page
    assert page.count("Because its gradient is 0") == 1, "the docstring is not shown again with the code"


def test_the_code_can_be_left_out(digits: DataLoaders) -> None:
    (result,) = run_tour([34], digits)
    assert "def relu(" not in as_printed(render(result, code=False))


def test_names_from_a_strangers_disk_cannot_steer_the_terminal() -> None:
    result = {
        "number": 3, "question": "?", "answer": "!", "code": "", "note": "", "figure": "out\x1b[2J.png",
        "findings": {"class": "a\x1b[31m", "distances": {"b\x9b2J": 1.0}, "markup": "[red]x"},
    }  # fmt: skip
    page = as_printed(render(result))
    assert "\x1b" not in page
    assert "\x9b" not in page
    assert "a\\x1b[31m" in page
    assert "[red]x" in page


def test_rendering_changes_nothing(digits: DataLoaders) -> None:
    (result,) = run_tour([7], digits)
    before = json.dumps(result)
    assert as_printed(render(result)) == as_printed(render(result))
    assert json.dumps(result) == before


def test_the_contents_list_every_question() -> None:
    page = as_printed(contents(), width=150)
    assert all(EXHIBITS[number].question in page for number in HERE)


@pytest.mark.parametrize("number", [3, 7, 17])
def test_the_lines_to_try_run_and_draw(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(EXHIBITS[number].in_python, {})
    assert len(list(tmp_path.glob("*.png"))) == 1
