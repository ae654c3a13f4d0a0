"""The graph from a loss back to the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sevensteps.insight.autograd import graph_of, operations
from sevensteps.models import networks


@pytest.fixture
def loss() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A loss with a branch: x goes through two layers, and around them."""
    torch.manual_seed(0)
    layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
    x = torch.randn(3, 4)
    return (layers[1](layers[0](x).relu()) + layers[0](x)).square().mean(), dict(layers.named_parameters())


def test_every_weight_ends_a_path_once(loss: tuple[torch.Tensor, dict[str, torch.Tensor]]) -> None:
    graph = graph_of(*loss)
    assert sorted(node.parameter for node in graph if node.parameter) == sorted(loss[1])
    assert all(not node.next for node in graph if node.parameter)


def test_each_node_stands_before_those_that_it_hands_gradients_to(
    loss: tuple[torch.Tensor, dict[str, torch.Tensor]],
) -> None:
    graph = graph_of(*loss)
    assert graph[0].name == loss[0].grad_fn.name()  # type: ignore[union-attr]
    assert all(number < below for number, node in enumerate(graph) for below in node.next)
    reached = {0} | {below for node in graph for below in node.next}
    assert reached == set(range(len(graph)))


def test_the_operations_name_the_weights_that_they_serve(loss: tuple[torch.Tensor, dict[str, torch.Tensor]]) -> None:
    shown = operations(graph_of(*loss))
    assert [name for name, _ in shown][:2] == ["Mean", "Pow"]
    assert [sorted(weights) for _, weights in shown if weights] == [
        ["1.bias", "1.weight"], ["0.bias", "0.weight"], ["0.bias", "0.weight"],
    ]  # fmt: skip


def test_a_loss_without_a_gradient_has_no_graph() -> None:
    assert graph_of(torch.tensor(1.0)) == []


def test_a_deep_network_is_no_trouble() -> None:
    x = torch.ones(1, requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y * 1.0
    assert len(graph_of(y.sum(), {"x": x})) == 20_002


def test_of_a_residual_network_all_weights_are_named() -> None:
    model = networks.create("resnet", (3, 16, 16), 4)
    weights = dict(model.named_parameters())
    loss = model(torch.rand(2, 3, 16, 16)).square().mean()
    named = {name for _, members in operations(graph_of(loss, weights)) for name in members}
    assert named == set(weights)
