from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sevensteps.randomness import generator, permutation, seed_for, torch_seeded

SEEDS = st.integers(min_value=-(2**70), max_value=2**70)


def states() -> tuple[object, ...]:
    numpy_state = np.random.get_state()
    return random.getstate(), numpy_state[1].tobytes(), numpy_state[2], torch.random.get_rng_state().numpy().tobytes()


@given(SEEDS, st.text(), st.lists(st.integers(min_value=0)))
def test_a_seed_is_a_pure_function_and_fits_into_63_bits(seed, purpose, counters):
    assert seed_for(seed, purpose, *counters) == seed_for(seed, purpose, *counters)
    assert 0 <= seed_for(seed, purpose, *counters) < 2**63


def test_seeds_never_change_between_versions_or_a_run_could_not_be_repeated():
    assert seed_for(0, "order", 1) == 4672741961019256271
    assert permutation(8, 0, "order", 1).tolist() == [2, 6, 0, 5, 3, 7, 1, 4]


def test_seeds_are_the_same_in_another_process():
    # str hashes differ between processes
    code = "from sevensteps.randomness import seed_for; print(seed_for(3, 'order', 4))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) == seed_for(3, "order", 4)


def test_every_argument_matters():
    arguments = [(seed, purpose, *counters) for seed in (0, 1, 11) for purpose in ("order", "augment", "model")
                 for counters in ((), (0,), (1,), (11,), (1, 1), (0, 1), (1, 0), (1, 11), (11, 1))]  # fmt: skip
    assert len({seed_for(*each) for each in arguments}) == len(arguments)


def test_numpys_numbers_count_as_pythons():
    assert seed_for(np.int64(3), "order", np.int32(1)) == seed_for(3, "order", 1)


@given(st.integers(min_value=0, max_value=300), SEEDS, st.integers(min_value=0, max_value=1000))
def test_a_permutation_has_every_number_once(n, seed, epoch):
    order = permutation(n, seed, "order", epoch)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(n))
    assert np.array_equal(order, permutation(n, seed, "order", epoch))


def test_other_epochs_have_other_orders():
    assert len({tuple(permutation(20, 0, "order", epoch)) for epoch in range(50)}) == 50


def test_every_place_gets_every_number_about_as_often():
    counts = np.zeros((5, 5))
    for epoch in range(2000):
        counts[np.arange(5), permutation(5, 0, "order", epoch)] += 1
    assert np.abs(counts - 400).max() < 5 * np.sqrt(2000 * 0.2 * 0.8)


def test_the_callers_generators_are_not_moved():
    before = states()
    permutation(10, 0, "order", 1)
    torch.rand(3, generator=generator(0, "augment", 1))
    with torch_seeded(0, "weights"):
        torch.rand(3)
    assert states() == before


def test_a_generator_is_fresh_each_time():
    first, second = (torch.rand(4, generator=generator(7, "augment", 1, 2)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, torch.rand(4, generator=generator(7, "augment", 1, 3)))


def test_inside_the_block_torch_draws_the_same_each_time():
    drawn = []
    for _ in range(2):
        torch.rand(1)
        with torch_seeded(0, "weights", 1):
            drawn.append(torch.nn.Linear(3, 2).weight.tolist())
    assert drawn[0] == drawn[1]
    with torch_seeded(0, "weights", 2):
        assert torch.nn.Linear(3, 2).weight.tolist() != drawn[0]


def test_torchs_generator_is_as_before_after_an_error_in_the_block():
    before = states()
    with pytest.raises(KeyError), torch_seeded(0, "weights"):  # noqa: PT012
        torch.rand(3)
        raise KeyError
    assert states() == before


def test_the_generator_of_an_apple_gpu_is_as_before(monkeypatch):
    state = [torch.tensor([1])]
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: state[0])
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda new: state.__setitem__(0, new))
    monkeypatch.setattr(torch.mps, "manual_seed", lambda seed: state.__setitem__(0, torch.tensor([seed])))
    with torch_seeded(0, "fit"):
        state[0] = torch.tensor([2])
    assert state[0].item() == 1
