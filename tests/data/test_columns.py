from __future__ import annotations

import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset, default_collate

from sevensteps.data.columns import Columns, Items, as_batched
from sevensteps.errors import DataError


class Squares(Dataset):
    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.full((2, 2), float(index)), index * index


class Endless(IterableDataset):
    def __iter__(self):
        return iter(range(3))


def take(collection, *indices: int):
    return as_batched(collection).take_batch(torch.tensor(indices))


@pytest.mark.parametrize(
    "collection",
    [
        range(15),
        [1.5, 2.5, 3.5],
        [True, False, True],
        list(zip(torch.rand(4, 3), torch.arange(4), strict=True)),
        [(torch.zeros(2), 1, 2.0), (torch.ones(2), 3, 4.0), (torch.ones(2), 5, 6.0)],
        ((1, 2), (3, 4), (5, 6)),
    ],
)
def test_tensors_and_numbers_become_columns_with_the_values_that_torch_collates(collection):
    batched = as_batched(collection)
    assert isinstance(batched, Columns)
    ours, theirs = batched.take_batch(torch.tensor([2, 0])), default_collate([collection[2], collection[0]])
    ours, theirs = ([batch] if isinstance(batch, torch.Tensor) else batch for batch in (ours, theirs))
    assert len(ours) == len(theirs)
    for column, expected in zip(ours, theirs, strict=True):
        assert torch.equal(column, expected)
        assert column.dtype == expected.dtype


def test_a_tensor_is_one_column_and_a_tensor_dataset_several_without_a_copy():
    x, y = torch.rand(4, 3), torch.arange(4)
    assert torch.equal(take(x, 3, 1), x[[3, 1]])
    batched = as_batched(TensorDataset(x, y))
    assert isinstance(batched, Columns)
    assert batched.tensors[0].data_ptr() == x.data_ptr()
    xb, yb = batched.take_batch(torch.tensor([3, 1]))
    assert torch.equal(xb, x[[3, 1]])
    assert yb.tolist() == [3, 1]


@pytest.mark.parametrize(
    "collection",
    [
        [1, 2.0],  # as a column the 1 would become a float, or the 2.0 an int
        [True, 2],
        [torch.zeros(1), torch.zeros(1, dtype=torch.int64)],
        [(1, 2), (3, 4, 5)],
        ["a", "b"],
        [],
        Squares(),
    ],
)
def test_what_has_no_common_type_is_taken_item_by_item(collection):
    assert isinstance(as_batched(collection), Items)


def test_a_torch_dataset_is_collated_as_torch_does_it():
    xb, yb = take(Squares(), 4, 2)
    assert torch.equal(xb, torch.stack([torch.full((2, 2), 4.0), torch.full((2, 2), 2.0)]))
    assert yb.tolist() == [16, 4]


def test_what_is_read_only_once_is_kept():
    batched = as_batched(n * n for n in range(4))
    assert len(batched) == 4
    assert batched.take_batch(torch.tensor([3, 0])).tolist() == [9, 0]
    assert batched.take_batch(torch.tensor([3, 0])).tolist() == [9, 0]


def test_a_dict_is_its_keys_and_a_set_its_members():
    assert take({"a": 1, "b": 2}, 1, 0) == ("b", "a")
    assert take({"a": 1, "b": 2}.items(), 1) == (("b",), torch.tensor([2]))
    assert sorted(take({3, 1, 2}, 0, 1, 2).tolist()) == [1, 2, 3]


def test_what_gives_batches_itself_is_left_as_it_is():
    columns = Columns([torch.arange(3)], single=True)
    assert as_batched(columns) is columns


def test_columns_know_their_labels_and_parts():
    columns = Columns([torch.arange(6).view(3, 2), torch.tensor([5, 6, 7])])
    assert columns.labels.tolist() == [5, 6, 7]
    part = columns.take([2, 0])
    assert (len(part), part.labels.tolist(), part.tensors[0].tolist()) == (2, [7, 5], [[4, 5], [0, 1]])


@pytest.mark.parametrize("thing", [3, None, object(), torch.tensor(3.0), Endless(), lambda: 0])
def test_what_has_no_items_or_no_length_is_told(thing):
    with pytest.raises(DataError, match="is no collection with a length"):
        as_batched(thing)


@pytest.mark.parametrize(
    "items",
    [
        [torch.zeros(2), torch.zeros(3)],
        [(torch.zeros(2), 0), (torch.zeros(3), 0)],
        [(1, 2), (3, 4, 5)],
        [(1, 2), 3],
        [1, (2, 3)],
        [1, None],
        [1, "a"],
        ["a", 1],
        [{"a": 1}, {"b": 1}],
        [Image.new("L", (2, 2)), Image.new("L", (2, 2))],
        [(Image.new("L", (2, 2)), 0), (Image.new("L", (2, 2)), 1)],
        [{1}, {2}],
        [10**30, 1],
    ],
)
def test_items_that_cannot_be_stacked_are_told_with_their_kind(items):
    if items == ["a", 1]:
        assert take(items, 0, 1) == ("a", 1)  # torch collates strings without a look at the rest
        return
    with pytest.raises(DataError) as caught:
        take(items, 0, 1)
    assert f"items like {type(items[0]).__name__} cannot be stacked into a batch" in caught.value.message
    assert "one shape" in caught.value.hint
