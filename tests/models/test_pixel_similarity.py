from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sevensteps import DataLoader, DataLoaders, PixelSimilarity, Predictor, Preprocessing
from sevensteps.errors import DataError, RequestError
from sevensteps.models import networks
from sevensteps.models.model_folder import ModelFolder


def pictures(n: int, classes: int, seed: int = 0, shape: tuple[int, ...] = (1, 4, 3)) -> tuple[Tensor, Tensor]:
    """Random pictures, at least one of each class."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.cat([torch.arange(classes), torch.randint(classes, (n - classes,), generator=draw)])
    return torch.rand(n, *shape, generator=draw), labels


def by_broadcasting(x: Tensor, archetypes: Tensor, distance: str) -> Tensor:
    """The chapter's formula as it stands, which makes all N × classes × pixels differences."""
    differences = x[:, None] - archetypes[None]
    axes = tuple(range(2, differences.ndim))
    return differences.abs().mean(axes) if distance == "l1" else (differences**2).mean(axes).sqrt()


@pytest.mark.parametrize("distance", ["l1", "rmse"])
@settings(max_examples=20, deadline=None)
@given(classes=st.integers(2, 12), n=st.integers(1, 30), seed=st.integers(0, 1000))
def test_distances_are_those_of_plain_broadcasting(distance: str, classes: int, n: int, seed: int) -> None:
    x, y = pictures(classes + n, classes, seed)
    similarity = PixelSimilarity(distance).fit((x, y))
    means = torch.stack([x[y == label].mean(0) for label in range(classes)])
    torch.testing.assert_close(similarity.archetypes, means)
    expected = by_broadcasting(x, means, distance)
    torch.testing.assert_close(similarity.distances(x), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(similarity(x), -expected, rtol=1e-4, atol=1e-6)
    nearest = expected.gather(1, similarity.predict(x)[:, None])[:, 0]
    torch.testing.assert_close(nearest, expected.min(1).values, rtol=1e-4, atol=1e-6)


def test_mnist_sample_gives_the_figures_of_the_chapter(mnist_sample: Path) -> None:
    dls = DataLoaders.from_folder(mnist_sample)
    evaluation = PixelSimilarity().fit(dls.train, dls.vocab).evaluate(dls.valid)
    assert {name: round(score.value, 4) for name, score in evaluation.per_class.items()} == {"3": 0.9168, "7": 0.9854}
    assert round(evaluation.balanced_accuracy, 4) == 0.9511
    assert evaluation.accuracy.n == 2038


def test_fit_is_the_same_for_a_loader_a_pair_of_tensors_and_a_pair_of_arrays() -> None:
    x, y = pictures(50, 4)
    loader = DataLoader(list(zip(x, y, strict=True)), batch_size=7, shuffle=True, augment=lambda xb, draw: xb * 0)
    expected = PixelSimilarity().fit((x, y)).archetypes
    torch.testing.assert_close(PixelSimilarity().fit(loader).archetypes, expected)
    torch.testing.assert_close(PixelSimilarity().fit((x.numpy(), y.numpy())).archetypes, expected)  # type: ignore[arg-type]
    batches = [(x[:20], y[:20]), (x[20:], y[20:])]
    torch.testing.assert_close(PixelSimilarity().fit(batches).archetypes, expected)


def test_the_mean_of_many_pictures_is_not_bent_by_rounding() -> None:
    x = torch.full((60_000, 1, 1, 1), 0.1)
    similarity = PixelSimilarity().fit((x, torch.arange(60_000) % 2))
    assert similarity.archetypes.flatten().tolist() == pytest.approx([0.1, 0.1], abs=1e-7)


@pytest.mark.slow
def test_twenty_thousand_pictures_against_a_hundred_classes_stay_small_in_memory() -> None:
    code = """
import resource, torch
from sevensteps import PixelSimilarity
x, y = torch.rand(20_000, 784), torch.arange(20_000) % 100
similarity = PixelSimilarity().fit((x[:200], y[:200]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
similarity.distances(x)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 200 << 20  # broadcasting would take 6.3 GB


def test_fit_refuses_an_empty_loader() -> None:
    with pytest.raises(DataError, match="no pictures to take the mean of"):
        PixelSimilarity().fit([])


def test_fit_refuses_a_class_without_a_picture_by_its_name() -> None:
    with pytest.raises(DataError, match="no picture of class b to take"):
        PixelSimilarity().fit((torch.rand(2, 4), torch.tensor([0, 2])), ["a", "b", "c"])


def test_fit_refuses_a_label_that_has_no_name() -> None:
    with pytest.raises(DataError, match="a label is 2, and vocab has 2 names"):
        PixelSimilarity().fit((torch.rand(3, 4), torch.tensor([0, 1, 2])), ["a", "b"])


@pytest.mark.parametrize("labels", [torch.tensor([0.0, 1.0]), torch.tensor([-1, 0])])
def test_fit_refuses_labels_that_are_no_whole_numbers_from_0(labels: Tensor) -> None:
    with pytest.raises(DataError, match="expected whole numbers from 0"):
        PixelSimilarity().fit((torch.rand(2, 4), labels))


def test_fit_refuses_more_pictures_than_labels() -> None:
    with pytest.raises(DataError, match="3 pictures and 2 labels"):
        PixelSimilarity().fit((torch.rand(3, 4), torch.tensor([0, 1])))


def test_it_refuses_an_unknown_distance() -> None:
    with pytest.raises(RequestError, match="distance is 'cosine'"):
        PixelSimilarity("cosine")


def test_it_refuses_to_answer_before_fit() -> None:
    with pytest.raises(RequestError, match="no archetypes yet"):
        PixelSimilarity().predict(torch.rand(1, 4))


def test_it_refuses_pictures_of_another_shape() -> None:
    similarity = PixelSimilarity().fit(pictures(10, 2))
    with pytest.raises(RequestError, match=r"expected \(N, 1, 4, 3\)"):
        similarity.predict(torch.rand(2, 1, 3, 4))


def test_evaluate_refuses_an_empty_loader_and_a_class_it_does_not_know() -> None:
    similarity = PixelSimilarity().fit(pictures(10, 2))
    with pytest.raises(DataError, match="no pictures to evaluate on"):
        similarity.evaluate([])
    with pytest.raises(RequestError, match="a true label is 2, and there are 2 class names"):
        similarity.evaluate(pictures(10, 3))


@pytest.mark.parametrize("distance", ["l1", "rmse"])
def test_it_is_saved_and_loaded_as_a_model_folder(distance: str, tmp_path: Path) -> None:
    x, y = pictures(40, 3, shape=(1, 5, 4))
    similarity = PixelSimilarity(distance).fit((x, y), ["a", "b", "c"])
    ModelFolder(similarity, ["a", "b", "c"], Preprocessing(1, 5, 4)).save(tmp_path)
    loaded = Predictor(tmp_path)
    assert isinstance(loaded.model, PixelSimilarity)
    assert loaded.model.distance == distance
    assert torch.equal(loaded.model(x), similarity(x))
    pixels = (x[0] * 255).to(torch.uint8)
    answer = loaded.predict(pixels.permute(1, 2, 0).numpy())
    assert answer.class_name == "abc"[int(similarity.predict(pixels[None] / 255)[0])]


def test_it_is_in_the_registry() -> None:
    assert "pixel_similarity" in networks.names()
    assert networks.count_parameters(networks.create("pixel_similarity", (1, 8, 8), 10)) == 0


def test_predict_gives_one_whole_number_a_picture() -> None:
    x, y = pictures(12, 3)
    predicted = PixelSimilarity().fit((x, y)).predict(x)
    assert predicted.dtype == torch.int64
    assert predicted.shape == (12,)
    assert np.isin(predicted.numpy(), [0, 1, 2]).all()
