from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sevensteps.data.split import VALID_AT_MOST, stratified_split
from sevensteps.errors import DataError

LABELS = st.lists(st.integers(2, 40), min_size=1, max_size=8).flatmap(
    lambda counts: st.permutations([label for label, count in enumerate(counts) for _ in range(count)])
)


@given(LABELS, st.integers(0, 3), st.none() | st.floats(0.01, 0.99))
def test_the_parts_cover_all_overlap_none_and_have_every_class(labels, seed, fraction):
    train, valid = stratified_split(np.array(labels), seed, fraction)
    assert sorted([*train.tolist(), *valid.tolist()]) == list(range(len(labels)))
    assert train.tolist() == sorted(train.tolist())
    assert valid.tolist() == sorted(valid.tolist())
    assert set(np.array(labels)[train]) == set(np.array(labels)[valid]) == set(labels)


@given(LABELS, st.floats(0.01, 0.99))
def test_every_class_gives_the_same_fraction_rounded(labels, fraction):
    _, valid = stratified_split(np.array(labels), 0, fraction)
    for label in set(labels):
        count, taken = labels.count(label), int((np.array(labels)[valid] == label).sum())
        assert taken == min(max(round(count * fraction), 1), count - 1)


def test_a_fifth_is_set_aside_where_nothing_is_said():
    train, valid = stratified_split(np.repeat([0, 1], [50, 100]))
    assert (len(train), np.bincount(np.repeat([0, 1], [50, 100])[valid]).tolist()) == (120, [10, 20])


def test_of_very_many_pictures_about_5000_are_set_aside():
    _, valid = stratified_split(np.arange(60_000) % 10)
    assert len(valid) == VALID_AT_MOST


def test_the_seed_alone_decides_who_is_set_aside():
    labels = np.arange(100) % 3
    first, again, other = (stratified_split(labels, seed)[1].tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_each_class_has_a_draw_of_its_own():
    labels = np.repeat([0, 1], 50)
    valid = stratified_split(labels)[1]
    assert (valid[valid < 50] + 50).tolist() != valid[valid >= 50].tolist()


def test_another_class_does_not_change_who_is_set_aside_of_this_one():
    few = np.repeat([0, 1], 20)
    more = np.repeat([0, 1, 2], 20)
    assert stratified_split(few, 5)[1].tolist() == [i for i in stratified_split(more, 5)[1].tolist() if i < 40]


def test_a_class_with_one_picture_is_named_with_what_to_do():
    with pytest.raises(DataError, match=r"(?s)class 'heron' has one picture only.*hint: add pictures"):
        stratified_split(np.array([0, 0, 1, 0]), vocab=["crow", "heron"])
    with pytest.raises(DataError, match="class '1' has one picture only"):
        stratified_split(np.array([0, 0, 1, 0]))


@given(LABELS, st.integers(0, 3), st.data())
def test_copies_stay_together_where_a_class_has_others(labels, seed, data):
    labels = np.array(labels)
    order = data.draw(st.permutations(range(len(labels))))
    sizes = data.draw(st.lists(st.integers(2, 4), max_size=len(labels) // 4))
    ends = np.cumsum([0, *sizes])
    copies = [order[begin:end] for begin, end in itertools.pairwise(ends) if end <= len(order)]
    train, valid = stratified_split(labels, seed, copies=copies)
    assert sorted([*train.tolist(), *valid.tolist()]) == list(range(len(labels)))
    assert set(labels[valid]) == set(labels[train]) == set(labels)
    alone = set(range(len(labels))) - {one for group in copies for one in group}
    if all((labels[list(alone)] == label).sum() >= 2 for label in set(labels)) and alone:
        assert all(set(group) <= set(train) or set(group) <= set(valid) for group in copies)


def test_a_class_of_nothing_but_copies_is_cut_all_the_same():
    train, valid = stratified_split(np.array([0, 0, 0, 1, 1, 1]), copies=[[0, 1, 2]])
    assert (len(train), len(valid)) == (4, 2)


def test_of_two_groups_of_copies_one_is_set_aside_whole():
    _, valid = stratified_split(np.array([0, 0, 0, 0, 1, 1, 1, 1, 1]), copies=[[0, 1], [2, 3]])
    assert valid[:2].tolist() in ([0, 1], [2, 3])


def test_where_all_have_copies_the_smallest_group_is_set_aside():
    groups = [[*range(95)], [*range(95, 100)]]
    train, _ = stratified_split(np.array([0] * 100 + [1] * 100), fraction=0.01, copies=groups)
    assert set(range(95)) <= set(train.tolist())
