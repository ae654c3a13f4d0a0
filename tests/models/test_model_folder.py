from __future__ import annotations

import json
import pickle
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from sevensteps import Preprocessing, networks
from sevensteps.errors import ModelFolderError, RequestError, StorageError
from sevensteps.models.model_folder import ModelFolder

CLASSES = ["3", "7", "a: b"]


def made(name: str = "convnet", size: tuple[int, int, int] = (1, 8, 8), **arguments: Any) -> ModelFolder:
    return ModelFolder(networks.create(name, size, len(CLASSES), **arguments), CLASSES, Preprocessing(*size))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made(width=4).save(tmp_path / "saved")


def changed(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def refuse(folder: Path, words: str) -> None:
    started = time.process_time()
    with pytest.raises(ModelFolderError, match=words) as caught:
        ModelFolder.load(folder)
    assert time.process_time() - started < 1
    assert str(folder) in str(caught.value) or "expected" in caught.value.hint


@pytest.mark.parametrize("name", networks.names())
def test_a_round_trip_gives_the_same_preds_to_the_last_bit(name: str, tmp_path: Path) -> None:
    saved = made(name, (3, 9, 7))
    if name == "pixel_similarity":
        saved.model.archetypes = torch.rand(3, 3, 9, 7)
    else:
        saved.model(torch.rand(4, 3, 9, 7))  # moves the figures of the batch norms
    saved.save(tmp_path)
    loaded = ModelFolder.load(tmp_path)
    xb = torch.rand(5, 3, 9, 7)
    with torch.no_grad():
        assert torch.equal(loaded.model(xb), saved.model.eval()(xb))
    assert (loaded.classes, loaded.preprocessing) == (saved.classes, saved.preprocessing)
    assert loaded.model.architecture == saved.model.architecture
    assert not loaded.model.training


def test_the_folder_holds_four_files_and_the_card_names_the_classes(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["README.md", "config.json", "manifest.json", "model.safetensors"]
    assert "`3`, `7`, `a: b`" in (folder / "README.md").read_text("utf-8")
    assert json.loads((folder / "config.json").read_text("utf-8"))["format_version"] == 1


def test_a_class_name_of_any_letters_survives(tmp_path: Path) -> None:
    names = ["Blüte 🌻", "x\nz", "\udcff"]
    ModelFolder(networks.linear((1, 2, 2), 3), names, Preprocessing(1, 2, 2)).save(tmp_path)
    assert ModelFolder.load(tmp_path).classes == names


def test_loading_moves_no_random_numbers_of_the_caller(folder: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    ModelFolder.load(folder)
    assert torch.equal(torch.rand(4), expected)


def test_a_run_folder_is_accepted(tmp_path: Path) -> None:
    made().save(tmp_path / "runs" / "digits" / "model")
    assert ModelFolder.load(tmp_path / "runs" / "digits").classes == CLASSES


def test_another_format_version_is_refused(folder: Path) -> None:
    refuse(changed(folder, lambda config: config.update(format_version=2)), "has format version 2")


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    refuse(tmp_path / "nothing", "does not exist")
    refuse(tmp_path, "is not a model folder")


def set_in(*keys: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        for key in keys[:-1]:
            config = config[key]
        config[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda config: config.pop("classes"), "has the keys"),
        (lambda config: config.update(code="import os"), "has the keys"),
        (set_in("classes", value="abc"), "expected a list of at least two names"),
        (set_in("classes", value=["a"]), "expected a list of at least two names"),
        (set_in("classes", value=["a", "b", 3]), "expected a list of at least two names"),
        (set_in("classes", value=["a", "b", "a"]), "two classes have the same name"),
        (set_in("classes", value=["a", "b", "c" * 257]), "the longest name with 257 characters"),
        (set_in("classes", value=[str(n) for n in range(10_001)]), "10,001 classes"),
        (set_in("format_version", value="9" * 10_000), "has format version '9{70,80}, and"),
        (set_in("classes", value=["a", "b"]), "2 classes, and a network with 3 outputs"),
        (set_in("preprocessing", value={"channels": 1, "height": 8}), "this preprocessing is not known"),
        (set_in("preprocessing", "height", value=10**9), "height must be 1 to 4096"),
        (set_in("preprocessing", "channels", value=3), "pictures of \\(3, 8, 8\\)"),
        (set_in("architecture", value=None), "no network is described"),
        (set_in("architecture", value=["convnet"]), "no network is described"),
        (set_in("architecture", "module", value="os"), "no network is described"),
        (set_in("architecture", "name", value="os.system"), "no network is called 'os.system'"),
        (set_in("architecture", "name", value=["linear"]), "no network is described"),
        (set_in("architecture", "name", value="linear"), "linear takes no argument"),
        (set_in("architecture", "input_shape", value=3), "no network is described"),
        (set_in("architecture", "input_shape", value=[1, 8, -8]), "no network is described"),
        (set_in("architecture", "input_shape", value=[1, 8.5, 8]), "no network is described"),
        (set_in("architecture", "classes", value=True), "no network is described"),
        (set_in("architecture", "arguments", value=[4]), "no network is described"),
        (set_in("architecture", "arguments", value={"width": None}), "no network is described"),
        (set_in("architecture", "arguments", value={"width": float("nan")}), "no network is described"),
        (set_in("architecture", "arguments", value={"width": 10**6}), "no network is described"),
        (set_in("architecture", "arguments", value={"width": "4"}), "no network can be built"),
        (set_in("architecture", "arguments", value={"width": 4.5}), "no network can be built"),
        (set_in("architecture", "arguments", value={"width": 0}), "convnet with width = 0"),
        (set_in("architecture", "arguments", value={"width": -4}), "convnet with width = -4"),
        (set_in("architecture", "arguments", value={"width": 4096}), "convnet needs '1.0.weight' of shape"),
        (set_in("architecture", "arguments", value={"__class__": 1}), "takes no argument '__class__'"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused_at_once(
    folder: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    refuse(changed(folder, change), words)


@pytest.mark.parametrize(
    "description",
    [
        {"name": "resnet", "arguments": {"width": 4096}},
        {"name": "linear", "input_shape": [1, 10_000, 10_000], "arguments": {}},
        {"name": "simple_net", "input_shape": [1, 4096, 4096], "arguments": {"hidden": 4096}},
    ],
)
def test_a_few_words_cannot_ask_for_gigabytes(folder: Path, description: dict[str, Any]) -> None:
    def change(config: dict[str, Any]) -> None:
        config["architecture"].update(description)
        shape = config["architecture"]["input_shape"]
        config["preprocessing"] = dict(zip(("channels", "height", "width"), shape, strict=True))

    refuse(changed(folder, change), "no network can be built|must be 1 to 4096 pixels|must be at most 2,097,152 pixels")


def test_weights_that_are_not_finite_are_refused(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    next(tensor for tensor in tensors.values() if tensor.is_floating_point()).flatten()[0] = float("nan")
    (folder / "model.safetensors").write_bytes(safetensors.torch.save(tensors))
    refuse(folder, "holds numbers that are not finite")


def test_room_that_is_only_reserved_is_no_model_folder_yet(folder: Path, tmp_path: Path) -> None:
    ModelFolder.load(folder).reserve(tmp_path / "reserved")
    refuse(tmp_path / "reserved", "is not a model folder")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "1", '{"format_version": 1}', "[" * 100_000, "1" * 5000, '"\\ud800"', "\x00"]
)
def test_a_configuration_that_is_not_ours_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    refuse(folder, "config.json")


def test_a_configuration_in_another_encoding_is_refused(folder: Path) -> None:
    (folder / "config.json").write_bytes(b"\xff\xfe{}")
    refuse(folder, "cannot read")


def test_a_huge_configuration_is_refused_unread(folder: Path) -> None:
    with (folder / "config.json").open("ab") as file:
        file.truncate(8 << 30)  # a sparse file: 8 GiB by name
    refuse(folder, "it has more than 16,777,216 bytes")


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    refuse(folder, "model.safetensors is missing")
    (folder / "model.safetensors").mkdir()
    refuse(folder, "model.safetensors is missing")


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 100, 1000, -1])
def test_cut_weights_are_refused(folder: Path, keep: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refuse(folder, "does not hold the weights of this network")


def test_damaged_weights_never_give_another_error(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for position in range(0, header, 11):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x15]) + whole[position + 1 :])
        try:
            ModelFolder.load(folder)
        except ModelFolderError:
            continue


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_pickle_in_its_place_is_refused_and_never_run(folder: Path, name: str, tmp_path: Path) -> None:
    trace = tmp_path / "it ran"

    class Bad:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (trace,)

    (folder / name).write_bytes(pickle.dumps(Bad()))
    refuse(folder, name.replace(".", r"\."))
    torch.save({"0.mean": Bad()}, folder / name)
    refuse(folder, name.replace(".", r"\."))
    assert not trace.exists()
    pickle.loads(pickle.dumps(Bad()))
    assert trace.exists()  # it would have run


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / "model.safetensors")


@pytest.mark.parametrize("kind", ["missing", "extra", "shape", "scalar", "another network"])
def test_weights_of_another_network_are_refused(folder: Path, kind: str) -> None:
    tensors = weights(folder)
    if kind == "missing":
        tensors.pop("0.mean")
    elif kind == "extra":
        tensors["more"] = torch.zeros(1)
    elif kind == "shape":
        tensors["0.mean"] = torch.zeros(2)
    elif kind == "scalar":
        tensors["0.mean"] = torch.tensor(0.5)
    else:
        tensors = {"weight": torch.zeros(2, 2)}
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    refuse(folder, "convnet needs '")


def test_weights_in_another_precision_are_taken(folder: Path) -> None:
    tensors = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights(folder).items()
    }
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    assert all(p.dtype == torch.float32 for p in ModelFolder.load(folder).model.parameters())


