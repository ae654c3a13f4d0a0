from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sevensteps import DataLoaders, PixelSimilarity, networks
from sevensteps.errors import RequestError
from sevensteps.insight import saliency
from sevensteps.insight.saliency import Attributions, attributions
from sevensteps.models.function_model import FunctionModel
from sevensteps.models.layers import Normalize


def a_picture(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(2))


# -- against what can be known otherwise ------------------------------------------------------------------------------


def test_for_a_linear_model_both_are_the_weights_times_the_picture_exactly() -> None:
    model, x = networks.linear((3, 4, 5), 6), a_picture(3, 4, 5)
    found = attributions(model, x, 2)
    layer, normalize = model[2], model[0]
    assert isinstance(layer, nn.Linear)
    assert isinstance(normalize, Normalize)
    expected = x * layer.weight[2].view(3, 4, 5) / normalize.std.view(3, 1, 1)
    torch.testing.assert_close(found.gradient_input, expected)
    torch.testing.assert_close(found.integrated, expected)
    assert found.completeness_error < 1e-5
    assert found.activation is None


def test_where_scores_grow_in_proportion_to_the_picture_the_gradient_is_the_same_all_the_way() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 3, bias=False)
    )
    found = attributions(model, a_picture(1, 8, 8), 1)
    torch.testing.assert_close(found.integrated, found.gradient_input, rtol=1e-4, atol=1e-6)
    assert float(found.gradient_input.sum()) == pytest.approx(found.score, rel=1e-5)  # Euler's theorem
    assert found.black_score == 0


@pytest.mark.parametrize("name", ["simple_net", "convnet", "resnet"])
def test_gradient_times_input_is_what_finite_differences_say(name: str) -> None:
    model, x = networks.create(name, (3, 12, 12), 4, seed=1).double().eval(), a_picture(3, 12, 12).double()
    found = attributions(model, x, 3).gradient_input
    for place in [(0, 0, 0), (1, 5, 7), (2, 11, 3), (0, 6, 6)]:
        step = torch.zeros_like(x)
        step[place] = 1e-7
        with torch.no_grad():
            slope = (model((x + step)[None]) - model((x - step)[None]))[0, 3] / 2e-7
        assert float(found[place]) == pytest.approx(float(slope * x[place]), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("network", ["simple_net", "convnet"])
def test_integrated_gradients_are_the_mean_of_very_many_on_the_way_from_black(
    digits: DataLoaders, network: str, request: pytest.FixtureRequest
) -> None:
    model, (x, label) = request.getfixturevalue(network), digits.valid.collection[4]
    xb = ((torch.arange(5000) + 0.5).view(-1, 1, 1, 1) / 5000 * x).requires_grad_()
    (gradients,) = torch.autograd.grad(model(xb)[:, label].sum(), xb)
    expected, found = x * gradients.mean(0), attributions(model, x, label).integrated
    assert float((found - expected).abs().sum() / expected.abs().sum()) < 0.03


def test_each_round_of_steps_keeps_the_points_of_the_round_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saliency, "TOLERANCE", 0.0)
    ways: list[Tensor] = []

    def remembers(xb: Tensor) -> Tensor:
        ways.append(xb[:, 0, 0, :1].detach().clone())
        return (weights * xb.flatten(1) ** 3)[:, :1]

    weights = torch.ones(1, requires_grad=True)
    found = attributions(FunctionModel(remembers), torch.ones(1, 1, 1), 0)
    points = torch.cat(ways[2:])[:, 0].sort().values  # after the picture and black
    torch.testing.assert_close(points, (torch.arange(243) + 0.5) / 243)
    assert found.completeness_error == pytest.approx(1 / 4 / 243**2, rel=0.1)  # what the midpoint rule leaves of x³


