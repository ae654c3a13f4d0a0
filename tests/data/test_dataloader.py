from __future__ import annotations

import string
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import TensorDataset

from sevensteps.data.augment import Flip, Shift
from sevensteps.data.columns import Columns
from sevensteps.data.dataloader import DataLoader
from sevensteps.errors import DataError, RequestError


def batches(loader: DataLoader, epoch: int = 1, seed: int = 0) -> list[list[int]]:
    return [batch.tolist() for batch in loader.batches(seed=seed, epoch=epoch)]


def test_the_chapters_range_is_shuffled_into_batches():
    loader = DataLoader(range(15), batch_size=5, shuffle=True)
    epoch = list(loader)
    assert [len(batch) for batch in epoch] == [5, 5, 5]
    assert sorted(torch.cat(epoch).tolist()) == list(range(15))
    assert torch.cat(epoch).tolist() != list(range(15))


def test_the_chapters_letters_come_as_numbers_and_a_tuple_of_letters():
    loader = DataLoader(list(enumerate(string.ascii_lowercase)), batch_size=6, shuffle=True)
    seen = []
    for numbers, letters in loader:
        assert isinstance(numbers, torch.Tensor)
        assert isinstance(letters, tuple)
        seen += zip(numbers.tolist(), letters, strict=True)
    assert sorted(seen) == list(enumerate(string.ascii_lowercase))
    assert len(loader) == 5


def test_an_iterator_is_read_once_and_serves_every_epoch():
    loader = DataLoader(enumerate(string.ascii_lowercase), batch_size=6)
    assert [[len(letters) for _, letters in loader] for _ in range(2)] == [[6, 6, 6, 6, 2]] * 2


def test_the_chapters_pairs_keep_picture_and_label_together():
    x, y = torch.rand(20, 784), torch.arange(20).unsqueeze(1)
    for xb, yb in DataLoader(list(zip(x, y, strict=True)), batch_size=8, shuffle=True):
        assert xb.shape[1:] == (784,)
        assert yb.shape == (len(xb), 1)
        assert torch.equal(xb, x[yb.flatten()])


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 12, 13])
@pytest.mark.parametrize(
    "collection",
    [
        TensorDataset(torch.rand(12, 2, 3, 3), torch.arange(12)),
        list(zip(torch.rand(12, 4), range(12), strict=True)),
        [np.full((2, 2), n, np.float32) for n in range(12)],
        [(np.full(3, n, np.uint8), np.int64(n)) for n in range(12)],
        np.arange(24.0).reshape(12, 2),
        torch.arange(12),
        [{"x": torch.full((2,), float(n)), "y": n} for n in range(12)],
        [[n, n + 0.5] for n in range(12)],
        list(string.ascii_lowercase[:12]),
    ],
    ids=["tensors", "pairs", "arrays", "array pairs", "array", "tensor", "dicts", "lists", "strings"],
)
def test_without_shuffling_it_gives_what_torchs_data_loader_gives(collection, batch_size, drop_last):
    ours = DataLoader(collection, batch_size, drop_last=drop_last)
    theirs = TorchDataLoader(collection, batch_size, drop_last=drop_last, generator=torch.Generator())
    assert len(ours) == len(theirs)
    for batch, expected in zip(ours, theirs, strict=True):
        if isinstance(expected, dict):
            assert batch.keys() == expected.keys()
            batch, expected = batch.values(), expected.values()
        elif isinstance(expected, torch.Tensor):
            batch, expected = [batch], [expected]
        for part, expected_part in zip(batch, expected, strict=True):
            assert type(part) is type(expected_part)
            if isinstance(part, torch.Tensor):
                assert part.dtype == expected_part.dtype
                assert torch.equal(part, expected_part)
            else:
                assert part == expected_part


