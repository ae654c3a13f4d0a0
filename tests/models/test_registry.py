from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sevensteps import Predictor, Preprocessing, networks
from sevensteps.errors import ModelFolderError, RequestError
from sevensteps.models import registry
from sevensteps.models.model_folder import ModelFolder
from sevensteps.models.registry import Architecture, is_of_the_house


class Tied(nn.Module):
    def __init__(self, pixels: int, classes: int) -> None:
        super().__init__()
        self.inward = nn.Linear(pixels, pixels)
        self.again = nn.Linear(pixels, pixels)
        self.again.weight = self.inward.weight
        self.out = nn.Linear(pixels, classes)

    def forward(self, xb: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.out(self.again(self.inward(xb.flatten(1)).relu()))
        return result


def of_my_own(input_shape: tuple[int, ...], classes: int, *, slope: float = 0.1) -> nn.Module:
    channels, height, width = input_shape
    sizes = [int(size) for size in torch.linspace(channels, channels, 1).tolist()]  # needs real numbers, not meta
    return nn.Sequential(nn.Conv2d(sizes[0], 4, 3, padding=1), nn.LeakyReLU(slope), nn.Flatten(),
                         nn.Linear(4 * height * width, classes))  # fmt: skip


def tied(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    return Tied(input_shape[0] * input_shape[1] * input_shape[2], classes)


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    networks.names()
    monkeypatch.setattr(registry, "REGISTRY", dict(registry.REGISTRY))


@pytest.mark.parametrize(("builder", "arguments"), [(of_my_own, {"slope": -0.25}), (of_my_own, {}), (tied, {})])
def test_a_network_of_my_own_is_registered_saved_and_loaded(
    builder: Any, arguments: dict[str, float], tmp_path: Path
) -> None:
    build = networks.register(builder)
    model = build((1, 4, 4), 3, seed=9, **arguments)
    assert builder.__name__ in networks.names()
    assert model.architecture == Architecture(builder.__name__, (1, 4, 4), 3, arguments)
    ModelFolder(model, ["a", "b", "c"], Preprocessing(1, 4, 4)).save(tmp_path)
    xb = torch.rand(5, 1, 4, 4)
    assert torch.equal(Predictor(tmp_path).model(xb), model.eval()(xb))


def test_a_folder_that_names_an_unregistered_network_is_refused(tmp_path: Path) -> None:
    model = networks.register(of_my_own)((1, 4, 4), 2)
    ModelFolder(model, ["a", "b"], Preprocessing(1, 4, 4)).save(tmp_path)
    del registry.REGISTRY["of_my_own"]
    with pytest.raises(ModelFolderError, match="no network is called 'of_my_own'"):
        ModelFolder.load(tmp_path)


def test_a_function_may_be_registered_again_as_a_notebook_does() -> None:
    networks.register(of_my_own)
    networks.register(of_my_own)
    assert networks.names().count("of_my_own") == 1


def test_a_network_of_the_house_cannot_be_replaced() -> None:
    def linear(input_shape: tuple[int, ...], classes: int) -> nn.Module:
        return nn.Identity()

    with pytest.raises(RequestError, match="a network is called 'linear' already"):
        networks.register(linear)
    assert isinstance(networks.create("linear", (1, 2, 2), 2), nn.Sequential)


def test_the_house_knows_its_own_networks() -> None:
    networks.register(of_my_own)
    assert is_of_the_house("convnet")
    assert is_of_the_house("pixel_similarity")
    assert not is_of_the_house("of_my_own")
    assert not is_of_the_house("nothing")


def test_an_architecture_is_the_same_after_its_way_through_json() -> None:
    architecture = Architecture("convnet", (1, 28, 28), 10, {"width": 8})
    assert Architecture(**architecture.to_dict()) == architecture
    assert architecture.to_dict()["input_shape"] == [1, 28, 28]