@pytest.mark.parametrize("network", ["simple_net", "convnet", "resnet"])
def test_they_add_up_to_the_difference_of_the_scores_to_one_per_cent(
    network: str, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(network)
    valid = request.getfixturevalue("spots" if network == "resnet" else "digits").valid.collection
    for x, label in (valid[index] for index in range(10)):
        found = attributions(model, x, label)
        with torch.no_grad():
            score, black = model(torch.stack([x, torch.zeros_like(x)]))[:, label].tolist()
        assert (found.score, found.black_score) == pytest.approx((score, black), rel=1e-4, abs=1e-5)
        assert abs(float(found.integrated.sum()) - (score - black)) <= 0.0101 * abs(score - black) + 1e-5


def test_the_completeness_error_says_how_far_they_are_from_adding_up() -> None:
    found = Attributions(torch.ones(1, 1, 2), torch.tensor([[[1.0, 2.5]]]), None, score=5.0, black_score=1.0)
    assert found.completeness_error == 0.5


def test_black_pixels_and_a_black_picture_get_nothing(convnet: nn.Module, digits: DataLoaders) -> None:
    x, label = digits.valid.collection[0]
    found = attributions(convnet, x, label)
    assert (x == 0).any()
    assert found.integrated[x == 0].abs().max() == 0
    black = attributions(convnet, torch.zeros_like(x), label)
    assert black.completeness_error == black.integrated.abs().max() == 0


# -- class activation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("network", "head"), [("convnet", 2), ("resnet", 3)])
def test_the_activation_is_the_maps_before_the_pooling_by_their_mean_slope(
    network: str, head: int, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(network)
    x, label = request.getfixturevalue("spots" if network == "resnet" else "digits").valid.collection[1]
    maps = model[:-head](x[None]).detach().requires_grad_()
    model[-head:](maps)[0, label].backward()
    assert maps.grad is not None
    seen = torch.einsum("khw,k->hw", maps[0], maps.grad[0].mean((1, 2))).clamp(min=0).detach()
    expected = F.interpolate(seen[None, None], x.shape[1:], mode="bilinear")[0, 0]
    found = attributions(model, x, label).activation
    assert found is not None
    torch.testing.assert_close(found, expected)
    assert found.max() > 0


def test_maps_of_a_single_pixel_are_passed_over_for_those_before() -> None:
    model = networks.resnet((1, 8, 8), 2, width=4)
    shapes = [tuple(model[: depth + 1](torch.zeros(1, 1, 8, 8)).shape[2:]) for depth in range(6)]
    assert shapes[-2:] == [(2, 2), (1, 1)]
    for_one, for_other = (attributions(model, a_picture(1, 8, 8), label).activation for label in (0, 1))
    assert for_one is not None
    assert for_other is not None
    assert for_one.shape == (8, 8)
    assert (for_one + for_other).std() > 0


@pytest.mark.parametrize(
    "model",
    [
        networks.linear((1, 4, 4), 2),
        networks.simple_net((1, 4, 4), 2),
        nn.Sequential(nn.Conv2d(1, 2, 4), nn.Flatten()),  # of one pixel from the start
        PixelSimilarity().fit((torch.eye(2).view(2, 1, 1, 2).repeat(1, 1, 4, 2), torch.tensor([0, 1]))),
    ],
)
def test_without_feature_maps_there_is_no_activation(model: nn.Module) -> None:
    found = attributions(model, a_picture(1, 4, 4), 1)
    assert found.activation is None
    assert found.gradient_input.abs().max() > 0


def test_maps_that_the_score_does_not_depend_on_are_none() -> None:
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.conv = nn.Linear(4, 2), nn.Conv2d(1, 1, 1)

        def forward(self, xb: Tensor) -> Tensor:
            self.conv(xb)
            preds: Tensor = self.layer(xb.flatten(1))
            return preds

    assert attributions(Aside(), a_picture(1, 2, 2), 0).activation is None


# -- it finds what was hidden -----------------------------------------------------------------------------------------


def test_what_the_answer_depends_on_lights_up(resnet: nn.Module, spots: DataLoaders, where: Tensor) -> None:
    shares = []
    for index, spot in enumerate(where[240:270]):
        x, label = spots.valid.collection[index]
        assert int(resnet(x[None]).argmax()) == label
        found = attributions(resnet, x, label)
        assert found.activation is not None
        maps = torch.stack([found.gradient_input.abs().sum(0), found.integrated.abs().sum(0), found.activation])
        shares.append((maps * spot).sum((1, 2)) / maps.sum((1, 2)))
    assert all(torch.stack(shares).mean(0) > float(spot.float().mean()) * torch.tensor([2.5, 2.5, 4.0]))


# -- the model stays as it was ----------------------------------------------------------------------------------------


def state(model: nn.Module) -> list[object]:
    """All of a model that looking could change."""
    hooks = [(len(it._forward_hooks), len(it._forward_pre_hooks), len(it._backward_hooks)) for it in model.modules()]
    grads = [(p.requires_grad, None if p.grad is None else p.grad.tolist()) for p in model.parameters()]
    return [hooks, grads, [it.training for it in model.modules()], [t.tolist() for t in model.state_dict().values()]]


@pytest.mark.parametrize("label", [1, 99])
def test_modes_hooks_gradients_and_figures_stay_as_they_were_also_after_an_error(label: int) -> None:
    model, x = networks.resnet((3, 16, 16), 2, width=2), a_picture(3, 16, 16)
    model.train()
    model[3].eval()
    first, second, *_ = model.parameters()
    first.grad = torch.full_like(first, 7.0)
    second.requires_grad_(False)
    before, random, pixels = state(model), torch.get_rng_state(), x.clone()
    if label == 1:
        attributions(model, x, label)
    else:
        with pytest.raises(RequestError):
            attributions(model, x, label)
    assert state(model) == before
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(x, pixels)
    assert not x.requires_grad


def test_a_model_in_training_mode_answers_as_it_would_in_evaluation(convnet: nn.Module, digits: DataLoaders) -> None:
    x, label = digits.valid.collection[3]
    expected = attributions(convnet.eval(), x, label)
    found = attributions(convnet.train(), x, label)
    convnet.eval()
    assert torch.equal(found.integrated, expected.integrated)


def test_where_gradients_are_off_they_are_there_all_the_same(convnet: nn.Module, digits: DataLoaders) -> None:
    x, label = digits.valid.collection[3]
    expected = attributions(convnet, x, label)
    with torch.no_grad():
        assert torch.equal(attributions(convnet, x, label).integrated, expected.integrated)
    with torch.inference_mode():
        found = attributions(convnet, x * 1, label)
    assert torch.equal(found.integrated, expected.integrated)
    assert not any(part.requires_grad for part in (found.integrated, found.gradient_input))


def test_frozen_weights_and_layers_that_work_in_place_make_no_difference() -> None:
    model = nn.Sequential(
        nn.ReLU(inplace=True), nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(8, 2)
    )
    x = a_picture(1, 4, 4) - 0.5
    pixels = x.clone()
    found = attributions(model, x, 0)
    assert torch.equal(x, pixels)
    model.requires_grad_(False)
    again = attributions(model, x, 0)
    assert torch.equal(again.integrated, found.integrated)
    assert again.activation is not None


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [torch.zeros(4, 4), torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.uint8)])
def test_what_is_no_picture_is_refused(x: Tensor) -> None:
    with pytest.raises(RequestError, match=r"a picture of shape .* and type torch.*\n.*expected float, C×H×W"):
        attributions(networks.linear((1, 4, 4), 2), x, 0)


@pytest.mark.parametrize("label", [-1, 2])
def test_a_class_that_is_none_is_refused(label: int) -> None:
    with pytest.raises(RequestError, match=rf"class {label} of scores of shape \(1, 2\)\n.*N×classes"):
        attributions(networks.linear((1, 4, 4), 2), torch.zeros(1, 4, 4), label)


@pytest.mark.parametrize("frozen", [False, True])
def test_scores_without_a_gradient_are_refused(frozen: bool) -> None:
    class Detached(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input.flatten(1).detach())

    with pytest.raises(RequestError, match=r"no gradient with regard to the pixels\n.*detaches"):
        attributions(Detached(16, 2).requires_grad_(not frozen), a_picture(1, 4, 4), 0)
