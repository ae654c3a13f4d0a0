from __future__ import annotations

import torch
from torch import Tensor, nn

from sevensteps.models import networks
from sevensteps.models.summary import summary


def test_every_layer_is_listed_with_its_output_and_parameters() -> None:
    text = summary(networks.simple_net((1, 28, 28), 10), torch.zeros(2, 1, 28, 28))
    assert text.splitlines() == [
        "layer          output             parameters",
        "0 Normalize    2 × 1 × 28 × 28             0",
        "1 Flatten      2 × 784                     0",
        "2 Linear       2 × 30                 23,550",
        "3 ReLU         2 × 30                      0",
        "4 Linear       2 × 10                    310",
        "all                                   23,860",
    ]


def test_the_model_is_left_as_it_was() -> None:
    model = networks.convnet((1, 8, 8), 2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    summary(model, torch.rand(4, 1, 8, 8))
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_layer_without_a_tensor_output_is_listed_by_type() -> None:
    class Pair(nn.Module):
        def forward(self, xb: Tensor) -> tuple[Tensor, Tensor]:
            return xb, xb

    assert summary(Pair(), torch.zeros(1)).splitlines()[1].split() == ["Pair", "tuple", "0"]


def test_hooks_are_gone_after_a_model_that_fails() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    try:
        summary(model, torch.zeros(1, 4))
    except RuntimeError:
        assert not model[0]._forward_hooks
        assert model.training
    else:
        raise AssertionError("a wrong shape was taken")
