from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from sevensteps import PixelSimilarity, networks
from sevensteps.insight.features import batch_size, seeing
from sevensteps.models.function_model import FunctionModel

WEIGHTS = torch.ones(16, 3, requires_grad=True)


@pytest.mark.parametrize("name", ["linear", "simple_net", "convnet", "resnet", "resnet18"])
def test_the_features_are_what_the_last_layer_makes_the_scores_of(name: str) -> None:
    model, xb = networks.create(name, (3, 9, 9), 4).eval(), torch.rand(5, 3, 9, 9)
    with seeing(model) as see:
        preds, features, layer = see(xb)
    assert features is not None
    assert layer is not None
    assert torch.equal(layer(features), preds)
    assert torch.equal(preds, model(xb))
    assert not preds.requires_grad


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(1, 3, 4), nn.Flatten()),
        nn.Sequential(nn.Linear(4, 8), nn.Flatten(), nn.Unflatten(1, (1, 32)), nn.MaxPool1d(2), nn.Flatten()),
        nn.Sequential(nn.Flatten(2), nn.Linear(16, 3), nn.Flatten()),  # by places, not by pictures
        FunctionModel(lambda xb: xb.flatten(1) @ WEIGHTS),
        PixelSimilarity().fit((torch.rand(2, 1, 4, 4), torch.tensor([0, 1]))),
    ],
    ids=lambda model: type(model).__name__,
)
def test_scores_that_no_linear_layer_makes_have_no_features(model: nn.Module) -> None:
    with seeing(model) as see:
        seen = see(torch.rand(2, 1, 4, 4))
    assert seen.features is seen.layer is None


@pytest.mark.parametrize("channels", [1, 2])
def test_modes_and_hooks_are_afterwards_as_they_were_also_after_an_error(channels: int) -> None:
    model = networks.convnet((1, 8, 8), 3).train()
    model[2].eval()
    modes = [module.training for module in model.modules()]

    def look() -> None:
        with seeing(model) as see:
            assert not any(module.training for module in model.modules())
            see(torch.zeros(1, channels, 8, 8))

    with nullcontext() if channels == 1 else pytest.raises(RuntimeError):
        look()
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_the_layer_that_ran_last_counts_and_not_the_one_made_last() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.body = nn.Linear(2, 3), nn.Linear(4, 2)

        def forward(self, xb: Tensor) -> Tensor:
            preds: Tensor = self.head(self.body(xb))
            return preds

    model = Backwards()
    with seeing(model) as see:
        assert see(torch.zeros(1, 4)).layer is model.head


@pytest.mark.parametrize(("shape", "expected"), [((1, 28, 28), 256), ((3, 224, 224), 13), ((3, 4000, 4000), 1)])
def test_fewer_large_pictures_go_through_a_network_together(shape: tuple[int, ...], expected: int) -> None:
    assert batch_size(torch.empty(shape, device="meta")) == expected