@given(st.integers(0, 70), st.integers(1, 80), st.booleans(), st.booleans(), st.integers(0, 5), st.integers(0, 9))
def test_every_epoch_shows_each_item_exactly_once(n, batch_size, shuffle, drop_last, seed, epoch):
    loader = DataLoader(range(n), batch_size, shuffle, drop_last=drop_last)
    epoch_batches = batches(loader, epoch, seed)
    seen = [item for batch in epoch_batches for item in batch]
    assert len(epoch_batches) == len(loader)
    assert all(len(batch) == batch_size for batch in epoch_batches[:-1])
    if drop_last:
        assert len(seen) == n // batch_size * batch_size
        assert max(Counter(seen).values(), default=1) == 1
        assert set(seen) <= set(range(n))
    else:
        assert sorted(seen) == list(range(n))
    if not shuffle:
        assert seen == list(range(len(seen)))


def test_the_order_depends_on_seed_and_epoch_alone():
    loader, other = (DataLoader(range(50), batch_size, shuffle=True, seed=9) for batch_size in (8, 13))
    order = loader.order(seed=7, epoch=2).tolist()
    for each in (loader, loader, other):
        assert [item for batch in batches(each, 2, 7) for item in batch] == order
    assert len({tuple(loader.order(seed=seed, epoch=epoch).tolist()) for seed in range(3) for epoch in range(9)}) == 27


def test_each_pass_is_the_next_epoch_and_another_loader_repeats_them():
    first, second = (DataLoader(range(30), 7, shuffle=True, seed=3) for _ in range(2))
    passes = [[batch.tolist() for batch in first] for _ in range(3)]
    assert passes == [[batch.tolist() for batch in second] for _ in range(3)]
    assert passes[0] != passes[1] != passes[2]
    assert passes == [batches(first, epoch, 3) for epoch in (1, 2, 3)]


def test_a_pass_that_was_broken_off_does_not_change_the_next():
    broken, whole = (DataLoader(range(30), 7, shuffle=True) for _ in range(2))
    next(iter(broken))
    list(whole)
    assert [batch.tolist() for batch in broken] == [batch.tolist() for batch in whole]


def test_the_indices_of_the_last_batch_are_known():
    loader = DataLoader(torch.arange(10) * 10, 4, shuffle=True)
    for batch in loader:
        assert torch.equal(loader.indices * 10, batch)


def test_the_global_generators_are_not_moved():
    before, numpy_before = torch.random.get_rng_state(), np.random.get_state()
    list(DataLoader(TensorDataset(torch.zeros(9, 1, 4, 4)), 2, shuffle=True, augment=Shift(1)))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.random.get_state()[2] == numpy_before[2]
    assert np.array_equal(np.random.get_state()[1], numpy_before[1])


def test_augment_changes_the_inputs_alone():
    x, y = torch.rand(10, 1, 6, 6), torch.arange(10)
    before = x.clone()
    plain = DataLoader(TensorDataset(x, y), 4, shuffle=True)
    changed = DataLoader(TensorDataset(x, y), 4, shuffle=True, augment=lambda xb, _: xb + 1)
    for (xb, yb), (plain_xb, plain_yb) in zip(changed, plain, strict=True):
        assert torch.equal(yb, plain_yb)
        assert torch.equal(xb, plain_xb + 1)
    assert torch.equal(x, before)


def test_augment_is_a_pure_function_of_seed_epoch_and_step():
    def draw(xb, generator):
        return torch.rand(len(xb), generator=generator)

    loader = DataLoader(TensorDataset(torch.zeros(12, 1), torch.arange(12)), 4, augment=draw)
    drawn = {(seed, epoch, step): tuple(xb.tolist()) for seed in (0, 1) for epoch in (1, 2)
             for step, (xb, _) in enumerate(loader.batches(seed=seed, epoch=epoch))}  # fmt: skip
    assert len(set(drawn.values())) == len(drawn) == 12
    # the steps before it do not matter: so a run goes on in the middle of an epoch
    third = next(islice(loader.batches(seed=1, epoch=2), 2, None))[0]
    assert tuple(third.tolist()) == drawn[1, 2, 2]


