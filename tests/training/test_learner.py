from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from sevensteps import SGD, AdamW, Callback, DataLoader, DataLoaders, Learner, accuracy, mse, networks
from sevensteps.data.samples import digits
from sevensteps.errors import ModelFolderError, RequestError
from sevensteps.training.callbacks import (
    EVENTS,
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelTrainException,
    CancelValidException,
)


def toy(n: int = 23, features: int = 6, classes: int = 3, seed: int = 0) -> list[tuple[Tensor, int]]:
    """Items (x, y) that can be learned."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, features, generator=draw)
    y = (x @ torch.randn(features, classes, generator=torch.Generator().manual_seed(99))).argmax(1)
    return list(zip(x, y.tolist(), strict=True))


def loaders(n: int = 23, n_valid: int = 11, batch_size: int = 5) -> DataLoaders:
    valid = DataLoader(toy(n_valid, seed=1), batch_size) if n_valid else None
    return DataLoaders(DataLoader(toy(n), batch_size, shuffle=True), valid)


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(6, 3)


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def learner(**options: Any) -> Learner:
    options = {"dls": loaders(), "model": linear(), "quiet": True, "device": "cpu", **options}
    return Learner(options.pop("dls"), options.pop("model"), **options)


def weights(model: nn.Module) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in model.state_dict().values()]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


# -- the seven steps --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [linear, mlp])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_it_gives_the_same_weights_as_a_page_of_plain_pytorch(make: Callable[[], nn.Module], momentum: float) -> None:
    dls = loaders()
    learn = learner(dls=dls, model=make(), opt_func=functools.partial(SGD, momentum=momentum), seed=3)
    learn.fit(4, 0.1)

    model = make()
    opt = torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum, fused=True)
    items = toy()
    for epoch in (1, 2, 3, 4):
        order = dls.train.order(seed=3, epoch=epoch).tolist()  # type: ignore[attr-defined]
        for start in range(0, len(order), 5):
            batch = [items[i] for i in order[start : start + 5]]
            xb, yb = torch.stack([x for x, _ in batch]), torch.tensor([y for _, y in batch])
            loss = F.cross_entropy(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
    assert same(weights(learn.model), weights(model))


def test_it_learns() -> None:
    learn = learner(dls=loaders(300, 100, 16), metrics=accuracy)
    learn.fit(10, 0.5)
    assert learn.validate()[1] > 0.9


def test_a_second_learner_gives_the_same_and_the_callers_random_numbers_stay() -> None:
    def run(seed: int) -> list[Tensor]:
        model = nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.5), nn.Linear(16, 3))
        for number, parameter in enumerate(model.parameters()):
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(number))
        learn = learner(model=model, seed=seed, metrics=accuracy)
        torch.manual_seed(int(torch.randint(1000, ())))  # whatever the caller did
        before = torch.get_rng_state()
        learn.fit(2, 0.1)
        learn.validate()
        learn.get_preds()
        learn.summary()
        assert torch.equal(torch.get_rng_state(), before)
        return weights(model)

    assert same(run(1), run(1))
    assert not same(run(1), run(2))


def test_each_step_draws_its_own_dropout() -> None:
    masks = []

    class Masks(Callback):
        def after_pred(self) -> None:
            if self.learn.training:
                masks.append(tuple(self.learn.preds.detach().flatten().ne(0).tolist()))

    model = nn.Sequential(nn.Linear(6, 60), nn.Dropout(0.5))
    learner(model=model, loss_func=lambda preds, yb: preds.mean(), cbs=Masks(), dls=loaders(25, 0)).fit(2)
    assert len(set(masks)) == 10


def test_without_a_valid_set_it_trains_all_the_same() -> None:
    learn = learner(dls=loaders(n_valid=0), metrics=accuracy)
    learn.fit(2)
    assert [row.valid_loss for row in learn.recorder.rows] == [None, None]
    assert learn.recorder.rows[0].metrics == {}


def test_fit_goes_on_where_it_stopped_with_the_next_epochs_order() -> None:
    together, apart = learner(opt_func=AdamW), learner(opt_func=AdamW)
    together.fit(3, 0.01)
    apart.fit(1, 0.01)
    apart.fit(2, 0.01)
    assert same(weights(together.model), weights(apart.model))


def test_a_torch_loader_trains_and_is_shuffled_anew_in_each_epoch_and_fit() -> None:
    seen: list[list[float]] = []

    class Seen(Callback):
        def before_epoch(self) -> None:
            seen.append([])

        def after_batch(self) -> None:
            if self.learn.training:
                seen[-1] += self.learn.xb[:, 0].tolist()

    def run() -> list[Tensor]:
        train = torch.utils.data.DataLoader(toy(), batch_size=5, shuffle=True)  # type: ignore[arg-type]
        valid = torch.utils.data.DataLoader(toy(11), batch_size=5)  # type: ignore[arg-type]
        learn = learner(dls=DataLoaders(train, valid), cbs=Seen())
        before = torch.get_rng_state()
        learn.fit(2, 0.1)
        learn.fit(1, 0.1)
        learn.validate()
        learn.get_preds()
        assert torch.equal(torch.get_rng_state(), before)
        return weights(learn.model)

    assert same(run(), run())
    first, second, third, *again = seen
    assert len({tuple(first), tuple(second), tuple(third)}) == 3
    assert sorted(first) == sorted(second) == sorted(third)
    assert again == [first, second, third]


def test_a_plain_list_of_batches_is_a_loader() -> None:
    batches = [(torch.randn(4, 6), torch.tensor([0, 1, 2, 0]))] * 3
    learn = learner(dls=DataLoaders(batches, batches), metrics=accuracy)
    learn.fit(2)
    assert len(learn.recorder.losses) == 6


# -- what may be given ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "opt_func",
    [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, functools.partial(torch.optim.RMSprop, momentum=0.5)],
)
def test_torchs_optimizers_work_as_they_are(opt_func: Any) -> None:
    learn = learner(dls=loaders(200, 50, 10), opt_func=opt_func, metrics=accuracy)
    learn.fit_one_cycle(4, 0.05)
    assert learn.recorder.values[-1][0] < learn.recorder.values[0][0]  # type: ignore[operator]
    assert learn.opt.param_groups[0]["lr"] == learn.lr < 0.05


@pytest.mark.parametrize(
    "loss_func", [F.cross_entropy, nn.CrossEntropyLoss(), nn.CrossEntropyLoss(label_smoothing=0.1)]
)
def test_torchs_losses_work_as_they_are(loss_func: Any) -> None:
    learn = learner(loss_func=loss_func)
    learn.fit(2, 0.1)
    assert math.isfinite(learn.validate()[0])


def test_a_torchmetrics_metric_works_as_it_is_and_equals_ours() -> None:
    learn = learner(metrics=[accuracy, MulticlassAccuracy(3, average="micro")])
    learn.fit(2, 0.1)
    assert list(learn.recorder.rows[0].metrics) == ["accuracy", "MulticlassAccuracy"]
    for row in learn.recorder.rows:
        ours, torchs = row.metrics.values()
        assert ours == pytest.approx(torchs, abs=1e-6)


def test_two_metrics_of_one_name_both_stand_in_the_table() -> None:
    learn = learner(metrics=[lambda preds, yb: 1.0, lambda preds, yb: 2.0])
    learn.fit(1)
    assert learn.recorder.values[0][2:] == [1.0, 2.0]


def test_a_plain_function_is_a_model() -> None:
    w = torch.zeros(6, 3).requires_grad_()
    b = torch.zeros(3).requires_grad_()

    def linear1(xb: Tensor) -> Tensor:
        return xb @ w + b

    learn = Learner(loaders(200, 50), linear1, metrics=accuracy, quiet=True)
    learn.fit(5, 0.5)
    assert learn.validate()[1] > 0.8
    assert w.abs().sum() > 0  # they are the caller's own tensors
    assert "21" in learn.summary()


def test_several_callbacks_are_told_in_their_order() -> None:
    told = []

    class Late(Callback):
        order = 5

        def before_fit(self) -> None:
            told.append("late")

    class Early(Callback):
        order = -5

        def before_fit(self) -> None:
            told.append("early")

    class Plain(Callback):
        def before_fit(self) -> None:
            told.append("plain")

    learner(cbs=(callback for callback in (Late(), Plain()))).fit(1, cbs=Early())
    assert told == ["early", "plain", "late"]


# -- events -----------------------------------------------------------------------------------------------------------


class Diary(Callback):
    """Writes down every event; raises at some of them."""

    order = 30

    def __init__(self, raising: dict[str, type[Exception]] | None = None, training: bool | None = None) -> None:
        self.told: list[str] = []
        self.raising, self.training = raising or {}, training


def _listens(event: str) -> Callable[[Diary], None]:
    def listen(self: Diary) -> None:
        self.told.append(event)
        if event in self.raising and self.training in (None, self.learn.training):
            raise self.raising[event]

    return listen


for _event in EVENTS:
    setattr(Diary, _event, _listens(_event))

TRAINED = ["before_batch", "after_pred", "after_loss", "before_backward", "after_backward", "before_step", "after_step",
           "after_batch"]  # fmt: skip
WATCHED = ["before_batch", "after_pred", "after_loss", "after_batch"]


def told(raising: dict[str, type[Exception]] | None = None, epochs: int = 1, training: bool | None = None) -> list[str]:
    diary = Diary(raising, training)
    learn = learner(dls=loaders(4, 2, 2), cbs=diary, metrics=accuracy)
    learn.fit(epochs)
    assert [name for name in learn.recorder.lrs if not name] == []
    assert len(learn.recorder.losses) == len(learn.recorder.lrs)
    return diary.told


def test_all_events_come_in_the_order_that_the_drawing_shows() -> None:
    epoch = ["before_epoch", "before_train", *TRAINED, *TRAINED, "after_train",
             "before_validate", *WATCHED, "after_validate", "after_epoch"]  # fmt: skip
    assert told(epochs=2) == ["before_fit", *epoch, *epoch, "after_fit"]


def test_a_cancelled_batch_leaves_out_the_rest_of_it() -> None:
    cut = ["before_batch", "after_pred", "after_cancel_batch", "after_batch"]
    assert told({"after_pred": CancelBatchException}) == [
        "before_fit", "before_epoch", "before_train", *cut, *cut, "after_train",
        "before_validate", *cut, "after_validate", "after_epoch", "after_fit",
    ]  # fmt: skip


def test_a_cancelled_train_goes_on_to_validate() -> None:
    assert told({"after_loss": CancelTrainException}, training=True) == [
        "before_fit", "before_epoch", "before_train", "before_batch", "after_pred", "after_loss", "after_cancel_train",
        "after_train", "before_validate", *WATCHED, "after_validate", "after_epoch", "after_fit",
    ]  # fmt: skip


def test_a_cancelled_validation_still_ends_the_epoch() -> None:
    assert told({"before_batch": CancelValidException}, training=False) == [
        "before_fit", "before_epoch", "before_train", *TRAINED, *TRAINED, "after_train", "before_validate",
        "before_batch", "after_cancel_validate", "after_validate", "after_epoch", "after_fit",
    ]  # fmt: skip


def test_a_cancelled_epoch_goes_on_to_the_next() -> None:
    epoch = ["before_epoch", "before_train", "before_batch", "after_cancel_epoch", "after_epoch"]
    assert told({"before_batch": CancelEpochException}, epochs=2) == ["before_fit", *epoch, *epoch, "after_fit"]


def test_a_cancelled_fit_ends_here() -> None:
    assert told({"before_step": CancelFitException}, epochs=3) == [
        "before_fit", "before_epoch", "before_train", *TRAINED[:6], "after_cancel_fit", "after_fit",
    ]  # fmt: skip


def test_any_other_exception_is_the_callers() -> None:
    with pytest.raises(ZeroDivisionError):
        told({"after_loss": ZeroDivisionError})


def test_a_cancelled_step_leaves_the_weights_as_they_are() -> None:
    learn = learner(cbs=Diary({"before_step": CancelBatchException}))
    before = weights(learn.model)
    learn.fit(2, 0.5)
    assert same(weights(learn.model), before)


def test_a_batch_that_is_cancelled_before_its_loss_does_not_count() -> None:
    class Skip(Callback):
        def before_batch(self) -> None:
            if self.learn.yb[0] == 0:
                raise CancelBatchException

    def plain(batches: list[tuple[Tensor, Tensor]]) -> float:
        kept = [(xb, yb) for xb, yb in batches if yb[0] != 0]
        right = sum(int((model(xb).argmax(1) == yb).sum()) for xb, yb in kept)
        return right / sum(len(yb) for _, yb in kept)

    model = linear()
    dls = loaders(23, 40, 5)
    learn = learner(dls=dls, model=model, metrics=accuracy, cbs=Skip())
    assert learn.validate()[1] == pytest.approx(plain(list(dls.valid)))  # type: ignore[arg-type]
    learn.fit(1)
    skipped = sum(int(yb[0] == 0) for _, yb in dls.train.batches(seed=0, epoch=1))  # type: ignore[attr-defined, union-attr]
    assert skipped > 0
    assert len(learn.recorder.losses) == 5 - skipped


def test_between_steps_everything_lies_open() -> None:
    class Look(Callback):
        def after_backward(self) -> None:
            learn = self.learn
            assert learn.xb.shape == (len(learn.yb), 6)
            torch.testing.assert_close(learn.preds, learn.model(learn.xb))
            torch.testing.assert_close(learn.loss, F.cross_entropy(learn.preds, learn.yb))
            assert all(parameter.grad is not None for parameter in learn.model.parameters())
            assert learn.training
            assert learn.model.training
            self.looked = True

    look = Look()
    learner(cbs=look).fit(1)
    assert look.looked


def test_a_listener_may_validate_and_predict_without_disturbing_the_training() -> None:
    class Curious(Callback):
        def after_step(self) -> None:
            learn = self.learn
            before = learn.xb, learn.yb, learn.preds, learn.pictures
            learn.get_preds()
            assert before == (learn.xb, learn.yb, learn.preds, learn.pictures)
            if learn.step_in_epoch == 1:
                learn.validate()
            assert learn.training
            assert learn.model.training

    def run(*cbs: Callback) -> tuple[list[Tensor], list[list[float | None]], list[str]]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3))
        diary = Diary()
        learn = learner(model=model, metrics=accuracy)
        learn.fit(2, 0.1, cbs=[*cbs, diary])
        return weights(model), learn.recorder.values, diary.told

    plain, curious = run(), run(Curious())
    assert same(plain[0], curious[0])
    assert plain[1] == curious[1]
    assert plain[2] == curious[2]


# -- figures ----------------------------------------------------------------------------------------------------------


def test_the_train_loss_is_the_mean_over_the_epochs_pictures_also_with_a_short_last_batch() -> None:
    sums = []

    class Sum(Callback):
        def after_batch(self) -> None:
            if self.learn.training:
                sums.append((self.learn.loss.item() * len(self.learn.yb), len(self.learn.yb)))

    learn = learner(cbs=Sum())
    learn.fit(1, 0.1)
    assert [n for _, n in sums] == [5, 5, 5, 5, 3]
    assert learn.recorder.rows[0].train_loss == pytest.approx(sum(total for total, _ in sums) / 23, rel=1e-6)


def test_metrics_are_weighted_by_pictures() -> None:
    learn = learner(metrics=[accuracy])
    preds, targets = learn.get_preds()
    loss, metric = learn.validate()
    assert metric == pytest.approx(accuracy(preds, targets).item(), abs=1e-6)  # 11 pictures in batches of 5, 5 and 1
    assert loss == pytest.approx(F.cross_entropy(preds, targets).item(), rel=1e-5)


def test_the_table_has_a_row_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    learn = learner(metrics=accuracy, quiet=False)
    learn.fit(2, 0.1)
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["epoch", "train_loss", "valid_loss", "accuracy", "time"]
    assert len(rows) == 2
    assert rows[1].split() == ["2", *(f"{value:.6f}" for value in learn.recorder.values[1]), "00:00"]


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    learner(metrics=accuracy).fit(1)
    assert capsys.readouterr() == ("", "")


def test_values_are_train_loss_valid_loss_and_metrics() -> None:
    learn = learner(metrics=[accuracy])
    learn.fit(3, 0.1)
    assert [len(row) for row in learn.recorder.values] == [3, 3, 3]
    assert learn.recorder.values[-1][1:] == pytest.approx(learn.validate())


def test_fit_one_cycle_follows_the_schedule() -> None:
    learn = learner()
    learn.fit_one_cycle(4, 0.1)
    lrs = learn.recorder.lrs
    assert len(lrs) == 20
    assert lrs[0] == pytest.approx(0.1 / 25)
    assert max(lrs) == lrs[5] == pytest.approx(0.1)
    assert lrs[-1] < 0.002


def test_validate_changes_no_weight_and_takes_any_loader() -> None:
    learn = learner(metrics=accuracy)
    before = weights(learn.model)
    assert learn.validate(DataLoader(toy(50, seed=4), 7)) != learn.validate()
    assert same(weights(learn.model), before)
    assert learn.model.training  # as it was


def test_get_preds_gives_scores_and_targets_in_the_order_of_the_data() -> None:
    learn = learner()
    preds, targets = learn.get_preds()
    x, y = torch.stack([x for x, _ in toy(11, seed=1)]), [y for _, y in toy(11, seed=1)]
    torch.testing.assert_close(preds, learn.model(x).detach())
    assert targets.tolist() == y
    assert not preds.requires_grad


# -- save, load, predict, summary -------------------------------------------------------------------------------------


@pytest.fixture
def digit_learner() -> Learner:
    pixels, labels, vocab = digits()
    names = np.array(vocab)[labels]
    dls = DataLoaders.from_arrays(pixels[:200], names[:200], valid=(pixels[200:250], names[200:250]))
    return Learner(dls, networks.linear(dls), metrics=accuracy, lr=0.1, quiet=True, device="cpu")


def test_a_saved_learner_is_loaded_into_another(digit_learner: Learner, tmp_path: Path) -> None:
    digit_learner.fit(2)
    folder = digit_learner.save(tmp_path / "model")
    other = Learner(digit_learner.dls, networks.linear(digit_learner.dls, seed=5), quiet=True, device="cpu")
    assert not torch.equal(other.get_preds()[0], digit_learner.get_preds()[0])
    assert other.load(folder) is other
    assert torch.equal(other.get_preds()[0], digit_learner.get_preds()[0])


def test_save_never_writes_over_a_folder_unless_asked(digit_learner: Learner, tmp_path: Path) -> None:
    digit_learner.save(tmp_path / "model")
    with pytest.raises(RequestError, match=r"exists already[\s\S]*overwrite=True"):
        digit_learner.save(tmp_path / "model")
    digit_learner.save(tmp_path / "model", overwrite=True)


def test_load_refuses_another_network_and_another_thing(digit_learner: Learner, tmp_path: Path) -> None:
    other = Learner(digit_learner.dls, networks.simple_net(digit_learner.dls), quiet=True, device="cpu")
    with pytest.raises(RequestError, match="holds another network"):
        other.load(digit_learner.save(tmp_path / "model"))
    with pytest.raises(ModelFolderError):
        other.load(tmp_path / "nothing")


def test_predict_answers_with_a_class_name(digit_learner: Learner) -> None:
    digit_learner.fit(3)
    prediction = digit_learner.predict(digits()[0][0, 0])
    assert prediction.class_name == "0"
    assert list(prediction.probabilities) == list("0123456789")


def test_summary_lists_the_layers_and_leaves_the_order_of_the_pictures(digit_learner: Learner) -> None:
    other = copy.deepcopy(digit_learner)
    assert digit_learner.summary().splitlines()[-1].split() == ["all", "650"]
    digit_learner.fit(1)
    other.fit(1)
    assert same(weights(digit_learner.model), weights(other.model))


# -- what makes no sense ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epochs", [0, -1, 1.5, True, "3"])
def test_a_number_of_epochs_that_makes_no_sense_is_refused(epochs: Any) -> None:
    with pytest.raises(RequestError, match=r"the number of epochs is .*[\s\S]*1 or more"):
        learner().fit(epochs)


@pytest.mark.parametrize("lr", [0, -0.1, math.nan, math.inf])
def test_a_learning_rate_that_makes_no_sense_is_refused(lr: float) -> None:
    with pytest.raises(RequestError, match="the learning rate is"):
        learner().fit(1, lr)
    with pytest.raises(RequestError, match="the learning rate is"):
        learner(lr=lr)


def test_no_valid_set_to_validate_on_is_refused() -> None:
    for what in (learner(dls=loaders(n_valid=0)).validate, learner(dls=loaders(n_valid=0)).get_preds):
        with pytest.raises(RequestError, match=r"there is no validation set[\s\S]*name a loader"):
            what()


def test_an_empty_loader_is_refused() -> None:
    with pytest.raises(RequestError, match="the training loader has no batch"):
        learner(dls=DataLoaders(DataLoader([]))).fit(1)
    with pytest.raises(RequestError, match="the training loader has no batch"):
        learner(dls=DataLoaders(DataLoader(toy(3), 5, drop_last=True))).fit(1)
    with pytest.raises(RequestError, match="no batch to predict"):
        learner().get_preds(DataLoader([]))
    with pytest.raises(RequestError, match="no batch to validate on"):
        learner().validate(DataLoader([]))


def test_a_loader_without_a_length_is_refused() -> None:
    with pytest.raises(RequestError, match=r"a generator, has no length[\s\S]*a list of batches"):
        learner(dls=DataLoaders(batch for batch in ())).fit(1)


@pytest.mark.parametrize(
    "items", [[1.0, 2.0], [(torch.zeros(6), 0, 1)], [(torch.zeros(6), "cat")], [{"x": 1.0}]], ids=str
)
def test_a_batch_that_is_no_pair_of_tensors_is_refused(items: list[Any]) -> None:
    with pytest.raises(RequestError, match=r"is no pair of tensors[\s\S]*\(input, target\)"):
        learner(dls=DataLoaders(DataLoader(items))).fit(1)


def test_a_callback_class_in_place_of_a_callback_is_refused() -> None:
    with pytest.raises(RequestError, match="is no callback"):
        learner(cbs=Diary)


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(RequestError, match="no device is called 'gpu'"):
        learner(device="gpu")


def test_data_without_class_names_cannot_be_predicted_or_saved(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="know no class names or no preprocessing"):
        learner().save(tmp_path / "model")
    with pytest.raises(RequestError, match="know no class names or no preprocessing"):
        learner().predict(np.zeros((4, 4), np.uint8))


def test_a_loss_that_would_broadcast_is_refused() -> None:
    with pytest.raises(RequestError, match="expected one shape"):
        learner(loss_func=mse).fit(1)


def test_groups_of_parameters_with_learning_rates_of_their_own_keep_the_proportion() -> None:
    def groups(params: Any, lr: float) -> torch.optim.Optimizer:
        weight, bias = params
        return torch.optim.SGD([{"params": [weight], "lr": lr / 100}, {"params": [bias]}], lr=lr)

    learn = learner(opt_func=groups)
    learn.fit(1, lr=0.1)
    assert [group["lr"] for group in learn.opt.param_groups] == pytest.approx([0.001, 0.1])


def test_an_optimizer_that_needs_a_closure_is_told_so() -> None:
    with pytest.raises(RequestError, match="LBFGS computes the loss several times a step"):
        learner(opt_func=torch.optim.LBFGS).fit(1)


def test_looking_at_the_training_set_keeps_its_order_and_does_not_augment() -> None:
    def spoil(xb: Tensor, generator: torch.Generator) -> Tensor:
        return xb * 0

    data = toy()
    learn = learner(dls=DataLoaders(DataLoader(data, 5, shuffle=True, augment=spoil), DataLoader(data, 5)))
    preds, targets = learn.get_preds(learn.dls.train)
    assert targets.tolist() == [y for _, y in data]
    assert torch.equal(preds, learn.get_preds(learn.dls.valid)[0])


def test_validating_another_loader_in_the_middle_of_a_fit_leaves_its_figures_alone() -> None:
    class LookAtTest(Callback):
        def after_validate(self) -> None:
            if self.learn.epoch and not getattr(self, "busy", False):
                self.busy = True
                self.learn.validate(DataLoader(toy(40, seed=5), 7))
                self.busy = False

    plain, looking = learner(metrics=None), learner(metrics=None, cbs=LookAtTest())
    for one in (plain, looking):
        one.fit(2, lr=0.1)
    assert plain.recorder.values == looking.recorder.values


def test_frozen_parts_of_a_model_stay_frozen_after_a_look() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    learn = learner(model=model)
    model.train()
    model[1].eval()
    learn.get_preds()
    assert [module.training for module in model] == [True, False, True]


def test_weights_of_a_model_for_other_classes_are_not_taken(tmp_path: Path) -> None:
    pixels, labels, _ = digits()
    names = np.array(["even", "odd"])
    dls = DataLoaders.from_arrays(pixels[:60], names[labels[:60] % 2])
    Learner(dls, networks.linear(dls), quiet=True).save(tmp_path / "model")
    others = DataLoaders.from_arrays(pixels[:60], np.array(["a", "b"])[labels[:60] % 2])
    with pytest.raises(RequestError, match="has other classes than the data loaders"):
        Learner(others, networks.linear(others), quiet=True).load(tmp_path / "model")


def test_a_model_with_too_few_outputs_is_told_so() -> None:
    with pytest.raises(RequestError, match="outside the 2 scores that the model gives"):
        learner(model=nn.Linear(6, 2)).fit(1)


def test_a_collection_of_torchmetrics_gets_a_column_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    both = MetricCollection({"top": MulticlassAccuracy(3, average="micro"), "mean": MulticlassAccuracy(3)})
    learn = learner(metrics=[both, accuracy], quiet=False)
    learn.fit(1, lr=0.1)
    head, row = (line.split() for line in capsys.readouterr().out.splitlines())
    assert sorted(head[3:6]) == ["accuracy", "mean", "top"]
    assert len(row) == len(head)
    assert learn.recorder.rows[0].metrics["top"] == pytest.approx(learn.recorder.rows[0].metrics["accuracy"])
