"""What the exhibits about the loop claim."""

from __future__ import annotations

import pytest

from sevensteps.data.dataloader import DataLoader
from sevensteps.data.dataloaders import DataLoaders
from sevensteps.tour.classes import AllClasses, TwoClasses
from sevensteps.tour.exhibit import EXHIBITS
from sevensteps.tour.loop import learner_needs, one_epoch, training_loop
from sevensteps.training.learner import Learner
from sevensteps.training.losses import mnist_loss
from sevensteps.training.optimizers import SGD

NUMBERS = (25, 32, 33)


def test_each_gives_the_same_findings_again(colour: DataLoaders) -> None:
    for number in NUMBERS:
        assert EXHIBITS[number].run(colour).findings == EXHIBITS[number].run(colour).findings


def test_an_epoch_shows_every_picture_once_in_another_order_each_time(digits: DataLoaders) -> None:
    found = one_epoch(digits, epochs=3).findings
    assert found["every_picture_once"]
    first, second, third = found["first_pictures_of_each_epoch"]
    assert first != second != third != first


@pytest.mark.parametrize(("batch_size", "sizes"), [(64, [64, 64, 64, 64, 32]), (96, [96, 96, 96]), (1024, [288])])
def test_an_epoch_has_a_step_for_each_batch_and_the_last_may_be_shorter(
    digits: DataLoaders, batch_size: int, sizes: list[int]
) -> None:
    found = one_epoch(digits, batch_size=batch_size, epochs=2).findings
    assert found["batch_sizes"] == sizes
    assert found["steps_an_epoch"] == len(sizes)
    assert len(found["loss"]) == 2 * len(sizes)


def test_validation_changes_no_weight_and_says_that_the_digits_are_learnt(digits: DataLoaders) -> None:
    found = one_epoch(digits).findings
    assert not found["validation_changed_the_weights"]
    assert len(found["valid_accuracy"]) == 5, "before the first epoch, and after each"
    assert found["valid_accuracy"][0] < 0.7 < 0.95 < found["valid_accuracy"][-1]


@pytest.mark.parametrize("data", ["digits", "colour"])
def test_the_steps_of_an_epoch_are_those_of_sgd(data: str, request: pytest.FixtureRequest) -> None:
    dls = request.getfixturevalue(data)
    two, losses = TwoClasses.of(dls), []
    w = two.random().requires_grad_()
    opt = SGD([w], lr=5.0)
    batches = DataLoader(list(zip(two.x, two.y, strict=True)), 20, shuffle=True)
    for _ in range(2):
        for xb, yb in batches:
            loss = mnist_loss(xb @ w, yb[:, None])
            loss.backward()  # type: ignore[no-untyped-call]
            opt.step()
            opt.zero_grad()
            losses.append(loss.item())
    assert one_epoch(dls, batch_size=20, lr=5.0, epochs=2).findings["loss"] == pytest.approx(losses)


@pytest.mark.parametrize("data", ["digits", "colour"])
@pytest.mark.parametrize("epochs", [1, 3])
def test_learner_asks_each_part_as_often_as_the_answer_says(
    data: str, epochs: int, request: pytest.FixtureRequest
) -> None:
    found = learner_needs(request.getfixturevalue(data), epochs=epochs).findings
    train, valid, asked = found["training_batches"], found["validation_batches"], found["asked"]
    assert asked["dls"] == asked["model"] == asked["loss_func"] == epochs * (train + valid)
    assert asked["metrics"] == epochs * valid
    assert asked["opt_func"] == 1


def test_without_data_or_model_there_is_no_learner_and_the_others_have_defaults(digits: DataLoaders) -> None:
    left_out = learner_needs(digits, epochs=1).findings["left_out"]
    assert left_out.pop("dls").endswith("missing 1 required positional argument: 'dls'")
    assert left_out.pop("model").endswith("missing 1 required positional argument: 'model'")
    assert left_out == {"loss_func": "cross_entropy", "opt_func": "SGD", "metrics": "none"}


def test_what_was_passed_is_what_stands_in_where_nothing_is_passed(colour: DataLoaders) -> None:
    found, data = learner_needs(colour, lr=0.1).findings, AllClasses.of(colour)
    learn = Learner(data.loaders(), data.network(), device="cpu", quiet=True)
    learn.fit(5, 0.1)
    assert found["train_loss"] == pytest.approx([row.train_loss for row in learn.recorder.rows])
    assert found["valid_loss"] == pytest.approx([row.valid_loss for row in learn.recorder.rows])


@pytest.mark.parametrize("data", ["digits", "colour"])
@pytest.mark.parametrize(("lr", "epochs"), [(0.1, 5), (0.37, 2)])
def test_the_loop_by_hand_and_learner_fit_end_with_the_same_bits(
    data: str, lr: float, epochs: int, request: pytest.FixtureRequest
) -> None:
    found = training_loop(request.getfixturevalue(data), lr=lr, epochs=epochs).findings
    assert found["same_bits"]
    assert found["loss_by_hand"] == found["loss_by_learner"]
    assert found["accuracy_by_hand"] == pytest.approx(found["accuracy_by_learner"])
    assert found["steps"] == len(found["loss_by_hand"]) > epochs - 1
    assert found["loss_by_hand"][-1] < found["loss_by_hand"][0]
