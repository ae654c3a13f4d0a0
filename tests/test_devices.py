from __future__ import annotations

import pytest
import torch

from sevensteps.devices import DEVICES, choose_device
from sevensteps.errors import RequestError


@pytest.fixture
def machine(monkeypatch):
    """A machine with as many CUDA devices as are asked for, and mps or not."""

    def have(*, cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return have


def test_auto_is_the_best_there_is(machine):
    machine()
    assert choose_device() == torch.device("cpu")
    machine(mps=True)
    assert choose_device("auto") == torch.device("mps")
    machine(cuda=1, mps=True)
    assert choose_device("auto") == torch.device("cuda")


def test_a_named_device_is_taken_before_a_better_one(machine):
    machine(cuda=2, mps=True)
    assert [choose_device(name) for name in ("cpu", "mps", "cuda", "cuda:1")] == [
        torch.device(name) for name in ("cpu", "mps", "cuda", "cuda:1")
    ]


@pytest.mark.parametrize("name", ["gpu", "CUDA", "", "cuda:", "cuda:x", "cuda:-1", "cpu:x", "tpu:0", "meta", "xpu"])
def test_an_unknown_name_is_told_with_those_that_are_known(machine, name):
    machine(cuda=1)
    with pytest.raises(RequestError) as caught:
        choose_device(name)
    assert caught.value.message == f"no device is called {name!r}"
    assert caught.value.hint == f"expected one of {', '.join(DEVICES)}"


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_device_that_is_not_there_is_told_with_those_that_are(machine, name):
    machine()
    with pytest.raises(RequestError, match=rf"(?s)no {name} device.*it has: cpu$"):
        choose_device(name)


def test_a_number_beyond_the_last_device_is_told(machine):
    machine(cuda=2)
    with pytest.raises(RequestError, match=r"(?s)no cuda:2\n.*it has: cuda:0, cuda:1"):
        choose_device("cuda:2")
