"""Small pictures of two classes and of all, for exhibits that train on them."""

from __future__ import annotations

import pytest
import torch

from sevensteps.data.dataloaders import DataLoaders
from sevensteps.errors import RequestError
from sevensteps.tour.classes import MOST, AllClasses, TwoClasses
from sevensteps.tour.exhibit import pictures


def test_two_classes_are_the_first_two_and_the_first_is_1(digits: DataLoaders) -> None:
    data = TwoClasses.of(digits)
    labels = pictures(digits)[1]
    assert data.names == ["0", "1"]
    assert int(data.y.sum()) == int((labels == 0).sum())
    assert int((1 - data.y).sum()) == int((labels == 1).sum())
    assert data.x.norm(dim=1).max() <= 1


def test_two_classes_of_many_pictures_keep_some_of_each() -> None:
    pixels = torch.randint(0, 256, (1000, 3, 30, 20), dtype=torch.uint8)
    labels = ["rare"] * 2 + ["usual"] * 998
    data = TwoClasses.of(DataLoaders.from_arrays(pixels, labels, valid=(pixels[:5], labels[:5])))
    assert (int(data.y.sum()), int((1 - data.y).sum()), data.shape) == (2, 143, (3, 6, 6))


def test_two_classes_are_the_first_two_that_train_and_valid_have() -> None:
    pixels = torch.zeros(6, 1, 4, 4, dtype=torch.uint8)
    dls = DataLoaders.from_arrays(pixels, list("abcabc"), valid=(pixels[:2], ["a", "c"]))
    train, valid = TwoClasses.of(dls), TwoClasses.of(dls, "valid")
    assert train.names == valid.names == ["a", "c"]
    assert train.y.tolist() == [1, 1, 0, 0]
    one = DataLoaders.from_arrays(pixels, list("abcabc"), valid=(pixels[:1], ["a"]))
    with pytest.raises(RequestError, match="tells two classes apart, and train and valid do not share two"):
        TwoClasses.of(one)


def test_random_weights_are_the_same_every_time_and_move_no_generator(digits: DataLoaders) -> None:
    before = torch.get_rng_state()
    data = TwoClasses.of(digits)
    assert torch.equal(data.random(3), data.random(3))
    assert not torch.equal(data.random(3), data.random(3, seed=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_all_classes_have_about_as_many_pictures(digits: DataLoaders) -> None:
    data = AllClasses.of(digits)
    counts = data.y.bincount()
    assert len(counts) == len(data.names) == 10
    assert counts.min() > 0.7 * counts.max()
    assert len(data.y) <= MOST
    assert data.x.shape == (len(data.y), 64)


def test_a_rare_class_keeps_its_pictures_also_where_classes_alternate() -> None:
    pixels = torch.randint(0, 256, (3000, 3, 20, 30), dtype=torch.uint8)
    labels = ["rare" if i < 3 else ("even", "odd")[i % 2] for i in range(3000)]
    data = AllClasses.of(DataLoaders.from_arrays(pixels, labels, valid=(pixels[:9], labels[:9])))
    assert data.y.bincount().tolist() == [188, 188, 3]
    assert data.x.shape == (379, 3 * 6 * 6)


def test_features_are_less_their_mean_and_divided_by_their_spread(digits: DataLoaders) -> None:
    data = AllClasses.of(digits)
    assert data.x.mean(0).abs().max() < 1e-5
    assert data.x.std(0).max() < 1
    assert torch.isfinite(data.valid_x).all()


def test_validation_pictures_are_there_as_they_are(digits: DataLoaders) -> None:
    data, (pixels, labels) = AllClasses.of(digits), pictures(digits, "valid")
    assert len(data.valid_x) == len(data.valid_y) == len(data.valid_pixels) == len(pixels)
    assert torch.equal(data.valid_y.bincount(), labels.bincount())
    assert data.valid_pixels.shape[1:] == pixels.shape[1:]
    assert data.valid_pixels.dtype == torch.uint8


def test_a_network_has_the_same_first_weights_each_time_and_moves_no_generator(colour: DataLoaders) -> None:
    data, before = AllClasses.of(colour), torch.get_rng_state()
    first, again, other = (data.network(7, seed=seed)[0].weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
    assert [tuple(p.shape) for p in data.network(7, 5).parameters()] == [(7, 108), (7,), (5, 7), (5,), (3, 5), (3,)]


def test_data_without_pictures_are_refused() -> None:
    with pytest.raises(RequestError, match="no pictures in memory in the split 'train'"):
        AllClasses.of(DataLoaders.from_arrays(torch.rand(20, 3), [0, 1] * 10))
