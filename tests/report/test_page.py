from __future__ import annotations

import base64
import io
import os
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from html_reader import Reader, assert_self_contained, section
from sevensteps.cli.main import command
from sevensteps.errors import StorageError
from sevensteps.insight.doctor import examine
from sevensteps.insight.record import Record
from sevensteps.interval import Accuracy
from sevensteps.models.mcnemar import McNemar
from sevensteps.report.contents import Contents
from sevensteps.report.finished_run import FinishedRun
from sevensteps.report.page import page, write_report
from sevensteps.training.recorder import EpochRow
from sevensteps.training.result import TrainingResult
from sevensteps.training.run_folder import RunFolder
from sevensteps.training.train import train
from sevensteps.words import one_in, percent, span

SECTIONS = [
    "The pictures", "What check found", "How it learned", "The doctor's word", "What is taken for what",
    "Class by class", "How sure it is", "When to say “none of these”", "The most wrong",
    "The mean picture of each class", "Passport",
]  # fmt: skip
HOSTILE = ["<script>alert(1)<", "a\u202egnp.exe", "\"' onload=x &amp; <b>", "two\nlines", "x" * 120]


def write_pictures(root: Path, classes: list[str], counts: dict[str, int]) -> None:
    random = np.random.default_rng(0)
    for split, n in counts.items():
        for number, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True)
            for k in range(n):
                pixels = random.integers(0, 120, (10, 8, 3), dtype=np.uint8)
                pixels[..., number % 3] += np.uint8(60 * (number // 3))
                Image.fromarray(pixels).save(folder / f"<i>{k}\u2066.png")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return train(None, model="linear", epochs=2, out=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def digits_page(digits: TrainingResult) -> str:
    return page(digits)


@pytest.fixture(scope="module")
def hostile_page(hostile: TrainingResult) -> str:
    return page(hostile)


@pytest.fixture(scope="module")
def baseline_page(baseline: TrainingResult) -> str:
    return page(baseline)


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return train(None, model="pixel_similarity", out=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    root = tmp_path_factory.mktemp("data") / "pictures"
    write_pictures(root, HOSTILE, {"train": 8, "valid": 4, "test": 5})
    (root / "train" / HOSTILE[0] / "broken<img src=x>.png").write_bytes(b"no picture")
    Path(os.fsdecode(os.fsencode(root / "train" / HOSTILE[0]) + b"/bad\xff.png")).write_bytes(b"no picture either")
    return train(root, model="linear", epochs=1, out=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    """Two classes in folders without splits; some pictures are in both, and one file is no picture."""
    root = tmp_path_factory.mktemp("data") / "pictures"
    random = np.random.default_rng(0)
    for number in range(40):
        pixels = random.integers(0, 255, (8, 8), dtype=np.uint8)
        for name in ("a", "b") if number < 6 else ("ab"[number % 2],):
            (root / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    (root / "a" / "broken.png").write_bytes(b"no picture")
    return train(root, model="linear", epochs=1, out=tmp_path_factory.mktemp("runs"))


def test_the_report_is_written_into_the_run_folder(digits: TrainingResult) -> None:
    path = write_report(digits)
    assert path == digits.run.path / "report.html"
    assert path.read_text("utf-8").startswith("<!doctype html>")


def test_every_section_is_there_and_the_tags_balance(digits_page: str) -> None:
    read = Reader(digits_page)
    for title in SECTIONS:
        assert title in read.text


def test_the_headline_has_the_accuracy_the_baseline_and_both_intervals(
    digits: TrainingResult, digits_page: str
) -> None:
    text = Reader(digits_page).text
    for score in (digits.scored["valid"].evaluation.accuracy, digits.baselines["valid"].evaluation.accuracy):
        assert percent(score.value, score.n) in text
        assert span(score) in text
        assert one_in(score) in text
    points = 100 * (
        digits.scored["valid"].evaluation.accuracy.value - digits.baselines["valid"].evaluation.accuracy.value
    )
    assert f"{points:+.1f}".replace("-", "−") in text
    assert "McNemar" in text
    assert "There was no test set" in text


@pytest.mark.parametrize("which", ["digits_page", "baseline_page", "hostile_page"])
def test_nothing_runs_and_nothing_is_loaded(which: str, request: pytest.FixtureRequest) -> None:
    assert_self_contained(request.getfixturevalue(which))


def test_names_from_strangers_are_shown_and_do_nothing(hostile_page: str) -> None:
    text = hostile_page
    read = Reader(text)
    assert "<script>alert(1)<" in read.text
    assert "\"' onload=x &amp; <b>" in read.text
    assert "a\\u202egnp.exe" in read.text
    assert "two\\nlines" in read.text
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x09\x0b-\x1f]", text)


def test_what_check_found_has_its_section_and_is_told_once(messy: TrainingResult) -> None:
    text = page(messy)
    read = Reader(text)
    kinds = [finding.kind for finding in messy.findings]
    assert {"label_conflicts", "duplicates", "refused"} <= set(kinds)
    checked = Reader(section(text, "check"))
    for finding in messy.findings:
        assert (finding.message in checked.text) == (finding.kind != "refused")
        assert read.text.count(finding.message) == (finding.kind != "refused")
        assert finding.kind == "refused" or all(example in checked.text for example in finding.examples)
    assert "Label conflicts" in checked.text
    (decided,) = [note for note in messy.dls.notes if "are set aside for validation" in note]
    assert decided in read.text


def test_where_check_found_nothing_the_page_says_so(digits: TrainingResult) -> None:
    assert "Nothing: no picture in two splits" in page(replace(digits, findings=[]))


def test_the_doctors_word_is_on_the_page_and_what_ails_the_data_stands_with_the_findings(
    messy: TrainingResult, digits: TrainingResult, tmp_path: Path
) -> None:
    read = Reader(page(messy))
    found = examine(Record.of(messy.run))
    assert "labels that contradict each other" in [diagnosis.illness for diagnosis in found]
    for diagnosis in found:
        assert read.text.count(diagnosis.advice) == 1
        assert (diagnosis.illness.capitalize() in read.text) == (diagnosis.evidence not in messy.dls.notes)
    healthy = replace(digits, run=RunFolder(tmp_path))
    assert "Healthy: nothing that ails a training was found" in Reader(section(page(healthy), "doctor")).text
    unknown = Reader(section(page(replace(healthy, epochs=[])), "doctor")).text
    assert "Too little was recorded to say" in unknown
    assert "Healthy" not in unknown


def test_refused_files_are_listed_with_their_reasons(hostile_page: str) -> None:
    text = Reader(hostile_page).text
    assert "2 files not used" in text
    assert "broken<img src=x>.png" in text
    assert "bad\\udcff.png" in text
    assert text.count("not-a-picture") == 2


def test_a_name_that_is_no_unicode_can_be_written(hostile: TrainingResult) -> None:
    assert "bad\\udcff.png" in write_report(hostile).read_text("utf-8")


def test_the_test_split_is_the_headline_where_there_is_one(hostile: TrainingResult, hostile_page: str) -> None:
    read = Reader(hostile_page)
    assert "of 25 test pictures named rightly" in read.text
    assert "The test pictures were looked at once" in read.text
    assert span(hostile.baselines["test"].evaluation.accuracy) in read.text
    assert "validation" in read.text


def test_a_run_of_the_baseline_alone_has_no_curves_and_no_probabilities(
    baseline: TrainingResult, baseline_page: str
) -> None:
    read = Reader(baseline_page)
    assert "This run is the baseline itself" in read.text
    assert "Pixel similarity has no epochs" in read.text
    assert "Against the baseline" not in read.text
    assert not any(attributes.get("class", "").startswith("curve") for _, attributes in read.tags)  # type: ignore[union-attr]
    assert not re.search(r"said \d \d", read.text)
    assert "Pixel similarity gives distances, not probabilities" in read.text
    assert "nearer" in read.text


def test_an_interrupted_run_says_so(digits: TrainingResult, digits_page: str) -> None:
    assert "stopped before its end" not in digits_page
    stopped = page(replace(digits, interrupted=True))
    assert "This training was stopped before its end." in stopped
    assert f"kept from epoch {digits.best_epoch}" in stopped


def test_a_run_stopped_in_its_first_epoch_has_a_page(digits: TrainingResult) -> None:
    read = Reader(page(replace(digits, interrupted=True, epochs=[], best_epoch=0)))
    assert "stopped before the first epoch had ended" in read.text


def test_one_epoch_and_losses_that_are_missing_or_not_finite_have_a_page(digits: TrainingResult) -> None:
    rows = [EpochRow(1, float("inf"), None, {}, 1.0, 1.0)]
    text = page(replace(digits, epochs=rows, best_epoch=1))
    Reader(text)
    assert "nan" not in re.sub('base64,[^"]*', "", text)


def test_a_result_without_mistakes_says_how_sure_that_is(digits: TrainingResult) -> None:
    scored = digits.scored["valid"]
    perfect = scored._replace(preds=10 * torch.nn.functional.one_hot(scored.targets, 10).float())
    text = Reader(page(replace(digits, scored={"valid": perfect}))).text
    assert "None of the 359 validation pictures was named wrongly" in text
    assert f"may still be up to {percent(1 - Accuracy(359, 359).interval[0])}" in text
    assert "No picture was taken for another class" in text
    assert "Right, but least sure" in text


def test_the_calibration_is_on_the_page_and_in_the_result(hostile: TrainingResult, hostile_page: str) -> None:
    write_report(hostile)
    figures = hostile.run.read_json("result.json")["calibration"]
    text = Reader(hostile_page).text
    assert figures["split"] == "test"
    assert f"ECE {percent(figures['before']['ece'])}" in text
    assert f"ECE {percent(figures['after']['ece'])}" in text
    assert f"Divided by a temperature of {figures['temperature']['value']:.3g}" in text
    assert sum(each["n"] for each in figures["before"]["bins"]) == hostile.scored["test"].evaluation.accuracy.n
    assert "fitted on the validation pictures: these are others" in text
    assert hostile.run.damages() == []


def test_without_a_test_set_the_page_says_what_the_temperature_was_fitted_on(digits_page: str) -> None:
    assert "the temperature was fitted on these very pictures" in Reader(digits_page).text


def test_scores_that_are_not_finite_have_a_page(digits: TrainingResult) -> None:
    scored = digits.scored["valid"]
    broken = scored._replace(preds=scored.preds.index_fill(0, torch.tensor([3]), torch.inf))
    assert "Its scores are not finite" in Reader(page(replace(digits, scored={"valid": broken}))).text


@pytest.mark.parametrize("model", ["linear", "pixel_similarity"])
def test_a_class_without_a_validation_picture_has_a_page(tmp_path: Path, model: str) -> None:
    write_pictures(tmp_path / "data", ["a", "b", "c"], {"train": 8, "valid": 4})
    shutil.rmtree(tmp_path / "data/valid/b")
    text = page(train(tmp_path / "data", model=model, epochs=1, out=tmp_path / "runs"))
    assert "b in valid" in Reader(text).text
    assert "nan" not in re.sub('base64,[^"]*', "", text)


def test_the_most_wrong_pictures_are_those_pictures(digits: TrainingResult, digits_page: str) -> None:
    read = Reader(digits_page)
    sources = [attributes["src"] or "" for tag, attributes in read.tags if tag == "img"]
    scored, collection = digits.scored["valid"], digits.dls.splits["valid"].collection
    losses = torch.nn.functional.cross_entropy(scored.preds, scored.targets, reduction="none")
    losses[scored.preds.argmax(1) == scored.targets] = -1
    shown = np.array(Image.open(io.BytesIO(base64.b64decode(sources[0].partition(",")[2]))))
    assert np.array_equal(shown, collection.pixels[int(losses.argmax())][0].numpy())


def test_many_classes_show_the_most_confused_pairs_instead_of_a_matrix(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(34):
        folder = tmp_path / "data" / f"kind {number}"
        folder.mkdir(parents=True)
        for k in range(5):
            Image.fromarray(random.integers(0, 255, (8, 8), dtype=np.uint8)).save(folder / f"{k}.png")
    read = Reader(page(train(tmp_path / "data", model="linear", epochs=1, out=tmp_path / "runs")))
    assert "the pairs most often confused" in read.text
    assert "and 4 more" in read.text
    assert not any((attributes.get("class") or "").startswith("matrix") for _, attributes in read.tags)


def test_the_passport_has_the_command_the_versions_and_the_files(digits_page: str) -> None:
    text = Reader(digits_page).text
    assert "sevensteps train --model linear --epochs 2 --seed 0" in text
    assert torch.__version__ in text
    for file in ("config.toml", "history.csv", "predictions.csv", "model/"):
        assert file in text


def test_what_the_clock_or_a_person_ended_is_not_promised_to_come_again(digits: TrainingResult) -> None:
    promise = "gives the same weights"
    assert promise in page(digits)
    for ended, whose in (({"config": digits.config | {"minutes": 1.0}}, "the clock"), ({"interrupted": True}, "you")):
        text = page(replace(digits, **ended))
        assert promise not in text
        assert f"stopped by {whose}" in text


def test_the_folder_says_how_often_only_the_network_or_only_the_baseline_was_right(digits: TrainingResult) -> None:
    (preds, targets, _), baseline = digits.scored["valid"], digits.baselines["valid"]
    right = preds.argmax(1) == targets
    test = FinishedRun.read(digits.run.path).against_baseline["valid"]
    assert test == McNemar(int((right & ~baseline.right).sum()), int((~right & baseline.right).sum()))
    assert test.only_first + test.only_second > 0
    assert baseline.right.float().mean() == pytest.approx(baseline.evaluation.accuracy.value)


@pytest.mark.parametrize("asked", [{}, {"drop_leaks": True, "minutes": 0.5, "threads": 1, "precision": "fp32"}])
def test_the_command_in_the_passport_is_one_that_the_command_line_takes(
    digits: TrainingResult, asked: dict[str, Any]
) -> None:
    words = shlex.split(Contents(replace(digits, config=digits.config | asked)).passport.command)
    assert words[:2] == ["sevensteps", "train"]
    given = command.commands["train"].make_context("train", words[2:], **command.context_settings).params
    assert {name: given[name] for name in asked | digits.config} == digits.config | asked


def test_data_named_with_spaces_are_quoted_in_the_command(digits: TrainingResult) -> None:
    text = Reader(page(replace(digits, config={"data": "my pictures; rm", "seed": 1, "device": "auto"}))).text
    assert "sevensteps train 'my pictures; rm' --seed 1" in text


def test_a_run_folder_that_lost_its_files_still_has_a_page(digits: TrainingResult, tmp_path: Path) -> None:
    Reader(page(replace(digits, run=RunFolder(tmp_path))))


def test_the_same_result_gives_the_same_page(digits: TrainingResult, digits_page: str) -> None:
    assert page(digits) == digits_page


def test_a_page_that_cannot_be_written_is_a_storage_error(digits: TrainingResult, tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(StorageError, match=r"report\.html"):
        write_report(replace(digits, run=RunFolder(tmp_path)))