def test_a_network_that_is_not_from_the_registry_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"a Linear that is not from the registry[\s\S]*networks.register"):
        ModelFolder(nn.Linear(2, 2), ["a", "b"], Preprocessing(1, 1, 2)).save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    one_score = networks.linear((1, 4, 4), 1)
    with pytest.raises(RequestError, match="2 classes, and a network with 1 outputs"):
        ModelFolder(one_score, ["a", "b"], Preprocessing(1, 4, 4)).save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_saving_over_an_earlier_version_replaces_it(folder: Path) -> None:
    made("linear", (1, 5, 5)).save(folder, card="# mine\n")
    assert ModelFolder.load(folder).model.architecture.name == "linear"  # type: ignore[union-attr]
    assert (folder / "README.md").read_text() == "# mine\n"


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write"):
        made().save(tmp_path / "file" / "model")


def test_a_copied_folder_is_the_same_model(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    copied = ModelFolder.load(tmp_path / "copy").model.state_dict()
    assert all(
        torch.equal(tensor, copied[name]) for name, tensor in ModelFolder.load(folder).model.state_dict().items()
    )


@pytest.mark.slow
@pytest.mark.parametrize("character", ["x", "花", "\U0001f33b", "\u202e"])
def test_the_most_and_longest_names_come_back(tmp_path: Path, character: str) -> None:
    names = [f"{number:05}" + character * 251 for number in range(10_000)]
    ModelFolder(networks.create("linear", (1, 1, 2), 10_000), names, Preprocessing(1, 1, 2)).save(tmp_path / "model")
    assert ModelFolder.load(tmp_path / "model").classes == names
