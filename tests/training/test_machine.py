from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from sevensteps import DataLoader, DataLoaders, Learner, RequestError, networks
from sevensteps.training import machine
from sevensteps.training.callbacks import Callback
from sevensteps.training.machine import at_work, choose_precision, in_precision, serving_threads

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_found_yet(monkeypatch):
    monkeypatch.setattr(machine, "_found", None)


@pytest.mark.parametrize(("able", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bfloat16_for_convolutions_where_the_processor_has_it(monkeypatch, able, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: able)
    assert choose_precision("auto", CPU, networks.convnet((1, 28, 28), 10)) == expected
    assert choose_precision("auto", CPU, networks.simple_net((1, 28, 28), 10)) == "fp32"
    assert choose_precision("fp32", CPU, networks.convnet((1, 28, 28), 10)) == "fp32"
    assert choose_precision("bf16", CPU, networks.simple_net((1, 28, 28), 10)) == "bf16"


def test_another_precision_is_told():
    with pytest.raises(RequestError, match=r"precision is 'fp16'\n  hint: expected one of auto, fp32, bf16"):
        choose_precision("fp16", CPU, nn.Linear(1, 1))


def test_in_bfloat16_the_products_are_rounded_and_all_else_is_float32():
    model, xb = nn.Linear(50, 3), torch.rand(20, 50)
    exact, rounded = in_precision("fp32", model, xb), in_precision("bf16", model, xb)
    assert exact.dtype == rounded.dtype == torch.float32
    assert torch.equal(exact, model(xb))
    assert not torch.equal(exact, rounded)
    assert torch.allclose(exact, rounded, atol=0.05)
    rounded.sum().backward()
    assert model.weight.dtype == model.weight.grad.dtype == torch.float32


class Dtypes(Callback):
    """The types that the layers give, and those of preds and loss, in training and in validation."""

    def before_fit(self):
        self.layers, self.rest = set(), set()
        self.learn.model[0].register_forward_hook(
            lambda layer, inputs, output: self.layers.add((self.learn.training, output.dtype))
        )

    def after_loss(self):
        self.rest |= {self.learn.preds.dtype, self.learn.loss.dtype}


def test_a_learner_validates_in_float32_what_it_trains_in_bfloat16():
    x, y = torch.rand(40, 4), torch.arange(40) % 2
    dl = DataLoader(list(zip(x, y, strict=True)), 10)
    seen = Dtypes()
    learn = Learner(DataLoaders(dl, dl), nn.Sequential(nn.Linear(4, 2)), precision="bf16", cbs=seen, quiet=True)
    learn.fit(1, 0.1)
    assert seen.layers == {(True, torch.bfloat16), (False, torch.float32)}
    assert seen.rest == {torch.float32}


def test_threads_are_as_many_inside_and_as_before_outside():
    before = torch.get_num_threads()
    with at_work(1, CPU):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    x, y = torch.rand(4, 4), torch.arange(4) % 2
    seen = []

    class Threads(Callback):
        def after_batch(self):
            seen.append(torch.get_num_threads())

    dls = DataLoaders(DataLoader(list(zip(x, y, strict=True)), 4))
    Learner(dls, nn.Linear(4, 2), threads=1, cbs=Threads(), quiet=True).fit(1, 0.1)
    assert seen == [1]
    assert torch.get_num_threads() == before
    with pytest.raises(RequestError, match="number of threads"):
        Learner(dls, nn.Linear(4, 2), threads=0)


def fake_looks(monkeypatch, looks):
    """Seconds and interruptions by number of threads, instead of what this machine would show."""
    tried = []

    def look(threads, work):
        tried.append(threads)
        return looks[threads]

    monkeypatch.setattr(machine, "_look", look)
    return tried


def test_on_a_quiet_machine_all_threads_are_used_and_no_others_tried(monkeypatch):
    tried = fake_looks(monkeypatch, {8: (1.0, 0)})
    assert serving_threads(8) == 8
    assert tried == [8]
    assert serving_threads(8) == 8  # that is believed for a while
    assert tried == [8]


def test_beside_other_programs_fewer_are_used_where_they_are_not_slower(monkeypatch):
    tried = fake_looks(monkeypatch, {4: (3.0, 9), 3: (1.1, 5), 2: (1.5, 0), 1: (3.1, 0)})
    assert serving_threads(4) == 3
    assert tried == [4, 4, 4, 4, 3, 2, 1]


def test_what_disturbs_only_once_costs_no_thread(monkeypatch):
    looks = iter([(3.0, 9), (1.0, 0), (1.0, 1), (1.0, 2)])
    monkeypatch.setattr(machine, "_look", lambda threads, work: next(looks))
    assert serving_threads(2) == 2


def test_disturbed_but_faster_all_threads_stay(monkeypatch):
    fake_looks(monkeypatch, {2: (1.0, 9), 1: (2.0, 0)})
    assert serving_threads(2) == 2


def test_the_trial_leaves_the_threads_as_they_were():
    before, drawn = torch.get_num_threads(), torch.get_rng_state()
    assert 1 <= serving_threads(before) <= before
    assert torch.get_num_threads() == before
    assert torch.equal(torch.get_rng_state(), drawn)  # nor does it draw from the caller's generator


def test_a_number_of_threads_that_was_set_is_left(monkeypatch):
    monkeypatch.setattr(machine, "available_cores", lambda: torch.get_num_threads() + 1)
    monkeypatch.setattr(machine, "serving_threads", lambda most: pytest.fail("tried"))
    before = torch.get_num_threads()
    with at_work(None, CPU):
        assert torch.get_num_threads() == before


def test_convolutions_are_laid_out_channels_last_whoever_made_them():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    x, y = torch.rand(8, 3, 9, 9), torch.arange(8) % 2
    learn = Learner(DataLoaders(DataLoader(list(zip(x, y, strict=True)), 4)), model, quiet=True)
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert learn.model is model
    learn.fit(1, 0.1)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # torch's compiler has its own
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_compiled_training_ends_where_one_that_is_not_compiled_does(precision):
    x, y = torch.rand(96, 1, 8, 8), torch.randint(0, 3, (96,))
    ends = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
        dls = DataLoaders(*(DataLoader(list(zip(x, y, strict=True)), 32) for _ in range(2)))
        learn = Learner(dls, model, lr=0.1, precision=precision, compile=compiled, quiet=True)
        learn.fit(3)
        ends.append(learn.recorder.values[-1])
        assert list(learn.model.state_dict()) == list(model.state_dict())
    assert ends[0] == pytest.approx(ends[1], rel=1e-4 if precision == "fp32" else 0.02)
    assert torch._dynamo.utils.counters["frames"]["ok"]


@pytest.mark.skipif(not torch.cpu._is_avx512_bf16_supported(), reason="this processor does not calculate in bfloat16")
@pytest.mark.parametrize(("stride", "size"), [(2, (1, 1)), (2, (5, 1)), (3, (4, 2))])
def test_the_gradient_of_a_convolution_on_a_narrow_map_is_made_of_what_is_there(stride, size):
    model = nn.Conv2d(32, 64, 3, stride, 1, bias=False)
    forward = model.forward

    def gradient() -> Tensor:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            preds = model(torch.ones(16, 32, *size))
        junk = [torch.full((10**power,), torch.nan) for power in range(2, 7)]
        del junk  # what is freed now is what is found, unwritten, in a moment
        preds.float().sum().backward()
        return model.weight.grad.clone()

    with machine.sound_gradients(model):
        other = copy.deepcopy(model)
        gradients = [gradient() for _ in range(20)]
    assert all(torch.equal(found, gradients[0]) for found in gradients)
    assert model.forward == forward
    torch.nn.init.zeros_(model.weight)
    assert other(torch.ones(16, 32, *size)).abs().sum() > 0  # a copy's weights are its own
