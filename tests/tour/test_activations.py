"""What the exhibits about activations claim."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sevensteps.data.dataloaders import DataLoaders
from sevensteps.models.networks import count_parameters
from sevensteps.tour.activations import ACTIVATIONS, activation, depth, relu, relu_twice
from sevensteps.tour.classes import TwoClasses
from sevensteps.tour.exhibit import EXHIBITS

NUMBERS = (35, 36, 37)


def test_each_gives_the_same_findings_again(colour: DataLoaders) -> None:
    for number in NUMBERS:
        assert EXHIBITS[number].run(colour).findings == EXHIBITS[number].run(colour).findings


@pytest.mark.parametrize("layers", [2, 10, 20])
def test_any_number_of_linear_layers_is_one_matrix(digits: DataLoaders, layers: int) -> None:
    found = activation(digits, layers=layers, steps=10).findings
    assert found["layers_less_one_matrix"] < 1e-12


def test_the_slopes_are_a_quarter_and_1_at_most(digits: DataLoaders) -> None:
    steepest = activation(digits, steps=10).findings["steepest_slope"]
    assert steepest == pytest.approx({"none": 1, "sigmoid": 0.25, "tanh": 1, "ReLU": 1})


def test_the_gains_are_those_that_torch_recommends() -> None:
    recommended = {"none": "linear", "sigmoid": "sigmoid", "tanh": "tanh", "ReLU": "relu"}
    for name, (_, gain, _) in ACTIVATIONS.items():
        assert gain == pytest.approx(nn.init.calculate_gain(recommended[name]))  # type: ignore[arg-type]


@pytest.mark.parametrize("data", ["digits", "colour"])
@pytest.mark.parametrize("layers", [5, 10])
def test_back_through_sigmoids_the_gradient_nearly_vanishes_and_through_the_others_it_does_not(
    data: str, layers: int, request: pytest.FixtureRequest
) -> None:
    lengths = activation(request.getfixturevalue(data), layers=layers, steps=10).findings["gradient_by_layer"]
    lost = {name: values[0] / values[-1] for name, values in lengths.items()}
    assert len(lengths["sigmoid"]) == layers
    assert lost["sigmoid"] < 0.3 ** (layers - 1)
    assert min(lost["none"], lost["tanh"], lost["ReLU"]) > 0.1


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_only_with_an_activation_a_network_learns_pictures_and_their_negatives(
    data: str, request: pytest.FixtureRequest
) -> None:
    found = activation(request.getfixturevalue(data)).findings
    right, limit = found["accuracy_with_negatives"], found["most_that_a_linear_one_gets_right"]
    assert max(right["none"]) <= limit
    assert all(right[name][-1] > 0.95 > limit for name in ("sigmoid", "tanh", "ReLU"))


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_no_linear_score_gets_more_right_than_the_limit(data: str, request: pytest.FixtureRequest) -> None:
    dls = request.getfixturevalue(data)
    two, limit = TwoClasses.of(dls), activation(dls, steps=10).findings["most_that_a_linear_one_gets_right"]
    scores, biases = two.x @ two.random(3000), torch.linspace(-2, 2, 3000)
    scores = torch.cat([scores, -scores]) + biases
    right = ((scores > 0) == (torch.cat([two.y, two.y])[:, None] == 1)).double().mean(0)
    assert right.max() <= limit
    assert right.max() > 0.5


@pytest.mark.parametrize("data", ["digits", "colour"])
@pytest.mark.parametrize("hidden", [1, 30])
def test_function_and_module_give_the_same_numbers_and_gradients(
    data: str, hidden: int, request: pytest.FixtureRequest
) -> None:
    found = relu_twice(request.getfixturevalue(data), hidden=hidden).findings
    assert found["same_numbers"]
    assert found["same_gradients"]
    assert found["same_answers"]
    assert found["parameters"] == 0


def test_only_the_module_has_a_place_in_the_network(digits: DataLoaders) -> None:
    found = relu_twice(digits).findings
    assert "relu is not a Module subclass" in found["nn.Sequential(F.relu)"]
    assert found["children_with_F.relu"] == ["Linear", "Linear"]
    assert found["children_with_nn.ReLU"] == ["Linear", "ReLU", "Linear"]
    assert "ReLU()" in str(nn.Sequential(nn.ReLU())), "it is printed with the network"


def test_a_hook_hears_the_zeros_of_each_unit(digits: DataLoaders) -> None:
    heard = relu_twice(digits, hidden=12).findings["share_of_zeros_heard"]
    assert len(heard) == 12
    assert all(0 <= share <= 1 for share in heard)
    assert 0 < sum(heard) < 12


def test_the_class_called_with_numbers_is_a_module_and_no_result(digits: DataLoaders) -> None:
    found = relu_twice(digits).findings
    assert (found["F.relu(x) is a"], found["nn.ReLU(x) is a"]) == ("Tensor", "ReLU")


def straight_pieces(y: Tensor) -> int:
    return 1 + int((y.diff().diff().abs() > 1e-9).sum())


def folding_network(k: int) -> nn.Sequential:
    """Layers of two units that make max(0, 2x) and max(0, 4x - 2), each of the difference of the two before it."""
    model = nn.Sequential()
    for i in range(k):
        layer = nn.Linear(2 if i else 1, 2)
        layer.weight.data = torch.tensor([[2.0, -2.0], [4.0, -4.0]])[:, : 2 if i else 1]
        layer.bias.data = torch.tensor([0.0, -2.0])
        model.extend([layer, nn.ReLU()])
    last = nn.Linear(2, 1)
    last.weight.data, last.bias.data = torch.tensor([[1.0, -1.0]]), torch.zeros(1)
    return model.append(last).double()


@pytest.mark.parametrize("folds", [3, 4, 6])
def test_layers_of_two_units_make_twice_as_many_pieces_each(colour: DataLoaders, folds: int) -> None:
    shown = depth(colour, folds=folds, epochs=1)
    assert shown.figure is not None
    x, y = map(torch.as_tensor, shown.figure.axes[0].lines[0].get_data())
    assert straight_pieces(y.flatten()) == shown.findings["pieces"] == 2**folds
    assert torch.equal(folding_network(folds)(x.view(-1, 1)), y.view(-1, 1))
    assert shown.findings["same_function"], "one layer with a unit for each piece"
    assert shown.findings["units"] == {"deep": 2 * folds, "one layer": 2**folds}


def test_the_parameters_are_those_of_such_networks(colour: DataLoaders) -> None:
    parameters = depth(colour, epochs=1).findings["parameters"]
    for k, (pieces, deep, one_layer) in enumerate(zip(*parameters.values(), strict=True), start=1):
        assert pieces == 2**k
        assert deep == count_parameters(folding_network(k))
        assert one_layer == count_parameters(nn.Sequential(nn.Linear(1, pieces), nn.Linear(pieces, 1)))
        small = nn.Sequential(nn.Linear(1, 2 * k), nn.ReLU(), nn.Linear(2 * k, 1))
        assert count_parameters(small) == deep, "one layer with as many units has as many parameters"


@pytest.mark.parametrize("units", [1, 4, 9])
def test_a_layer_of_n_units_makes_at_most_n_and_one_pieces(units: int) -> None:
    x = torch.linspace(-3, 3, 60_001, dtype=torch.float64)[:, None]
    for seed in range(5):
        draws = torch.Generator().manual_seed(seed)
        first, bias, last = torch.randn(3, units, 1, dtype=torch.float64, generator=draws)
        y = (x @ first.T + bias.T).relu() @ last
        bends = (y[:, 0].diff().diff().abs() > 1e-9).nonzero().flatten()
        apart = 1 + int((bends.diff() > 1).sum()) if len(bends) else 0  # a bend between two points shows twice
        assert apart <= units


def test_one_layer_with_as_many_parameters_cannot_follow(colour: DataLoaders) -> None:
    for folds in (3, 5):
        assert depth(colour, folds=folds, epochs=1).findings["one_layer_with_as_many_parameters_errs_by"] > 0.3


@pytest.mark.parametrize(("layers", "width"), [(3, 16), (5, 12)])
def test_on_pictures_both_networks_have_as_many_parameters_and_both_learn(
    digits: DataLoaders, layers: int, width: int
) -> None:
    found = depth(digits, layers=layers, width=width, epochs=20).findings["on_pictures"]
    deep, one_layer = found["deep"], found["one layer"]
    assert (deep["hidden"], len(one_layer["hidden"])) == ([width] * layers, 1)
    assert deep["parameters"] == pytest.approx(one_layer["parameters"], rel=0.03)
    for network in (deep, one_layer):
        assert all(len(run) == 20 and run[-1] > 0.6 for run in network["valid_accuracy"])


def test_relu_is_0_below_0_and_the_number_itself_above(digits: DataLoaders) -> None:
    found = relu(digits).findings
    assert found["at_-2_-1_0_1_2"] == [0, 0, 0, 1, 2]
    assert (found["slope_below"], found["slope_at_0_in_torch"], found["slope_above"]) == (0, 0, 1)


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_two_linear_layers_are_one_and_only_relu_bends(data: str, request: pytest.FixtureRequest) -> None:
    found = relu(request.getfixturevalue(data)).findings
    assert found["two_layers_less_one"] < 1e-12
    assert found["bend_without"] < 1e-12
    assert found["bend_with"] > 0.01
    assert 0 < found["set_to_zero"] < 1
