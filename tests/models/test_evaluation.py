from __future__ import annotations

import json
import math
import warnings

import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix

from sevensteps import Evaluation
from sevensteps.errors import RequestError


def test_it_agrees_with_scikit_learn() -> None:
    draw = torch.Generator().manual_seed(0)
    predicted, targets = torch.randint(5, (2, 300), generator=draw)
    evaluation = Evaluation.of(predicted, targets, list("abcde"))
    assert (evaluation.confusion == confusion_matrix(targets, predicted)).all()
    assert float(evaluation) == accuracy_score(targets, predicted)
    assert evaluation.balanced_accuracy == pytest.approx(balanced_accuracy_score(targets, predicted))
    assert evaluation.per_class["b"].correct == int(((targets == 1) & (predicted == 1)).sum())


def test_a_row_is_the_true_class_and_a_column_the_answer() -> None:
    evaluation = Evaluation.of(torch.tensor([1, 1, 0]), torch.tensor([0, 1, 0]), ["cat", "dog"])
    assert evaluation.confusion.tolist() == [[1, 1], [0, 1]]
    assert str(evaluation) == "66.67 % (95 % interval 20.77 to 93.85 %, n = 3)"


def test_a_class_without_pictures_does_not_count_in_the_balanced_accuracy() -> None:
    evaluation = Evaluation.of(torch.tensor([0, 0, 1]), torch.tensor([0, 0, 0]), ["a", "b"])
    assert evaluation.balanced_accuracy == pytest.approx(2 / 3)
    assert evaluation.per_class["b"].n == 0
    assert json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))["per_class"]["b"]["accuracy"] is None


def test_no_pictures_give_no_number_and_no_warning() -> None:
    nothing = torch.empty(0, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluation = Evaluation.of(nothing, nothing, ["a", "b"])
        assert math.isnan(evaluation.balanced_accuracy)
        assert math.isnan(float(evaluation))


@pytest.mark.parametrize(
    ("predicted", "true", "what"), [([2], [0], "predicted"), ([0], [2], "true"), ([0], [-1], "true")]
)
def test_a_label_without_a_name_is_refused(predicted: list[int], true: list[int], what: str) -> None:
    with pytest.raises(RequestError, match=f"a {what} label is -?[12], and there are 2 class names"):
        Evaluation.of(torch.tensor(predicted), torch.tensor(true), ["a", "b"])


def test_answers_that_are_not_one_a_picture_are_refused() -> None:
    with pytest.raises(RequestError, match="1 answers for 3 pictures"):
        Evaluation.of(torch.tensor([0]), torch.tensor([0, 1, 1]), ["a", "b"])
