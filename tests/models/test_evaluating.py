"""A model in evaluation mode for a moment."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sevensteps import PixelSimilarity
from sevensteps.models.evaluating import evaluating
from sevensteps.models.networks import count_operations
from sevensteps.models.summary import summary


@pytest.mark.parametrize(
    ("model", "expected"),
    [(nn.ReLU(), "cpu"), (nn.Linear(1, 1, device="meta"), "meta"), (PixelSimilarity().to("meta"), "meta")],
)
def test_the_device_is_that_of_the_weights_or_figures_and_else_the_cpu(model: nn.Module, expected: str) -> None:
    with evaluating(model) as device:
        assert device == torch.device(expected)


def test_each_module_is_in_its_own_mode_again_also_after_an_error() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    model[0].eval()  # frozen, as people do with batch norms
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    with pytest.raises(ZeroDivisionError), evaluating(model):
        raise ZeroDivisionError
    assert count_operations(model, (2,)) == 4
    summary(model, torch.zeros(1, 2))
    assert [module.training for module in model.modules()] == [True, False, True]
