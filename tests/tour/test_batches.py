"""What the exhibits about batches claim."""

from __future__ import annotations

from itertools import chain

import pytest
import torch
import torch.utils.data

from sevensteps.data.dataloader import DataLoader
from sevensteps.data.dataloaders import DataLoaders
from sevensteps.tour.batches import data_loader, mini_batches
from sevensteps.tour.classes import TwoClasses
from sevensteps.tour.exhibit import pictures


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_the_gradient_of_one_picture_errs_as_the_spread_of_all_pictures_gradients(
    data: str, request: pytest.FixtureRequest
) -> None:
    dls = request.getfixturevalue(data)
    two = TwoClasses.of(dls)
    errors = 2 * (two.x @ two.random() - two.y[:, None]) * two.x  # of (x·w - y)², by hand: a row for each picture
    exact = errors.mean(0)
    expected = (errors - exact).square().sum(1).mean().sqrt() / exact.norm()
    assert mini_batches(dls, seconds=0.01).findings["gradient_errs_by"][1] == pytest.approx(expected.item())


def test_the_gradients_error_falls_as_1_by_the_root_of_n_and_is_0_for_all(digits: DataLoaders) -> None:
    found = mini_batches(digits, seconds=0.01).findings
    n, errors = found["pictures"], found["gradient_errs_by"]
    for size in (4, 16, 64):
        drawn_from_few = ((n - size) / (n - 1)) ** 0.5  # nearly 1, unless a batch is a good part of all pictures
        assert errors[size] == pytest.approx(errors[1] / size**0.5 * drawn_from_few, rel=0.25)
    assert errors[n] < 1e-12


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_after_equal_epochs_mini_batches_have_a_lower_loss_than_all_at_once(
    data: str, request: pytest.FixtureRequest
) -> None:
    sizes = mini_batches(request.getfixturevalue(data), batch_size=8).findings["batch_size"]
    (_, few, all_at_once) = (one["loss_after_the_epochs"] for one in sizes.values())
    assert few < all_at_once


def test_picture_by_picture_an_epoch_takes_most_steps(digits: DataLoaders) -> None:
    sizes = mini_batches(digits, seconds=0.01).findings["batch_size"]
    assert [one["steps_an_epoch"] for one in sizes.values()] == [288, 5, 1]
    assert all(size["seconds_an_epoch"] > 0 for size in sizes.values())


def test_a_step_on_64_pictures_hardly_takes_longer_than_on_one_but_on_thousands_it_does(digits: DataLoaders) -> None:
    seconds = mini_batches(digits, seconds=0.01).findings["seconds_a_step"]
    assert seconds[64] < 8 * seconds[1]
    assert seconds[8192] > seconds[64]


@pytest.mark.parametrize(("data", "batch_size", "items"), [("digits", 6, 20), ("colour", 7, 15), ("colour", 5, 10)])
def test_an_epoch_gives_every_item_once_in_batches_stacked_as_by_hand(
    data: str, batch_size: int, items: int, request: pytest.FixtureRequest
) -> None:
    found = data_loader(request.getfixturevalue(data), batch_size=batch_size, items=items).findings
    first, second = (found["orders"][f"shuffled, epoch {k}"] for k in (1, 2))
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(items))
    assert first != second
    assert found["batch_sizes"] == [len(batch) for batch in first]
    assert set(found["batch_sizes"][:-1]) == {batch_size}
    assert found["batch_sizes"][-1] == items - batch_size * (len(found["batch_sizes"]) - 1)
    assert found["same_as_by_hand"]


def test_not_shuffled_it_gives_what_torchs_loader_gives(digits: DataLoaders) -> None:
    found = data_loader(digits, batch_size=6, items=20).findings
    assert found["orders"]["not shuffled"] == [[*range(6)], [*range(6, 12)], [*range(12, 18)], [18, 19]]
    pixels, labels = pictures(digits)
    pairs = list(zip(pixels[:20] / 255.0, labels[:20].tolist(), strict=True))
    for ours, theirs in zip(DataLoader(pairs, 6), torch.utils.data.DataLoader(pairs, 6), strict=True):  # type: ignore[var-annotated,arg-type]
        assert all(map(torch.equal, ours, theirs))
        assert found["shape_of_a_batch"][1:] == list(theirs[0].shape[1:])


def test_any_collection_will_do_and_a_short_last_batch_may_be_dropped(digits: DataLoaders) -> None:
    found = data_loader(digits).findings
    assert found["range(7) by 3"] == "[[0, 1, 2], [3, 4, 5], [6]]"
    assert found["range(7) by 3, the last dropped"] == "[[0, 1, 2], [3, 4, 5]]"
    assert found["'abcde' by 2"] == "[['a', 'b'], ['c', 'd'], ['e']]"


def test_of_files_that_lie_sorted_by_class_only_shuffled_batches_are_mixed() -> None:
    pixels, labels = torch.zeros(40, 1, 8, 8, dtype=torch.uint8), [f"{i // 20}" for i in range(40)]
    dls = DataLoaders.from_arrays(pixels, labels, valid=(pixels, labels))
    orders = data_loader(dls, batch_size=5, items=20).findings["orders"]
    kinds = {name: {len({number // 10 for number in batch}) for batch in order} for name, order in orders.items()}
    assert kinds["not shuffled"] == {1}
    assert 2 in kinds["shuffled, epoch 1"]
