from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sevensteps import DataLoaders, PixelSimilarity, networks
from sevensteps.errors import RequestError
from sevensteps.insight.influence import influences


def slopes(model: nn.Module, x: Tensor, label: int) -> Tensor:
    """The gradient of the loss on one picture with regard to the last layer, as one row."""
    loss = F.cross_entropy(model(x[None]), torch.tensor([label]))
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model[-1].parameters()))])


@pytest.mark.parametrize("network", ["convnet", "simple_net", "without bias"])
def test_the_strengths_are_the_dot_products_of_the_gradients(
    digits: DataLoaders, network: str, request: pytest.FixtureRequest
) -> None:
    torch.manual_seed(0)
    without = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False))
    model = without if network == "without bias" else request.getfixturevalue(network)
    collection, (x, label) = digits.train.collection.take(range(200)), digits.valid.collection[6]
    expected = torch.stack([slopes(model, *collection[index]) for index in range(200)]) @ slopes(model, x, label)
    found = influences(model, collection, x, label, digits.vocab or [], k=5)
    assert found is not None
    for rows, order in ((found.helping, expected.argsort(descending=True)), (found.opposing, expected.argsort())):
        assert [row.index for row in rows] == order[:5].tolist()
        assert [row.strength for row in rows] == pytest.approx(expected[order[:5]].tolist(), rel=1e-3, abs=1e-9)
        assert [row.true for row in rows] == [str(int(collection.labels[row.index])) for row in rows]


def test_a_step_on_a_picture_that_helps_lowers_the_loss_and_on_one_that_opposes_raises_it(
    digits: DataLoaders, simple_net: nn.Module
) -> None:
    collection, (x, label) = digits.train.collection, digits.valid.collection[6]
    found = influences(simple_net, collection, x, label, digits.vocab or [], k=1)
    assert found is not None

    def change(index: int, lr: float = 1e-4) -> float:
        layer, (other, true) = simple_net[-1], collection[index]
        weights, bias = (part.detach() for part in layer.parameters())
        steps = torch.autograd.grad(
            F.cross_entropy(simple_net(other[None]), torch.tensor([true])), [*layer.parameters()]
        )
        features = simple_net[:-1](x[None]).detach().double()
        stepped = [(part - lr * step).double() for part, step in zip((weights, bias), steps, strict=True)]
        after, before = (F.cross_entropy(F.linear(features, w, b), torch.tensor([label])) for w, b in
                         (stepped, (weights.double(), bias.double())))  # fmt: skip
        return float(before - after) / lr

    for row in (found.helping[0], found.opposing[0]):
        assert change(row.index) == pytest.approx(row.strength, rel=0.02)
    assert found.helping[0].strength > 0 > found.opposing[0].strength


def test_a_copy_with_a_wrong_label_opposes_most(digits: DataLoaders, convnet: nn.Module) -> None:
    collection, x = digits.train.collection.take(range(300)), digits.train.collection[11][0]
    label = int(collection.labels[11])
    collection.labels[11] = (label + 1) % 10
    found = influences(convnet, collection, x, label, digits.vocab or [])
    assert found is not None
    assert found.opposing[0].index == 11


def test_no_picture_helps_and_opposes_and_none_that_does_neither_is_listed(
    digits: DataLoaders, convnet: nn.Module
) -> None:
    collection, (x, label) = digits.train.collection.take(range(50)), digits.valid.collection[6]
    found = influences(convnet, collection, x, label, digits.vocab or [], k=50)
    assert found is not None
    assert found.helping[-1].strength > 0 > found.opposing[-1].strength
    assert not {row.index for row in found.helping} & {row.index for row in found.opposing}
    for rows in (found.helping, found.opposing):
        strengths = [abs(row.strength) for row in rows]
        assert strengths == sorted(strengths, reverse=True)


def test_a_network_without_a_last_linear_layer_has_none(digits: DataLoaders) -> None:
    similarity = PixelSimilarity().fit(digits.train)
    assert influences(similarity, digits.train.collection, torch.zeros(1, 8, 8), 0, digits.vocab or []) is None


def test_its_figures_are_json(digits: DataLoaders, convnet: nn.Module) -> None:
    found = influences(convnet, digits.train.collection, torch.zeros(1, 8, 8), 0, digits.vocab or [], k=2)
    assert found is not None
    figures = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert figures["helping"][0].keys() == {"index", "name", "true", "strength"}
    assert len(figures["opposing"]) == 2


@pytest.mark.parametrize("label", [-1, 10])
def test_an_unknown_class_is_refused(digits: DataLoaders, label: int) -> None:
    model = networks.linear((1, 8, 8), 10)
    with pytest.raises(RequestError, match=rf"class {label} of 10\n.*expected 0 to 9"):
        influences(model, digits.train.collection, torch.zeros(1, 8, 8), label, digits.vocab or [])
