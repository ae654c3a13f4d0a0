"""The health of layers: one step an epoch, and nothing left behind."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sevensteps import Callback, CancelBatchException, DataLoader, DataLoaders, Learner
from sevensteps.training.layer_log import LayerLog, layer_of


def learner(model: nn.Module) -> Learner:
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 6, generator=draw), torch.arange(40) % 3
    dls = DataLoaders(DataLoader(list(zip(x, y.tolist(), strict=True)), 8))
    return Learner(dls, model, lr=0.1, quiet=True, device="cpu", threads=1)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    with torch.no_grad():
        model[0].bias[:6] -= 100  # of 8 units
    return model


class Weights(Callback):
    """The weights before and after each step."""

    def __init__(self) -> None:
        self.steps: list[tuple[list[Tensor], list[Tensor], list[Tensor]]] = []

    def before_step(self) -> None:
        parameters = list(self.learn.model.parameters())
        self.before = [p.detach().clone() for p in parameters]
        self.grads = [p.grad.clone() for p in parameters if p.grad is not None]

    def after_step(self) -> None:
        after = [p.detach().clone() for p in self.learn.model.parameters()]
        self.steps.append((self.before, self.grads, after))


def length(tensors: list[Tensor]) -> float:
    return torch.cat([tensor.flatten() for tensor in tensors]).norm().item()


def test_the_middle_step_of_each_epoch_has_a_row_for_each_layer_and_each_relu() -> None:
    log, weights = LayerLog(), Weights()
    learner(network()).fit(2, cbs=[log, weights])
    assert [(row.epoch, row.step, row.layer, row.kind) for row in log.rows] == [
        (epoch, step, layer, kind)
        for epoch, step in ((1, 2), (2, 7))
        for layer, kind in (("0", "Linear"), ("2", "Linear"), ("1", "ReLU"))
    ]
    before, grads, after = weights.steps[7]
    first = log.rows[3]
    assert first.weights == pytest.approx(length(after[:2]))
    assert first.gradient == pytest.approx(length(grads[:2]))
    assert first.update == pytest.approx(length([new - old for new, old in zip(after[:2], before[:2], strict=True)]))


def test_units_that_give_0_for_every_picture_are_silent() -> None:
    log = LayerLog()
    learner(network()).fit(1, cbs=log)
    assert [row.silent for row in log.rows] == [None, None, 0.75]
    assert log.rows[-1].pictures == 8


def test_it_changes_no_bit_and_leaves_no_hook() -> None:
    listened, plain = network(), network()
    learner(listened).fit(3, cbs=LayerLog())
    learner(plain).fit(3)
    assert all(torch.equal(a, b) for a, b in zip(listened.parameters(), plain.parameters(), strict=True))
    assert not listened[1]._forward_hooks


def test_a_cancelled_batch_leaves_no_row_and_no_hook() -> None:
    class Cancel(Callback):
        def before_batch(self) -> None:
            raise CancelBatchException

    log, model = LayerLog(), network()
    learner(model).fit(1, cbs=[log, Cancel()])
    assert log.rows == []
    assert not model[1]._forward_hooks


def test_its_rows_come_back_from_a_checkpoint() -> None:
    log, again = LayerLog(), LayerLog()
    learner(network()).fit(1, cbs=log)
    again.from_state([list(row) for row in log.to_state()])
    assert again.rows == log.rows


def test_a_parameter_belongs_to_the_module_that_its_name_names() -> None:
    assert [layer_of(name) for name in ("2.conv.weight", "0.bias", "weights")] == ["2.conv", "0", "weights"]
