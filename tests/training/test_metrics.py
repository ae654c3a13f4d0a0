from __future__ import annotations

import functools
import math

import pytest
import torch
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy

from sevensteps.errors import RequestError
from sevensteps.training.metrics import (
    Mean,
    accuracy,
    as_metric,
    as_numbers,
    batch_accuracy,
    error_rate,
    name_of,
    names_of,
)


def test_accuracy_is_the_fraction_that_is_right() -> None:
    draw = torch.Generator().manual_seed(0)
    preds, targets = torch.randn(200, 5, generator=draw), torch.randint(5, (200,), generator=draw)
    expected = MulticlassAccuracy(5, average="micro")(preds, targets)
    assert accuracy(preds, targets) == expected
    assert accuracy(preds, targets[:, None]) == expected  # labels as a column
    assert error_rate(preds, targets) == 1 - expected


def test_batch_accuracy_is_the_chapters() -> None:
    preds, targets = torch.tensor([[3.0], [-2.0], [0.1], [-0.1]]), torch.tensor([[1], [1], [0], [0]])
    assert batch_accuracy(preds, targets).item() == 0.5


def test_batch_accuracy_refuses_two_shapes() -> None:
    with pytest.raises(RequestError, match="expected one shape"):
        batch_accuracy(torch.zeros(4, 1), torch.zeros(4))


def test_accuracy_refuses_one_score_a_picture_where_it_would_always_say_class_0() -> None:
    with pytest.raises(RequestError, match="use batch_accuracy"):
        accuracy(torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64))


def test_accuracy_refuses_another_number_of_labels() -> None:
    with pytest.raises(RequestError, match="expected one label for each row"):
        accuracy(torch.zeros(4, 2), torch.zeros(3, dtype=torch.int64))


def test_a_mean_weighs_each_batch_by_its_pictures() -> None:
    draw = torch.Generator().manual_seed(0)
    preds, targets = torch.randn(70, 3, generator=draw), torch.randint(3, (70,), generator=draw)
    mean = Mean(accuracy)
    for start in (0, 64):  # a short last batch
        mean.update(preds[start : start + 64], targets[start : start + 64])
    assert mean.compute() == pytest.approx(accuracy(preds, targets).item(), abs=1e-7)
    mean.reset()
    assert math.isnan(mean.compute())


def test_a_mean_of_half_floats_is_summed_in_float() -> None:
    mean = Mean(accuracy)
    for _ in range(1000):
        mean.add(torch.tensor(1.0, dtype=torch.bfloat16), 64)
    assert mean.compute() == 1.0


def test_a_mean_holds_no_graph() -> None:
    weight = torch.ones(1, requires_grad=True)
    mean = Mean(accuracy)
    mean.add((weight * 2).sum(), 3)
    assert isinstance(mean.total, Tensor)
    assert not mean.total.requires_grad


def test_a_function_becomes_a_mean_and_an_object_stays_itself() -> None:
    torchs = MulticlassAccuracy(3)
    assert as_metric(torchs) is torchs
    assert isinstance(as_metric(accuracy), Mean)


def test_names_are_told_apart() -> None:
    top = functools.partial(accuracy)
    assert name_of(top) == "accuracy"
    assert name_of(MulticlassAccuracy(3)) == "MulticlassAccuracy"
    assert names_of([accuracy, top, error_rate]) == ["accuracy", "accuracy 2", "error_rate"]
    assert len(set(names_of([lambda p, t: 0, lambda p, t: 1, lambda p, t: 2]))) == 3


def test_a_value_becomes_a_plain_number() -> None:
    assert as_numbers("a", torch.tensor([0.5])) == {"a": 0.5}
    assert as_numbers("a", 1) == {"a": 1.0}
    assert as_numbers("both", {"top": torch.tensor(0.5), "low": 2}) == {"top": 0.5, "low": 2.0}


def test_several_numbers_without_names_are_told() -> None:
    with pytest.raises(RequestError, match="the metric recall gives 3 numbers"):
        as_numbers("recall", torch.zeros(3))
