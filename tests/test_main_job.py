"""The main job on real data: what the README promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from sevensteps import train
from sevensteps.cli.main import run


@pytest.mark.slow
def test_mnist_with_no_option_given_reaches_993_on_its_test_set(mnist: Path, tmp_path: Path) -> None:
    facts = train(mnist, out=tmp_path).to_dict()
    assert facts["test"]["accuracy"] >= 0.993
    assert facts["test"]["n"] == 10_000
    assert facts["valid"]["n"] + facts["pictures"]["train"] == 60_000
    assert 0.64 < facts["baseline"]["accuracy"] < 0.68
    assert "set aside" in facts["notes"][0]


@pytest.mark.slow
def test_photographs_of_many_sizes_are_learned_past_the_baseline(flowers: Path, tmp_path: Path) -> None:
    result = train(flowers, epochs=10, out=tmp_path)
    assert result.model_facts["name"] == "resnet"
    assert result.dls.refused == []
    assert result.scored["valid"].evaluation.accuracy.value > result.baselines["valid"].evaluation.accuracy.value


def test_of_the_awkward_files_each_is_used_or_named_with_a_reason(awkward: Path, tmp_path: Path) -> None:
    result = train(awkward, epochs=1, out=tmp_path)
    used = sum(loader.n for loader in result.dls.splits.values())
    named = [item for item in result.dls.refused if item.reason != "no-label"]
    found = [path for path in awkward.glob("*/*") if not path.name.startswith(".") and path.name != "Thumbs.db"]
    assert used + len(named) == len(found)
    assert all(item.message and (awkward / item.path).exists() for item in result.dls.refused)


def test_predict_on_the_awkward_files_answers_or_names_each(
    awkward: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "--epochs", "1", "--quiet", "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    assert run(["predict", str(tmp_path / "digits"), str(awkward)]) == 0
    streams = capsys.readouterr()
    assert "exif__Landscape_6.jpg" in streams.out
    assert "bomb_12000x12000_grey8.png: too-large" in streams.err


def test_the_sample_as_a_csv_gives_the_same_pictures_as_its_folders(mnist_sample: Path) -> None:
    from sevensteps import DataLoaders

    folders, table = DataLoaders.from_folder(mnist_sample), DataLoaders.from_csv(mnist_sample / "labels.csv")
    assert sum(loader.n for loader in folders.splits.values()) == sum(loader.n for loader in table.splits.values())
