"""What the page says of calibration and of "none of these": the figures, and that they are told as what they are."""

from __future__ import annotations

import torch

from sevensteps.insight.calibration import fit_temperature
from sevensteps.interval import Accuracy
from sevensteps.models.evaluation import Evaluation
from sevensteps.report.confidence import GOALS, Confidence
from sevensteps.training.result import Scored


def scored(preds: torch.Tensor, targets: torch.Tensor) -> Scored:
    return Scored(preds, targets, Evaluation.of(preds.argmax(1), targets, ["a", "b", "c"]))


def answers(n: int, sharpness: float, scale: float = 1.0, seed: int = 0) -> Scored:
    """Answers of a network that knows the probabilities, and says them `scale` times as surely."""
    random = torch.Generator().manual_seed(seed)
    logits = sharpness * torch.randn(n, 3, generator=random)
    targets = torch.multinomial(logits.softmax(1), 1, generator=random)[:, 0]
    return scored(scale * logits, targets)


def test_the_temperature_is_of_valid_and_the_figures_are_of_test() -> None:
    valid, test = answers(4000, 2, scale=3), answers(3000, 2, scale=3, seed=1)
    it = Confidence({"valid": valid, "test": test}, "test")
    assert it.calibration.temperature == fit_temperature(valid.preds, valid.targets)
    confidence, right = test.preds.double().softmax(1).max(1).values, test.preds.argmax(1) == test.targets
    parts = [(confidence > low / 15) & (confidence <= (low + 1) / 15) for low in range(15)]
    ece = sum(abs(float(confidence[part].sum() - right[part].sum())) for part in parts) / len(confidence)
    assert abs(it.to_dict()["before"]["ece"] - ece) < 1e-9
    assert it.to_dict()["after"]["ece"] < 0.03 < ece
    assert it.to_dict()["split"] == "test"
    assert "It is surer than it is right" in it.verdict


def test_a_network_that_knows_how_sure_it_may_be_is_called_so() -> None:
    it = Confidence({"valid": answers(4000, 2)}, "valid")
    assert "As sure as it is right" in it.verdict
    assert "right more often than it is sure" in Confidence({"valid": answers(4000, 2, scale=0.3)}, "valid").verdict


def test_a_few_sure_mistakes_raise_the_temperature_of_a_network_that_is_not_sure_enough() -> None:
    targets = torch.arange(3).repeat(300)
    preds = 1.4 * torch.eye(3)[targets]
    preds[:40] = 60 * torch.eye(3)[(targets[:40] + 1) % 3]
    it = Confidence({"valid": scored(preds, targets)}, "valid")
    assert it.calibration.temperature.value > 2
    assert "It is right more often than it is sure" in it.verdict
    assert it.calibration.after.ece > it.calibration.before.ece
    assert ", which is worse: a single temperature does not mend it." in it.verdict


def test_the_threshold_is_the_least_that_reaches_the_greatest_goal_with_half_of_the_pictures() -> None:
    valid = answers(4000, 2)
    it = Confidence({"valid": valid}, "valid")
    confidence, right = valid.preds.double().softmax(1).max(1).values, valid.preds.argmax(1) == valid.targets
    reached = {}
    for goal in GOALS:
        for threshold in sorted({0.0, *confidence.tolist()}):
            chosen = right[confidence >= threshold]
            if Accuracy(int(chosen.sum()), len(chosen)).interval[0] >= goal:
                if 2 * len(chosen) >= len(right):
                    reached[goal] = threshold
                break
    assert it.threshold is not None
    assert it.threshold.goal == max(reached) < GOALS[0]
    assert it.threshold.answered.threshold == reached[max(reached)]
    assert "Recommended: say “none of these” where the probability is below" in it.advice
    assert it.to_dict()["coverage"]["recommended"]["threshold"] == it.threshold.answered.threshold


def test_what_a_threshold_of_valid_comes_to_is_measured_on_test() -> None:
    valid, test = answers(4000, 2), answers(500, 2, seed=1)
    chosen, tried = Confidence({"valid": valid}, "valid").threshold, None
    tried = Confidence({"valid": valid, "test": test}, "test").threshold
    assert chosen is not None
    assert tried is not None
    assert tried.answered.threshold == chosen.answered.threshold
    confidence = test.preds.double().softmax(1).max(1).values
    assert tried.answered.accuracy.n == int((confidence >= chosen.answered.threshold).sum())


def test_a_network_that_is_good_enough_needs_no_threshold_and_one_that_guesses_gets_none() -> None:
    targets = torch.arange(3).repeat(300)
    perfect = scored(20 * torch.eye(3)[targets], targets)
    needless = "On the validation pictures no threshold is needed to be right for 99\u00a0%. Of all "
    assert f"{needless}validation pictures 100.0\u00a0%" in Confidence({"valid": perfect}, "valid").advice
    called = torch.cat([(targets[:90] + 1) % 3, targets[90:]])
    test = scored(20 * torch.eye(3)[called], targets)
    assert f"{needless}test pictures 90.0\u00a0%" in Confidence({"valid": perfect, "test": test}, "test").advice
    guesses = scored(torch.randn(900, 3, generator=torch.Generator().manual_seed(0)), targets)
    it = Confidence({"valid": guesses}, "valid")
    assert "No threshold can be recommended" in it.advice
    assert it.to_dict()["coverage"]["recommended"] is None
