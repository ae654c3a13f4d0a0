"""The command line as its users meet it: words in, results on stdout, progress on stderr, an exit code."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sevensteps.cli.main import run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    assert run(["train", "--epochs", "3", "--out", str(out), "--quiet"]) == 0
    return out / "digits"


@pytest.fixture
def stripes(here: Path) -> Path:
    """Two classes, lying and standing stripes, in folders; one file is broken."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 20), ("valid", 8)):
        for name in ("lying", "standing"):
            folder = here / "stripes" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.tile(np.arange(16) % 4 < 2, (16, 1)) * 200 + rng.integers(0, 55, (16, 16))
                Image.fromarray((pixels if name == "standing" else pixels.T).astype(np.uint8)).save(
                    folder / f"{number}.png"
                )
    (here / "stripes/train/lying/broken.png").write_bytes(b"no picture")
    return here / "stripes"


def test_train_prints_one_json_document_with_all_facts(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--epochs", "2", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["classes"] == [str(digit) for digit in range(10)]
    assert facts["pictures"]["train"] + facts["pictures"]["valid"] == 1797
    assert 0.8 < facts["baseline"]["accuracy"] < 0.95
    low, high = facts["valid"]["interval"]
    assert low <= facts["valid"]["accuracy"] <= high
    assert [row["epoch"] for row in facts["epochs"]] == [1, 2]
    assert facts["seconds"] > 0
    assert facts["model"]["name"] == "convnet"
    assert "test" not in facts
    for name in ("config.toml", "environment.json", "data.json", "history.csv", "steps.csv", "result.json"):
        assert (Path(facts["run"]) / name).is_file()
    assert Path(facts["report"]).is_file()
    assert (Path(facts["run"]) / "model" / "model.safetensors").is_file()


def test_train_on_folders_names_the_refused_picture_and_goes_on(
    stripes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", str(stripes), "--epochs", "4"]) == 0
    streams = capsys.readouterr()
    assert "train/lying/broken.png: not-a-picture" in streams.err
    assert "pixel similarity" in streams.err
    assert "valid: 100.0 %" in streams.out
    assert " predict runs/stripes PICTURE" in streams.out


def test_quiet_leaves_only_the_result_and_what_was_refused(stripes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", str(stripes), "--epochs", "1", "--quiet"]) == 0
    streams = capsys.readouterr()
    assert [line.strip() for line in streams.err.splitlines()] == [
        "1 file refused:",
        "train/lying/broken.png: not-a-picture, its content is none of JPEG, PNG, WEBP, GIF, BMP, TIFF, PPM",
    ]
    assert streams.out.startswith("Result")


def test_a_second_run_does_not_write_over_the_first(stripes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        run(["train", str(stripes), "--epochs", "1", "--quiet"])
    assert sorted(path.name for path in Path("runs").iterdir()) == ["stripes", "stripes-2"]


def test_pixel_similarity_can_be_the_model(stripes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", str(stripes), "--model", "pixel_similarity", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["epochs"] == []
    assert facts["valid"]["accuracy"] == facts["baseline"]["accuracy"]
    assert run(["evaluate", facts["run"], str(stripes), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == facts["valid"]["accuracy"]


def test_evaluate_gives_the_accuracy_that_training_gave(stripes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["train", str(stripes), "--epochs", "2", "--json"])
    trained = json.loads(capsys.readouterr().out)
    assert run(["evaluate", trained["run"], str(stripes), "--json"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert evaluated["split"] == "valid"
    assert evaluated["accuracy"] == trained["valid"]["accuracy"]
    assert evaluated["interval"] == trained["valid"]["interval"]
    assert [item["path"] for item in evaluated["refused"]] == ["train/lying/broken.png"]


def test_evaluate_shows_the_classes_that_there_are_pictures_of(
    digits_run: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "data/3").mkdir(parents=True)
    make_picture(here / "data/3/x.png")
    assert run(["evaluate", str(digits_run), "data"]) == 0
    told = capsys.readouterr().out
    assert "no pictures of 9 classes that the model knows" in told
    assert "flatters" in told


def test_predict_answers_for_files_and_folders_and_writes_a_csv(
    stripes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["train", str(stripes), "--epochs", "4", "--quiet"])
    capsys.readouterr()
    words = ["predict", "runs/stripes", "stripes/valid/lying/0.png", "stripes/train/lying", "--csv", "out.csv"]
    assert run(words) == 0
    streams = capsys.readouterr()
    assert streams.out.splitlines()[0].split()[:2] == ["stripes/valid/lying/0.png", "lying"]
    assert "broken.png: not-a-picture" in streams.err
    rows = list(csv.DictReader(Path("out.csv").read_text().splitlines()))
    assert len(rows) == 21
    assert abs(float(rows[0]["lying"]) + float(rows[0]["standing"]) - 1) < 1e-6


def test_predict_without_one_usable_picture_is_asked_wrongly(
    digits_run: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", str(digits_run), "nowhere.png", "--csv", "out.csv"]) == 2
    told = capsys.readouterr().err
    assert "nowhere.png: missing" in told
    assert "no picture could be predicted" in told
    assert not Path("out.csv").exists()


def test_predict_with_json_is_one_document_even_without_an_answer(
    digits_run: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", str(digits_run), "nowhere.png", "--json"]) == 2
    streams = capsys.readouterr()
    assert json.loads(streams.out)["predictions"] == []
    assert "no picture could be predicted" in streams.err


def test_predict_with_one_missing_file_answers_for_the_others_and_ends_with_1(
    digits_run: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", str(digits_run), str(make_picture(here / "x.png")), "nowhere.png"]) == 1
    assert "x.png" in capsys.readouterr().out


def test_a_name_that_is_too_long_is_no_traceback(here: Path, digits_run: Path) -> None:
    assert run(["predict", "m" * 5000, "x.png"]) == 2
    assert run(["predict", str(digits_run), "p" * 5000]) == 2


def test_a_config_file_sets_options_and_the_command_line_goes_before_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.toml").write_text('epochs = 1\nmodel = "linear"\nseed = 3\n')
    assert run(["train", "--config", "mine.toml", "--epochs", "2", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["model"]["name"] == "linear"
    assert len(facts["epochs"]) == 2


def test_the_config_of_a_run_repeats_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["train", "--epochs", "1", "--seed", "7", "--json"])
    first = json.loads(capsys.readouterr().out)
    assert run(["train", "--config", f"{first['run']}/config.toml", "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["run"] != first["run"]
    weights = [Path(facts["run"]) / "model" / "model.safetensors" for facts in (first, second)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "nowhere"], "no such path, and no dataset of that name: nowhere"),
        (["train", "--lr", "-1"], "the learning rate is -1.0"),
        (["train", "--lr", "nan"], "the learning rate is nan"),
        (["train", "--epochs", "0"], "the number of epochs is 0"),
        (["train", "--batch-size", "0"], "the batch size is 0"),
        (["train", "--minutes", "0"], "minutes is 0"),
        (["train", "--model", "vgg"], "no network is called 'vgg'"),
        (["train", "--device", "tpu"], "no device is called 'tpu'"),
        (["train", "--config", "nowhere.toml"], "cannot read the configuration nowhere.toml"),
        (["train", "--epochs", "many"], "'many' is not a valid integer"),
        (["evaluate", "nowhere", "nowhere"], "nowhere does not exist"),
        (["predict", ".", "x.png"], ". is not a model folder"),
        (["fly"], "No such command 'fly'"),
    ],
)
def test_a_wrong_request_gets_one_message_and_exit_code_2(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert run(words) == 2
    streams = capsys.readouterr()
    assert told in streams.err
    assert "Traceback" not in streams.err
    assert streams.out == ""
    assert not Path("runs").exists()


def test_an_error_with_json_is_one_document_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "nowhere", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["exit_code"] == 2


def test_a_config_with_an_unknown_option_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.toml").write_text("epoch = 1\n")
    assert run(["train", "--config", "mine.toml"]) == 2
    assert "sets 'epoch', which is no option" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["epochs = [1]", "epochs = 1.5", "lr = true", "seed = {a = 1}", "model = 3"])
def test_a_config_with_a_value_of_the_wrong_kind_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    Path("mine.toml").write_text(line)
    assert run(["train", "--config", "mine.toml"]) == 2
    assert "expected" in capsys.readouterr().err


def test_without_words_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "sevensteps train PATH" in capsys.readouterr().out


def test_a_model_of_another_format_version_is_refused(
    digits_run: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = here / "model"
    folder.mkdir()
    for file in (digits_run / "model").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"format_version": 99}))
    assert run(["predict", str(folder), "x.png"]) == 2
    assert "format version 99" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_to_ends_with_exit_code_1(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("taken").write_text("a file where the runs should go")
    assert run(["train", "--out", "taken/runs"]) == 1
    assert "cannot write taken/runs" in capsys.readouterr().err


@pytest.mark.slow
def test_ctrl_c_in_the_middle_of_an_epoch_keeps_what_was_learned(here: Path) -> None:
    words = [sys.executable, "-m", "sevensteps", "train", "--epochs", "2000", "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    history = here / "runs/digits/history.csv"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not history.exists():
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    facts = json.loads(out)
    assert facts["interrupted"] is True
    assert facts["valid"]["accuracy"] > 0.3
    assert run(["predict", facts["run"], str(make_picture(here / "x.png"))]) == 0


def test_help_answers_at_once_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from sevensteps.cli.main import run; run(['--help']);"
        "print([m for m in ('torch', 'numpy', 'matplotlib', 'sklearn', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["train"],
        ["evaluate"],
        ["predict"],
        ["tour"],
        ["serve"],
        ["studio"],
        ["check"],
        ["verify"],
        ["cache"],
        ["report"],
    ],
)
def test_the_help_is_as_it_was_agreed(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To agree to another: SEVENSTEPS_WRITE_GOLDEN=1 make quick, and read the difference."""
    monkeypatch.setenv("COLUMNS", "100")
    assert run([*words, "--help"]) == 0
    told = capsys.readouterr().out
    golden = Path(__file__).parent / "help" / f"{'-'.join(words) or 'sevensteps'}.txt"
    if os.environ.get("SEVENSTEPS_WRITE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(told, "utf-8")
    assert told == golden.read_text("utf-8")


def test_the_help_names_all_networks_and_datasets_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    from sevensteps.data.samples import DATASETS
    from sevensteps.models.networks import names
    from sevensteps.models.registry import is_of_the_house

    run(["train", "--help"])
    told = capsys.readouterr().out
    assert [name for name in [*filter(is_of_the_house, names()), *DATASETS] if name not in told] == []


def test_python_dash_m_works() -> None:
    done = subprocess.run([sys.executable, "-m", "sevensteps", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("sevensteps, version ")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a pipe that closes early, as on Unix")
def test_a_reader_that_goes_away_gets_no_traceback(digits_run: Path, tmp_path: Path) -> None:
    picture = make_picture(tmp_path / "x.png")
    command = f"{sys.executable} -m sevensteps predict {digits_run} {' '.join([str(picture)] * 500)} | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr


def make_picture(path: Path) -> Path:
    Image.fromarray(np.full((8, 8), 100, np.uint8)).save(path)
    return path


def test_linked_classes_are_trained_on_where_that_is_asked(
    stripes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "linked"
    data.mkdir()
    for split in stripes.iterdir():
        (data / split.name).symlink_to(split)
    assert run(["train", str(data), "--out", str(tmp_path / "runs")]) == 2
    assert "--follow-links follows it" in capsys.readouterr().err
    assert run(["check", str(data), "--follow-links", "--json"]) == 0
    assert run(["train", str(data), "--follow-links", "--epochs", "1", "--out", str(tmp_path / "runs")]) == 0
    assert run(["train", "--resume", str(tmp_path / "runs/linked"), "--quiet"]) == 0