def test_augment_changes_pictures_that_have_no_labels_too():
    pictures = torch.rand(6, 1, 4, 4)
    for batch in DataLoader(pictures, 4, augment=lambda xb, _: xb.flip(-1)):
        assert batch.shape[1:] == (1, 4, 4)
    assert torch.equal(next(iter(DataLoader(pictures, 6, augment=lambda xb, _: xb.flip(-1)))), pictures.flip(-1))
    [only] = next(iter(DataLoader(TensorDataset(pictures), 6, augment=lambda xb, _: xb.flip(-1))))
    assert torch.equal(only, pictures.flip(-1))


def test_augment_of_what_has_no_first_part_is_told():
    with pytest.raises(RequestError, match=r"a batch is a dict, which cannot be augmented"):
        next(iter(DataLoader([{"x": 1}], augment=Flip())))


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, "8", True, None])
def test_a_batch_size_that_is_none_is_told(batch_size):
    with pytest.raises(RequestError, match=f"batch_size is {batch_size!r}\n  hint: expected a whole number, 1 or more"):
        DataLoader(range(3), batch_size)


@pytest.mark.parametrize("thing", [3, None])
def test_what_is_no_collection_is_told(thing):
    with pytest.raises(DataError, match="is no collection"):
        DataLoader(thing)


def test_pictures_of_mixed_sizes_are_told_with_a_hint_to_resize():
    with pytest.raises(DataError, match=r"(?s)cannot be stacked.*resized first"):
        list(DataLoader([torch.zeros(1, 4, 4), torch.zeros(1, 5, 4)], 2))


def test_pillow_pictures_are_told():
    with pytest.raises(DataError, match="items like tuple cannot be stacked"):
        list(DataLoader([(Image.new("L", (4, 4)), 0)], 2))


def test_nothing_gives_no_batches():
    for drop_last in (False, True):
        loader = DataLoader([], 4, shuffle=True, drop_last=drop_last)
        assert (loader.n, len(loader), list(loader)) == (0, 0, [])


@pytest.mark.parametrize(("free", "copied"), [(10_000, True), (100, False)])
def test_for_a_gpu_what_fits_is_copied_there_once(monkeypatch, free, copied):
    """Played on the CPU: which copies are made, and that the batches are the same."""
    data = Columns([torch.arange(40.0).view(20, 2), torch.arange(20)])
    made = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 0))
    monkeypatch.setattr(Columns, "to", lambda self, device: made.append(str(device)) or Columns(self.tensors))
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *_, **__: self)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    dl, gpu = DataLoader(data, 6, shuffle=True), torch.device("cuda")
    for epoch in (1, 2):
        there = list(dl.batches(seed=0, epoch=epoch, device=gpu))
        here = list(dl.batches(seed=0, epoch=epoch))
        assert all(torch.equal(a, b) for pair in zip(there, here, strict=True) for a, b in zip(*pair, strict=True))
    assert made == (["cuda"] if copied else [])


class Ragged:
    """Items of several kinds, each with a random number, as of a data set that augments by itself."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        if index >= 20:
            raise IndexError
        return {"index": torch.tensor(index), "drawn": torch.rand(())}


def test_workers_make_the_same_batches_and_random_numbers_as_none():
    state = torch.get_rng_state()
    epochs = [
        [
            (batch["index"].tolist(), batch["drawn"].tolist())
            for batch in DataLoader(Ragged(), 6, shuffle=True, seed=3, workers=workers)
        ]
        for workers in (0, 1, 2)
    ]
    assert epochs[0] == epochs[1] == epochs[2]
    assert len({number for _, drawn in epochs[0] for number in drawn}) == 20
    assert torch.equal(torch.get_rng_state(), state)


def test_what_cannot_be_stacked_is_told_alike_from_a_worker():
    messages = []
    for workers in (0, 2):
        with pytest.raises(DataError, match="cannot be stacked") as error:
            list(DataLoader([torch.zeros(4), torch.zeros(5)], 2, workers=workers))
        messages.append(str(error.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("workers", [-1, 1.5, True])
def test_a_number_of_workers_that_is_none_is_told(workers):
    with pytest.raises(RequestError, match="workers is"):
        DataLoader(range(3), workers=workers)
