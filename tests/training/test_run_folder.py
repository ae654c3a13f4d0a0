from __future__ import annotations

import csv
import json
import threading
import tomllib
from pathlib import Path

import pytest
import torch

from sevensteps.data.pictures import PictureSet
from sevensteps.errors import RequestError, StorageError
from sevensteps.training.run_folder import RunFolder, environment, fingerprint


def test_a_run_is_never_written_over(tmp_path: Path) -> None:
    made = [RunFolder.create(tmp_path / "runs", "digits").path.name for _ in range(3)]
    assert made == ["digits", "digits-2", "digits-3"]


def test_two_that_begin_at_once_get_two_folders(tmp_path: Path) -> None:
    paths: list[Path] = []
    threads = [
        threading.Thread(target=lambda: paths.append(RunFolder.create(tmp_path, "digits").path)) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 16


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my flowers", "my-flowers"),
        ("../../etc", "etc"),
        ("a/b\\c", "a-b-c"),
        (".hidden", "hidden"),
        ("--out", "out"),
        ("Blüten_1.5", "Blüten_1.5"),
        ("\x1b[31m\n", "31m"),
        ("", "run"),
        ("...", "run"),
        ("x" * 300, "x" * 60),
    ],
)
def test_names_are_made_safe(tmp_path: Path, name: str, expected: str) -> None:
    run = RunFolder.create(tmp_path, name)
    assert run.path == tmp_path / expected
    assert run.path.is_dir()


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write"):
        RunFolder.create(tmp_path / "file", "digits")


def test_the_configuration_leaves_out_what_was_not_asked(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "x")
    run.write_config({"model": None, "epochs": 3, "data": 'a "b" \\ c', "recipe": {"lr": 0.1, "augment": None}})
    written = tomllib.loads((run.path / "config.toml").read_text("utf-8"))
    assert written == {"epochs": 3, "data": 'a "b" \\ c', "recipe": {"lr": 0.1}}


def test_json_is_read_back_and_a_missing_file_is_a_request_error(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_json("result.json", {"a": [1, "ü"]})
    assert run.read_json("result.json") == {"a": [1, "ü"]}
    with pytest.raises(RequestError, match=r"cannot read [\s\S]*was this run finished"):
        run.read_json("nothing.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(RequestError):
        run.read_json("broken.json")


def test_a_table_is_safe_to_open_in_a_spreadsheet(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    names = ["=cmd()", "+1", "-1.png", "@x", "\tx", "plain", 'a,"b"\nc', "ü"]
    run.write_table("predictions.csv", ["picture", "loss"], [[name, -0.5] for name in names])
    with (tmp_path / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["picture"] for row in rows] == ["'=cmd()", "'+1", "'-1.png", "'@x", "'\\tx", "plain", 'a,"b"\\nc', "ü"]
    assert {row["loss"] for row in rows} == {"-0.5"}  # a number is no formula


def test_the_environment_names_what_the_figures_depend_on() -> None:
    found = environment(torch.device("cpu"))
    assert found["versions"]["torch"] == torch.__version__
    assert {"processor", "threads", "instruction_set", "device", "system", "cores"} <= set(found)
    json.dumps(found, allow_nan=False)


def test_a_fingerprint_changes_with_one_pixel_a_shape_a_label_or_a_name() -> None:
    def pictures(pixels: torch.Tensor, label: int = 0, rows: torch.Tensor | None = None) -> PictureSet:
        return PictureSet(pixels, torch.tensor([0, label]), ["", ""], rows)

    pixels = torch.zeros(2, 1, 3, 4, dtype=torch.uint8)
    other = pixels.clone()
    other[1, 0, 2, 2] = 1
    of = pictures(pixels)
    variants = [
        {"train": of}, {"valid": of}, {"train": of, "valid": of}, {"train": pictures(pixels, 1)},
        {"train": pictures(other)}, {"train": pictures(pixels.view(2, 1, 4, 3))}, {"train": of.take([0])}, {},
    ]  # fmt: skip
    assert len(set(map(fingerprint, variants))) == len(variants)
    assert fingerprint({"train": of}) == fingerprint({"train": pictures(pixels.clone())})
    assert fingerprint({"train": pictures(other)}) == fingerprint(
        {"train": pictures(other.flip(0), 0, torch.tensor([1, 0]))}
    )


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_table("a.csv", ["name", "loss"], [["=1+1", 0.5], ["'x", 1], ['a,"b"', 2]])
    assert run.read_table("a.csv") == [
        {"name": "=1+1", "loss": "0.5"}, {"name": "'x", "loss": "1"}, {"name": 'a,"b"', "loss": "2"},
    ]  # fmt: skip


@pytest.mark.parametrize("content", [b"\xff", b'a\n"', b"a\n1,2\n", b"a\n" + b"x" * 200_000])
def test_a_table_that_is_none_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(RequestError, match=r"cannot read .*a\.csv"):
        RunFolder(tmp_path).read_table("a.csv")


def test_what_was_chosen_is_read_apart_from_what_was_asked(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_config({"seed": 3, "recipe": {"epochs": 5}})
    assert run.read_config() == {"seed": 3}
    assert run.read_recipe() == {"epochs": 5}
    (tmp_path / "config.toml").write_text("recipe = 3")
    with pytest.raises(RequestError, match="is not as a training writes it"):
        run.read_recipe()
