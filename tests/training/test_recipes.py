from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sevensteps import Preprocessing, networks
from sevensteps.data.augment import Flip
from sevensteps.training.recipes import EPOCHS_AT_MOST, MOST_STEPS, default_network, recipe_for


@pytest.mark.parametrize(
    ("channels", "side", "network"),
    [(1, 8, "convnet"), (1, 64, "convnet"), (1, 65, "resnet"), (3, 32, "resnet"), (3, 128, "resnet")],
)
def test_the_default_network_depends_on_colour_and_size(channels: int, side: int, network: str) -> None:
    assert default_network(Preprocessing(channels, side, side)) == network


@given(
    network=st.sampled_from(networks.names()),
    pictures=st.integers(0, 2_000_000),
    channels=st.sampled_from([1, 3]),
    height=st.integers(1, 256),
    width=st.integers(1, 256),
)
def test_every_recipe_can_be_followed(network: str, pictures: int, channels: int, height: int, width: int) -> None:
    recipe = recipe_for(network, pictures, Preprocessing(channels, height, width))
    assert 0 < recipe.lr < 1
    assert recipe.batch_size >= 1
    assert 1 <= recipe.epochs <= EPOCHS_AT_MOST
    steps = math.ceil(pictures / recipe.batch_size)
    assert recipe.epochs * steps <= max(MOST_STEPS, 15 * steps)


def test_digits_are_never_mirrored_and_photographs_are() -> None:
    assert "flip" not in str(recipe_for("convnet", 60_000, Preprocessing(1, 28, 28)).augment)
    assert "flip" in str(recipe_for("resnet", 500, Preprocessing(3, 128, 128)).augment)
    assert str(Flip()) == "flip left to right"


def test_a_small_set_gets_more_epochs_than_a_large_one() -> None:
    shape = Preprocessing(1, 28, 28)
    assert recipe_for("convnet", 1_000, shape).epochs > recipe_for("convnet", 60_000, shape).epochs
