from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sevensteps import DataLoaders, networks
from sevensteps.errors import RequestError
from sevensteps.models.layers import BatchNorm, Normalize, Residual

TRAINABLE = ["linear", "simple_net", "convnet", "resnet", "resnet18"]
NARROW = {"convnet": {"width": 2}, "resnet": {"width": 2}, "simple_net": {"hidden": 3}}


@pytest.mark.parametrize("name", TRAINABLE)
@settings(max_examples=5, deadline=None)
@given(
    channels=st.sampled_from([1, 3]),
    height=st.integers(1, 96),
    width=st.integers(1, 96),
    classes=st.integers(2, 12),
    n=st.integers(1, 3),
)
def test_every_network_gives_one_score_a_class_for_any_size(
    name: str, channels: int, height: int, width: int, classes: int, n: int
) -> None:
    model = networks.create(name, (channels, height, width), classes, **NARROW.get(name, {}))
    xb = torch.rand(n, channels, height, width)
    for training in (False, True):
        preds = model.train(training)(xb)
        assert preds.shape == (n, classes)
        assert preds.isfinite().all()


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (7, 96), (96, 96), (64, 65), (65, 65)])
@pytest.mark.parametrize("name", TRAINABLE)
def test_every_network_trains_on_one_picture_of_an_awkward_size(name: str, size: tuple[int, int]) -> None:
    model = networks.create(name, (3, *size), 2, **NARROW.get(name, {}))
    model(torch.rand(1, 3, *size)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", TRAINABLE)
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(name: str) -> None:
    first, again, other = (networks.create(name, (1, 8, 8), 3, seed=seed) for seed in (5, 5, 6))
    pairs = list(zip(first.parameters(), again.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert any(not torch.equal(a, c) for a, _, c in pairs)


def test_building_a_network_leaves_the_callers_random_numbers_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    networks.convnet((1, 8, 8), 2)
    assert torch.equal(torch.rand(4), expected)


def test_count_parameters_counts_what_training_changes() -> None:
    assert networks.count_parameters(networks.linear((1, 28, 28), 10)) == 784 * 10 + 10
    assert networks.count_parameters(networks.simple_net((1, 28, 28), 1)) == 784 * 30 + 30 + 30 + 1
    frozen = nn.Linear(3, 2)
    frozen.bias.requires_grad_(False)
    assert networks.count_parameters(frozen) == 6


def test_resnet18_has_as_many_parameters_as_the_paper_has() -> None:
    assert networks.count_parameters(networks.resnet18((3, 224, 224), 1000)) == 11_689_512


def test_count_operations_equals_what_is_computed_by_hand() -> None:
    assert networks.count_operations(networks.linear((1, 28, 28), 10), (1, 28, 28)) == 784 * 10
    assert networks.count_operations(networks.simple_net((3, 4, 4), 2, hidden=7), (3, 4, 4)) == 48 * 7 + 7 * 2
    convolution = nn.Conv2d(3, 8, 3, padding=1)
    assert networks.count_operations(convolution, (3, 10, 10)) == 100 * 8 * 3 * 9


def test_count_operations_leaves_the_model_in_the_mode_it_was_in() -> None:
    model = networks.convnet((1, 8, 8), 2)
    before = model.state_dict()["1.1.running_mean"].clone()
    networks.count_operations(model, (1, 8, 8))
    assert model.training
    assert torch.equal(model.state_dict()["1.1.running_mean"], before)


def test_a_network_for_data_normalises_by_the_training_pictures() -> None:
    x = torch.randint(0, 256, (40, 3, 6, 6), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    y = torch.arange(40) % 2
    dls = DataLoaders.from_arrays(x[:30], y[:30], valid=(x[30:], y[30:]))
    model = networks.convnet(dls)
    normalize = next(module for module in model.modules() if isinstance(module, Normalize))
    train = x[:30].float() / 255
    torch.testing.assert_close(normalize.mean, train.mean((0, 2, 3)))
    torch.testing.assert_close(normalize.std, train.std((0, 2, 3)), rtol=1e-2, atol=0)
    assert model(train).shape == (30, 2)
    assert "0.mean" in model.state_dict()  # so that it travels with the weights


def test_normalize_takes_pictures_and_plain_features() -> None:
    normalize = Normalize(1)
    normalize.set([0.5], [0.25])
    assert normalize(torch.ones(2, 1, 3, 3)).eq(2).all()
    assert normalize(torch.ones(2, 5)).eq(2).all()


def test_batch_norm_is_torchs_own_except_for_a_single_value_a_channel() -> None:
    ours, torchs = BatchNorm(4), nn.BatchNorm2d(4)
    xb = torch.rand(3, 4, 2, 2)
    assert torch.equal(ours(xb), torchs(xb))
    assert torch.equal(ours.running_var, torchs.running_var)  # type: ignore[arg-type]
    before = ours.running_var.clone()  # type: ignore[union-attr]
    assert ours(torch.rand(1, 4, 1, 1)).isfinite().all()
    assert torch.equal(ours.running_var, before)  # type: ignore[arg-type]


def test_a_pooled_residual_block_begins_as_its_shortcut_alone() -> None:
    block = Residual(4, 4, pooled=True)
    xb = torch.rand(2, 4, 5, 5)
    torch.testing.assert_close(block(xb), xb)


def test_an_unknown_network_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(RequestError, match=r"no network is called 'convet'[\s\S]*convnet, linear"):
        networks.create("convet", (1, 8, 8), 2)


def test_an_unknown_argument_is_refused_with_those_there_are() -> None:
    with pytest.raises(RequestError, match=r"convnet takes no argument 'depth'[\s\S]*its arguments are: width"):
        networks.convnet((1, 8, 8), 2, depth=3)
    with pytest.raises(RequestError, match="its arguments are: none"):
        networks.linear((1, 8, 8), 2, width=3)


@pytest.mark.parametrize(("shape", "classes"), [((), 2), ((1, 0, 8), 2), ((1, 8, 8), 0), ((1, 8.0, 8), 2)])
def test_sizes_that_make_no_sense_are_refused(shape: tuple[int, ...], classes: int) -> None:
    with pytest.raises(RequestError, match="expected whole numbers above 0"):
        networks.linear(shape, classes)


@pytest.mark.parametrize("name", ["convnet", "resnet", "resnet18"])
def test_a_convolution_of_plain_features_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="a convolution needs pictures"):
        networks.create(name, (784,), 10)


def test_data_without_class_names_are_refused() -> None:
    dls = DataLoaders([(torch.rand(2, 1, 4, 4), torch.tensor([0, 1]))])
    with pytest.raises(RequestError, match="it needs data loaders with a vocab"):
        networks.linear(dls)
