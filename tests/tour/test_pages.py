"""The tour as pages: what is on them, where their links lead, and that they hold nothing that runs or loads."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from html_reader import Reader, assert_self_contained
from sevensteps.cli.main import run
from sevensteps.data.dataloaders import DataLoaders
from sevensteps.errors import RequestError, StorageError
from sevensteps.insight.drawing import panels
from sevensteps.tour.exhibit import EXHIBITS, Exhibit, Shown
from sevensteps.tour.pages import Drawing, is_table, paragraphs, python, write_tour
from sevensteps.tour.show import choose

HOSTILE = ("<script>alert(1)</script>", "a\u202egnp.exe", "\"' onload=x &amp; <b>")

SOME = (1, 3, 8, 14, 21, 34)
Tour = tuple[list[dict[str, Any]], Path]


@pytest.fixture(scope="module")
def tour(digits: DataLoaders, tmp_path_factory: pytest.TempPathFactory) -> Tour:
    return write_tour(SOME, digits, tmp_path_factory.mktemp("new") / "tour", "the digits")


@pytest.fixture(scope="module")
def hostile() -> DataLoaders:
    pixels = torch.randint(0, 256, (60, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return DataLoaders.from_arrays(pixels, [HOSTILE[i % 3] for i in range(60)])


def links(read: Reader) -> list[str]:
    return [attributes["href"] or "" for tag, attributes in read.tags if tag == "a"]


def test_the_list_has_every_question_under_its_number_and_a_link_to_its_page(tour: Tour) -> None:
    results, index = tour
    assert index.name == "index.html"
    read = Reader(index.read_text("utf-8"))
    assert [attributes["value"] for tag, attributes in read.tags if tag == "li"] == [str(number) for number in SOME]
    assert links(read) == [Path(result["page"]).name for result in results]
    assert all(exhibit.question.replace("`", "") in read.text for exhibit in choose(SOME))


def test_every_page_shows_question_answer_figure_findings_code_and_controls(tour: Tour) -> None:
    for result, exhibit in zip(tour[0], choose(SOME), strict=True):
        read = Reader(Path(result["page"]).read_text("utf-8"))
        words = " ".join(read.text.split())
        assert exhibit.question.replace("`", "") in words
        assert " ".join(exhibit.answer.partition("\n\n")[0].replace("`", "").split()) in words
        assert exhibit.code in read.text
        assert all(name.replace("_", " ") in read.text for name in result["findings"])
        assert all(control.fitting in read.text for control in exhibit.controls.values())
        assert (exhibit.in_python in read.text) is bool(exhibit.controls)
        assert "the digits: 1,438 training and 359 validation pictures of 10 classes, 8 × 8 pixels, grey" in words
        assert f"answered in {result['seconds']} s" in words


def test_the_figure_is_inside_the_page_with_its_size_and_says_what_it_shows(tour: Tour) -> None:
    for result in tour[0]:
        read = Reader(Path(result["page"]).read_text("utf-8"))
        (img,) = [attributes for tag, attributes in read.tags if tag == "img"]
        content = base64.b64decode((img["src"] or "").removeprefix("data:image/png;base64,"))
        with Image.open(io.BytesIO(content)) as image:
            assert image.width / int(img["width"] or 0) == pytest.approx(
                image.height / int(img["height"] or 0), rel=0.01
            )
        assert img["alt"]
        assert result["figure"] is None


def test_the_pages_lead_from_one_question_to_the_next_and_back(tour: Tour) -> None:
    names = [Path(result["page"]).name for result in tour[0]]
    for before, result, after in zip([None, *names], tour[0], [*names[1:], None], strict=False):
        read = Reader(Path(result["page"]).read_text("utf-8"))
        ways = {
            attributes["rel"]: attributes["href"]
            for tag, attributes in read.tags
            if attributes.get("rel") in ("prev", "next")
        }
        assert (ways.get("prev"), ways.get("next")) == (before, after)


def check_folder(folder: Path) -> None:
    for page in folder.iterdir():
        text = page.read_text("utf-8")
        assert_self_contained(text)
        targets = links(Reader(text))
        assert targets
        assert [name for name in targets if not (folder / name).is_file()] == []


def test_every_link_leads_to_a_page_that_is_there_and_nothing_runs_or_is_loaded(tour: Tour) -> None:
    check_folder(tour[1].parent)


@pytest.mark.slow
def test_all_questions_have_pages(digits: DataLoaders, tmp_path: Path) -> None:
    results, index = write_tour([], digits, tmp_path, "the digits")
    assert links(Reader(index.read_text("utf-8"))) == [f"{exhibit.name}.html" for exhibit in choose()]
    assert len(list(tmp_path.iterdir())) == len(results) + 1
    check_folder(tmp_path)


def test_names_from_strangers_are_shown_and_do_nothing(hostile: DataLoaders, tmp_path: Path) -> None:
    results, index = write_tour([3, 14], hostile, tmp_path, HOSTILE[0])
    for path in (index, *(Path(result["page"]) for result in results)):
        text = path.read_text("utf-8")
        assert_self_contained(text)
        assert HOSTILE[0] in Reader(text).text
        assert "\u202e" not in text
    text = Reader(Path(results[0]["page"]).read_text("utf-8")).text
    assert "a\\u202egnp.exe" in text
    assert HOSTILE[2] in text


def test_a_tour_of_some_questions_lists_only_those(digits: DataLoaders, tmp_path: Path) -> None:
    _, index = write_tour([34, 7], digits, tmp_path, "the digits")
    assert links(Reader(index.read_text("utf-8"))) == ["34_relu.html", "07_norms.html"]


def test_an_unknown_number_is_refused_before_anything_is_written(digits: DataLoaders, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="the tour has no exhibit 99"):
        write_tour([34, 99], digits, tmp_path / "tour", "")
    assert not (tmp_path / "tour").exists()


def test_a_file_in_the_way_is_a_storage_error(digits: DataLoaders, tmp_path: Path) -> None:
    (tmp_path / "tour").write_text("mine")
    with pytest.raises(StorageError, match="tour"):
        write_tour([34], digits, tmp_path / "tour", "")
    assert (tmp_path / "tour").read_text() == "mine"


def test_light_markdown_is_paragraphs_and_code_and_all_else_is_escaped() -> None:
    assert paragraphs("a `x < 1`\n  <b> *c*\n\n& d") == (
        "<p>a <code>x &lt; 1</code> &lt;b&gt; *c*</p><p>&amp; d</p>"
    )  # fmt: skip


def test_code_is_coloured_by_classes_and_stays_the_same_code() -> None:
    code = 'def f(x):  # "<b>"\n    return x & 1\n'
    coloured = str(python(code))
    assert Reader(coloured).text == code
    assert '<span class="k">def</span>' in coloured
    assert "style=" not in coloured


def test_short_lists_of_rows_are_tables_and_long_ones_are_not() -> None:
    assert is_table([{"a": 1, "b": 2}, {"a": 3, "b": 4}])
    assert is_table([[1, 2, 3], [4, 5, 6]])
    assert not is_table([{"a": 1}, {"b": 1}])
    assert not is_table([[1, 2]] * 50)
    assert not is_table([list(range(50))])
    assert not is_table([1, 2])
    assert not is_table([])


def test_a_figure_gives_its_title_to_the_page_and_keeps_those_of_its_panels() -> None:
    figure, (left, right) = panels(2, "What both show")
    left.set_title("the\nleft")
    right.set_title("the right")
    drawing = Drawing.of(figure)
    assert (drawing.title, drawing.alt) == ("What both show", "the left; the right")
    assert figure.get_suptitle() == ""


def test_an_exhibit_without_a_figure_or_controls_has_a_page(
    digits: DataLoaders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bare(dls: DataLoaders) -> Shown:
        """Yes."""
        return Shown({"nothing": None, "matrix": [[1, 2], [3, 4]], "rows": [{"a_b": 1.0}]})

    monkeypatch.setitem(EXHIBITS, 98, Exhibit(98, "Is `it`?", bare))
    results, _ = write_tour([98], digits, tmp_path, "the digits")
    read = Reader(Path(results[0]["page"]).read_text("utf-8"))
    assert "img" not in {tag for tag, _ in read.tags}
    assert "Its controls" not in read.text
    assert [tag for tag, _ in read.tags].count("table") == 3


def test_the_command_writes_pages_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["tour", "14", "34", "--html", "pages"]) == 0
    assert capsys.readouterr().out.split() == ["Tour", "2", "pages:", "open", str(Path("pages/index.html"))]
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "14_seven_steps.html",
        "34_relu.html",
        "index.html",
        "pages",
    ]
    assert "scikit-learn's embedded handwritten digits" in Reader(Path("pages/index.html").read_text("utf-8")).text


def test_the_commands_json_lists_the_pages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["tour", "14", "34", "--html", "pages", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["index"] == str(Path("pages/index.html"))
    assert [Path(exhibit["page"]).is_file() for exhibit in told["exhibits"]] == [True, True]


def test_pages_and_figures_are_not_asked_for_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tour", "--html", "pages", "--out", "figures"]) == 2
    assert "leave one out" in capsys.readouterr().err
