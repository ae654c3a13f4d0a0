from __future__ import annotations

import json

import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn

from sevensteps import DataLoaders, PixelSimilarity, networks
from sevensteps.data.augment import Shift
from sevensteps.errors import RequestError
from sevensteps.insight import features
from sevensteps.insight.neighbours import Least, Neighbour, archetype_distances, neighbours


def of_all(model: nn.Module, dls: DataLoaders) -> tuple[Tensor, Tensor]:
    """Pixels and features of the whole training set, N×numbers."""
    xb = dls.train.collection.pixels.float() / 255
    return xb.flatten(1), model[:-1](xb).detach().flatten(1)


@pytest.mark.parametrize("network", ["convnet", "simple_net"])
@pytest.mark.parametrize("index", [0, 17])
def test_they_are_the_neighbours_that_scikit_learn_finds(
    digits: DataLoaders, network: str, index: int, request: pytest.FixtureRequest
) -> None:
    assert digits.vocab
    model, (x, _) = request.getfixturevalue(network), digits.valid.collection[index]
    pixels, features = of_all(model, digits)
    found = neighbours(model, digits.train.collection, x, digits.vocab, k=5)
    here = model[:-1](x[None]).detach().flatten(1)
    for rows, points, point, metric, scale in (
        (found.pixels, pixels, x.flatten()[None], "manhattan", 64),
        (found.features, features, here, "euclidean", 1),
    ):
        assert rows is not None
        distances, indices = NearestNeighbors(metric=metric).fit(points).kneighbors(point)
        assert [row.index for row in rows] == indices[0].tolist()
        assert [row.distance for row in rows] == pytest.approx(distances[0] / scale, rel=1e-5)


def test_each_comes_with_the_name_and_the_class_that_the_collection_has(spots: DataLoaders, resnet: nn.Module) -> None:
    assert spots.vocab
    collection, (x, _) = spots.train.collection, spots.valid.collection[0]
    found = neighbours(resnet, collection, x, spots.vocab)
    assert len(found.pixels) == len(found.features or ()) == 8
    for row in [*found.pixels, *(found.features or ())]:
        assert row.name == collection.names[row.index]
        assert row.true == spots.vocab[int(collection.labels[row.index])]


def test_by_its_features_a_picture_is_among_its_like(spots: DataLoaders, resnet: nn.Module) -> None:
    assert spots.vocab
    alike = 0
    for x, label in (spots.valid.collection[index] for index in range(20)):
        features = neighbours(resnet, spots.train.collection, x, spots.vocab, k=5).features or []
        alike += sum(row.true == spots.vocab[label] for row in features)
    assert alike > 90  # of 100; by pixels, of noise, it is about half


def test_the_picture_itself_and_its_copies_stand_apart(digits: DataLoaders, convnet: nn.Module) -> None:
    assert digits.vocab
    collection = digits.train.collection.take([5, 3, 9, 3, 7])
    found = neighbours(convnet, collection, collection[3][0], digits.vocab)
    assert [(row.index, row.distance) for row in found.same] == [(1, 0.0), (3, 0.0)]
    assert sorted(row.index for row in found.pixels) == [0, 2, 4]
    assert sorted(row.index for row in found.features or ()) == [0, 2, 4]


def test_what_the_loader_would_do_to_its_pictures_is_not_done(digits: DataLoaders, convnet: nn.Module) -> None:
    assert digits.vocab
    digits = DataLoaders.from_source(augment=Shift(2))
    x, _ = digits.train.collection[40]
    assert [row.index for row in neighbours(convnet, digits.train.collection, x, digits.vocab or [], 3).same] == [40]


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_the_size_of_the_batches_makes_no_difference(
    digits: DataLoaders, simple_net: nn.Module, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert digits.vocab
    x, _ = digits.valid.collection[1]
    expected = neighbours(simple_net, digits.train.collection, x, digits.vocab)
    monkeypatch.setattr(features, "MOST_TOGETHER", size)
    found = neighbours(simple_net, digits.train.collection, x, digits.vocab)
    for ours, theirs in ((found.pixels, expected.pixels), (found.features or [], expected.features or [])):
        assert [row.index for row in ours] == [row.index for row in theirs]
        assert [row.distance for row in ours] == pytest.approx([row.distance for row in theirs], rel=1e-5)


def test_a_network_without_a_last_linear_layer_has_neighbours_by_pixels_alone(digits: DataLoaders) -> None:
    assert digits.vocab
    similarity = PixelSimilarity().fit(digits.train)
    found = neighbours(similarity, digits.train.collection, digits.valid.collection[0][0], digits.vocab)
    assert found.features is None
    assert len(found.pixels) == 8
    assert json.loads(json.dumps(found.to_dict()))["features"] is None


def test_its_figures_are_json(digits: DataLoaders, convnet: nn.Module) -> None:
    assert digits.vocab
    found = neighbours(convnet, digits.train.collection, digits.train.collection[2][0], digits.vocab, k=1)
    figures = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert {name: [Neighbour(**row) for row in rows] for name, rows in figures.items()} == {
        "features": found.features, "pixels": found.pixels, "same": found.same,
    }  # fmt: skip


def test_only_the_least_are_kept_and_of_equal_ones_those_that_come_first() -> None:
    least = Least(3)
    for part in torch.tensor([4.0, 2.0, 9.0, 2.0, 1.0, 2.0, 7.0, 1.0]).split(2):
        least.add(part, part < 9)
        assert len(least.values) == len(least.indices) <= 3
    assert (least.values.tolist(), least.indices.tolist()) == ([1.0, 1.0, 2.0], [4, 7, 1])


def test_the_distance_to_every_archetype_is_that_of_pixel_similarity_nearest_first(digits: DataLoaders) -> None:
    similarity, (x, _) = PixelSimilarity().fit(digits.train, digits.vocab), digits.valid.collection[3]
    found = archetype_distances(similarity, x)
    assert list(found.values()) == sorted(found.values())
    for label, name in enumerate(digits.vocab or ()):
        assert found[name] == pytest.approx(float((x - similarity.archetypes[label]).abs().mean()), rel=1e-5)
    assert next(iter(found)) == (digits.vocab or [])[int(similarity.predict(x[None]))]


def test_archetypes_without_names_have_their_labels() -> None:
    similarity = PixelSimilarity().fit((torch.eye(2).view(2, 1, 1, 2), torch.tensor([0, 1])))
    assert archetype_distances(similarity, torch.tensor([[[0.0, 1.0]]])) == {"1": 0.0, "0": 1.0}


@pytest.mark.parametrize("x", [torch.zeros(1, 8, 9), torch.zeros(8, 8), torch.zeros(1, 8, 8, dtype=torch.uint8)])
def test_a_picture_of_another_shape_or_type_is_refused(digits: DataLoaders, x: Tensor) -> None:
    with pytest.raises(RequestError, match=r"a picture of shape .* and type .*\n.*expected float, \(1, 8, 8\)"):
        neighbours(networks.linear((1, 8, 8), 10), digits.train.collection, x, digits.vocab or [])


def test_no_neighbour_to_find_is_refused(digits: DataLoaders) -> None:
    with pytest.raises(RequestError, match=r"k is 0\n.*1 or more"):
        neighbours(networks.linear((1, 8, 8), 10), digits.train.collection, torch.zeros(1, 8, 8), [], k=0)
