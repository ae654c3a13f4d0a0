from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from sevensteps.errors import RequestError
from sevensteps.insight.interpretation import Interpretation
from sevensteps.models.evaluation import Evaluation
from sevensteps.training.result import Scored

VOCAB = ["ant", "bee", "cat", "dog"]


def answers(n: int = 200, missing: int | None = None) -> Interpretation:
    """Answers that are right about half of the time; no picture is of class `missing`, nor called so."""
    random = torch.Generator().manual_seed(7)
    targets = torch.randint(len(VOCAB), (n,), generator=random)
    preds = torch.randn(n, len(VOCAB), generator=random)
    preds[range(n), targets] += 1
    if missing is not None:
        targets[targets == missing] = (missing + 1) % len(VOCAB)
        preds[:, missing] = -100
    return Interpretation(preds, targets, VOCAB, [f"{i}.png" for i in range(n)])


def test_the_confusion_matrix_is_that_of_scikit_learn() -> None:
    it = answers()
    assert np.array_equal(it.confusion, confusion_matrix(it.targets, it.preds.argmax(1), labels=range(4)))


@pytest.mark.parametrize("missing", [None, 2])
def test_precision_recall_and_f1_are_those_of_scikit_learn(missing: int | None) -> None:
    it = answers(missing=missing)
    expected = precision_recall_fscore_support(
        it.targets, it.preds.argmax(1), labels=range(4), zero_division=float("nan")
    )
    ours = [[row.precision, row.recall, row.f1, row.n] for row in it.per_class()]
    assert [row.name for row in it.per_class()] == VOCAB
    np.testing.assert_allclose(np.array(ours).T, np.array(expected), rtol=1e-12)


def test_a_class_without_pictures_has_scores_that_are_not_a_number() -> None:
    row = answers(missing=2).per_class()[2]
    assert row.n == 0
    assert all(map(math.isnan, (row.precision, row.recall, row.f1)))


def test_a_class_that_is_never_right_has_an_f1_of_0() -> None:
    it = Interpretation(torch.tensor([[1.0, 0.0]]), torch.tensor([1]), ["a", "b"], ["0.png"])
    assert [row.f1 for row in it.per_class()] == [0.0, 0.0]


def test_the_mean_of_the_losses_is_the_log_loss_of_scikit_learn() -> None:
    it = answers()
    assert it.losses.mean().item() == pytest.approx(log_loss(it.targets, it.preds.double().softmax(1)), rel=1e-5)


def test_top_losses_come_greatest_first_and_say_what_was_answered() -> None:
    it = answers()
    rows = it.top_losses(20)
    losses = -it.preds.log_softmax(1)[range(200), it.targets]
    assert [row.index for row in rows] == losses.argsort(descending=True)[:20].tolist()
    first = rows[0]
    assert first.name == f"{first.index}.png"
    assert first.true == VOCAB[int(it.targets[first.index])]
    assert first.predicted == VOCAB[int(it.preds[first.index].argmax())]
    assert first.probability == pytest.approx(float(it.preds.softmax(1)[first.index].max()))
    assert first.loss == pytest.approx(float(losses.max()))


def test_top_losses_of_wrong_answers_hold_no_right_one_and_the_other_way_round() -> None:
    it = answers()
    wrong, right = it.top_losses(200, right=False), it.top_losses(200, right=True)
    assert not any(row.right for row in wrong)
    assert all(row.right for row in right)
    assert len(wrong) + len(right) == 200


def test_top_losses_gives_all_where_k_is_larger_and_none_where_it_is_0() -> None:
    assert len(answers(5).top_losses(9)) == 5
    assert answers(5).top_losses(0) == []


def test_a_negative_k_is_refused() -> None:
    with pytest.raises(RequestError, match=r"k is -1\n.*0 or more"):
        answers().top_losses(-1)


def test_most_confused_lists_every_mistake_most_often_first() -> None:
    it = answers()
    pairs = it.most_confused()
    assert sum(pair.times for pair in pairs) == int((it.preds.argmax(1) != it.targets).sum())
    assert [pair.times for pair in pairs] == sorted((pair.times for pair in pairs), reverse=True)
    for true, predicted, times in pairs:
        assert times == it.confusion[VOCAB.index(true), VOCAB.index(predicted)]
        assert true != predicted


def test_most_confused_leaves_out_what_is_below_the_minimum() -> None:
    it = answers()
    pairs = it.most_confused()
    least = pairs[0].times
    assert it.most_confused(least) == [pair for pair in pairs if pair.times == least]
    assert it.most_confused(10**6) == []


def test_equally_frequent_pairs_stand_in_the_order_of_the_vocab() -> None:
    preds, targets = torch.eye(3)[[1, 2, 0]], torch.tensor([0, 1, 2])
    pairs = Interpretation(preds, targets, ["a", "b", "c"], ["x", "y", "z"]).most_confused()
    assert [tuple(pair) for pair in pairs] == [("a", "b", 1), ("b", "c", 1), ("c", "a", 1)]


def test_the_surest_answer_of_each_class_is_right_and_has_the_least_loss() -> None:
    it = answers(missing=2)
    surest = it.surest()
    assert [row.true for row in surest] == ["ant", "bee", "dog"]
    for row in surest:
        assert row.right
        assert row.loss == min(other.loss for other in it.top_losses(200, right=True) if other.true == row.true)


def test_it_is_made_from_what_the_main_job_scored() -> None:
    it = answers()
    scored = Scored(it.preds, it.targets, Evaluation.of(it.preds.argmax(1), it.targets, VOCAB))
    again = Interpretation.of(scored, VOCAB, it.names)
    assert np.array_equal(again.confusion, scored.evaluation.confusion)


def test_no_pictures_are_no_error() -> None:
    empty = Interpretation(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), VOCAB, [])
    assert (empty.top_losses(3), empty.surest(), empty.most_confused()) == ([], [], [])


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        RequestError, match=r"preds have shape \(2, 3\).*with 2 names and 4 classes\n.*expected.*\(2, 4\)"
    ):
        Interpretation(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64), VOCAB, ["a", "b"])
