from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sevensteps.data import augment
from sevensteps.data.augment import Affine, Chain, Flip, Shift
from sevensteps.randomness import generator

ALL = [
    Shift(2),
    Shift(0),
    Flip(),
    Affine(),
    Affine(degrees=180, zoom=0.9, shift=0.5),
    Chain((Shift(1), Flip())),
    Chain(()),
]


def pictures(n: int = 5, channels: int = 3, height: int = 7, width: int = 9) -> Tensor:
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(0))


def draws(number: int = 0) -> torch.Generator:
    return generator(number, "augment", 1, 2)


@pytest.fixture
def drawn(monkeypatch):
    """Makes torch.rand or torch.randint, as the augmentations call them, give known numbers."""

    def give(name: str, values: Tensor) -> None:
        def fake(*sizes, generator):
            assert isinstance(generator, torch.Generator)
            return values

        monkeypatch.setattr(augment.torch, name, fake)

    return give


@pytest.mark.parametrize("change", ALL, ids=str)
@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (5, 3, 7, 9), (2, 1, 1, 1), (3, 3, 28, 5)])
def test_shape_type_and_range_stay(change, shape):
    xb = pictures(*shape)
    changed = change(xb, draws())
    assert changed.shape == xb.shape
    assert changed.dtype == torch.float32
    assert changed.min() >= xb.min() - 1e-6
    assert changed.max() <= xb.max() + 1e-6


@pytest.mark.parametrize("change", ALL, ids=str)
def test_a_change_is_a_pure_function_of_pictures_and_generator(change):
    xb = pictures()
    before, state = xb.clone(), torch.random.get_rng_state()
    assert torch.equal(change(xb, draws()), change(xb, draws()))
    assert torch.equal(xb, before)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("change", [Shift(2), Flip(), Affine(), Chain((Shift(1), Flip()))], ids=str)
def test_other_draws_change_otherwise(change):
    xb = pictures()
    assert len({change(xb, draws(number)).sum(1).numpy().tobytes() for number in range(5)}) > 1


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, 0), (-2, 0), (0, 2), (0, -1), (1, -2)])
def test_shift_moves_by_what_was_drawn_and_repeats_the_edge(drawn, down, right):
    xb = pictures(2)
    drawn("randint", torch.tensor([[[2 - down], [2]], [[2 - right], [2]]]))
    changed = Shift(2)(xb, draws())
    rows = (torch.arange(7) - down).clamp(0, 6)
    columns = (torch.arange(9) - right).clamp(0, 8)
    assert torch.equal(changed[0], xb[0][:, rows][:, :, columns])
    assert torch.equal(changed[1], xb[1])  # each picture has a draw of its own


def test_shift_reaches_every_offset_and_none_beyond():
    xb = torch.zeros(2000, 1, 9, 9)
    xb[:, :, 4, 4] = 1
    where = Shift(2)(xb, draws()).flatten(1).argmax(1)
    assert sorted({(int(i) // 9 - 4, int(i) % 9 - 4) for i in where}) == [
        (row, column) for row in range(-2, 3) for column in range(-2, 3)
    ]


def test_flip_mirrors_those_that_were_drawn(drawn):
    xb = pictures(3)
    drawn("rand", torch.tensor([0.49, 0.5, 0.0]))
    changed = Flip()(xb, draws())
    assert torch.equal(changed[0], xb[0].flip(-1))
    assert torch.equal(changed[1], xb[1])
    assert torch.equal(changed[2], xb[2].flip(-1))


def test_flip_mirrors_about_half():
    xb = torch.tensor([0.0, 1.0]).expand(4000, 1, 1, 2)
    mirrored = int(Flip()(xb, draws())[:, 0, 0, 0].sum())
    assert abs(mirrored - 2000) < 5 * math.sqrt(1000)


def test_affine_of_nothing_changes_nothing():
    xb = pictures()
    assert torch.allclose(Affine(0, 0, 0)(xb, draws()), xb, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(20, 20), (20, 40)])
def test_affine_moves_by_a_part_of_the_side(drawn, height, width):
    xb = pictures(1, 1, height, width)
    drawn("rand", torch.tensor([[0.5], [0.5], [1.0], [0.0]]))  # full right, full up
    changed = Affine(0, 0, 0.25)(xb, draws())
    down, right = height // 4, width // 4
    assert torch.allclose(changed[..., down:, :-right], xb[..., :-down, right:], atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(21, 21), (21, 41), (41, 21)])
def test_affine_turns_without_a_skew_also_what_is_not_square(drawn, height, width):
    xb = torch.zeros(1, 1, height, width)
    row, column = height // 2, width // 2
    xb[0, 0, row, column - 8 : column + 9] = 1  # a line of 17 pixels through the middle
    drawn("rand", torch.tensor([[1.0], [0.5], [0.5], [0.5]]))
    turned = Affine(90, 0, 0)(xb, draws())
    expected = torch.zeros_like(xb)
    expected[0, 0, row - 8 : row + 9, column] = 1
    assert torch.allclose(turned, expected, atol=1e-4)


def test_affine_zooms_in_and_never_out(drawn):
    xb = torch.zeros(1, 1, 40, 40)
    xb[..., 15:25, 15:25] = 1
    drawn("rand", torch.tensor([[0.5], [0.0], [0.5], [0.5]]))
    zoomed = Affine(0, 0.5, 0)(xb, draws())
    assert torch.allclose(zoomed, F.interpolate(xb[..., 10:30, 10:30], scale_factor=2, mode="bilinear"), atol=1e-5)


def test_a_chain_does_one_after_the_other_with_one_generator():
    xb, one = pictures(), draws()
    expected = Flip()(Shift(2)(xb, one), one)
    assert torch.equal(Chain((Shift(2), Flip()))(xb, draws()), expected)


def test_each_change_reads_as_a_sentence():
    assert str(Chain((Shift(3), Flip()))) == "shift by up to 3 px, flip left to right"
    assert str(Chain(())) == "none"
    assert str(Affine()) == "rotate by up to 10°, zoom by up to 25%, shift by up to 5%"
