from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from sevensteps.models import engine, networks
from sevensteps.models.engine import fold_batch_norms, make_engine

CPU = torch.device("cpu")
SHAPES = {
    "linear": (1, 8, 8),
    "simple_net": (1, 8, 8),
    "convnet": (1, 28, 28),
    "resnet": (3, 32, 32),
    "resnet18": (3, 32, 32),
}


def trained(name: str) -> nn.Module:
    """A network whose batch norms have seen something."""
    model = networks.create(name, SHAPES[name], 5).train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.rand(16, *SHAPES[name]))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 2)
                module.bias.uniform_(-1, 1)
    return model.eval()


def answers(model: nn.Module, xb: Tensor) -> Tensor:
    with torch.no_grad():
        return model(xb)


def batch_norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("name", SHAPES)
def test_folding_leaves_no_batch_norm_and_the_same_answers(name):
    model, xb = trained(name), torch.rand(7, *SHAPES[name])
    before = copy.deepcopy(model.state_dict())
    folded = fold_batch_norms(model)
    assert batch_norms(folded) == 0
    assert torch.allclose(answers(folded, xb), answers(model, xb), atol=1e-5)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_a_batch_norm_that_turns_the_greatest_into_the_least_stays():
    model, xb = trained("convnet"), torch.rand(7, 1, 28, 28)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight[3] = -1.0
    folded = fold_batch_norms(model)
    assert batch_norms(folded) == 1
    assert torch.allclose(answers(folded, xb), answers(model, xb), atol=1e-5)


def test_a_batch_norm_without_figures_of_its_own_stays():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False)).eval()
    assert batch_norms(fold_batch_norms(model)) == 1


@pytest.mark.parametrize("name", SHAPES)
def test_onnx_runtime_gives_the_same_answers_for_any_number_of_pictures(name, monkeypatch):
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    monkeypatch.setattr(engine, "_seconds", lambda run, example: 0.0 if "onnx" in run.__qualname__ else 1.0)
    model = trained(name)
    used, run = make_engine(model, CPU, SHAPES[name])
    assert used == "onnxruntime"
    for n in (1, 2, 9):
        xb = torch.rand(n, *SHAPES[name])
        assert torch.allclose(run(xb), answers(model, xb), atol=1e-5)


def test_the_faster_of_two_is_taken(monkeypatch):
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    monkeypatch.setattr(engine, "_seconds", lambda run, example: 1.0 if "onnx" in run.__qualname__ else 0.0)
    assert make_engine(trained("convnet"), CPU, (1, 28, 28))[0] == "torch"


class Strange(nn.Module):
    """What no exporter knows."""

    def forward(self, xb: Tensor) -> Tensor:
        return torch.tensor([[float(row.sum().item()) > 0, 1.0] for row in xb])


@pytest.mark.parametrize("there", [True, False])
def test_where_onnx_runtime_cannot_torch_answers(monkeypatch, there):
    if not there:
        monkeypatch.setattr(engine, "find_spec", lambda name: None)
    used, run = make_engine(Strange(), CPU, (1, 2, 2))
    assert used == "torch"
    assert run(torch.ones(3, 1, 2, 2)).tolist() == [[1.0, 1.0]] * 3


@pytest.mark.parametrize("pool", [[], [nn.MaxPool2d(2)]])
def test_a_batch_norm_without_weights_is_folded_too(pool):
    model, xb = (
        nn.Sequential(nn.Conv2d(1, 4, 3), *pool, nn.BatchNorm2d(4, affine=False)).train(),
        torch.rand(9, 1, 8, 8),
    )
    answers(model, xb)
    folded = fold_batch_norms(model.eval())
    assert batch_norms(folded) == 0
    assert torch.allclose(answers(folded, xb), answers(model, xb), atol=1e-5)
