"""Chapter 4's names: each does what the chapter needs of it, and the chapter's figures come out."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import sevensteps
from notebook_cells import code_cells, display, run_cells, without_set_up
from sevensteps import fastbook
from sevensteps.errors import DataError, RequestError
from sevensteps.fastbook import (
    SGD,
    DataLoader,
    DataLoaders,
    ImageDataLoaders,
    L,
    Learner,
    URLs,
    accuracy,
    cnn_learner,
    first,
    gv,
    plot_function,
    resnet18,
    show_image,
    tensor,
    to_np,
    untar_data,
    vision_learner,
)


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No window, no figure, no folder and no random number is left behind."""
    plt.switch_backend("Agg")
    monkeypatch.setattr(Path, "BASE_PATH", None, raising=False)
    with matplotlib.rc_context(), torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        yield
    plt.close("all")


# -- the names --------------------------------------------------------------------------------------------------------


def test_the_star_import_gives_the_names_of_the_chapter_and_no_others() -> None:
    names: dict[str, Any] = {}
    exec("from sevensteps.fastbook import *", names)
    assert set(names) - {"__builtins__"} == set(fastbook.__all__)
    assert sorted(fastbook.__all__) == sorted(set(fastbook.__all__))


def test_every_name_that_the_chapter_uses_is_offered() -> None:
    tools = "L Path URLs array first gv math matplotlib np partial pd plt string torch nn F Image tensor to_np"
    training = "SGD BasicOptim DataLoader DataLoaders Learner ImageDataLoaders cnn_learner vision_learner resnet18"
    others = "untar_data show_image plot_function accuracy error_rate"
    assert set(f"{tools} {training} {others}".split()) == set(fastbook.__all__)


def test_the_names_of_the_house_are_the_house_s_own() -> None:
    for name in ("SGD", "BasicOptim", "DataLoader", "DataLoaders", "Learner", "accuracy", "error_rate"):
        assert getattr(fastbook, name) is getattr(sevensteps, name)


@pytest.mark.parametrize("package", ["graphviz", "pandas", "jinja2", "fastcore.foundation"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert fastbook.__file__
    spec = importlib.util.spec_from_file_location("sevensteps.without_the_extra", fastbook.__file__)
    assert spec
    assert spec.loader
    with pytest.raises(RequestError, match=rf"need {package}, (?s:.*)pip install \"sevensteps\[fastbook\]\""):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.mark.slow
def test_it_works_where_there_is_no_screen(tmp_path: Path) -> None:
    code = "from sevensteps.fastbook import *; plot_function(F.relu); plt.savefig('relu.png')"
    hidden = {"DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, env=environment, check=True)
    with Image.open(tmp_path / "relu.png") as drawn:
        assert drawn.size == (600, 400)


# -- data -------------------------------------------------------------------------------------------------------------


def test_untar_data_fetches_the_dataset_of_that_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fastbook, "fetch", lambda name: tmp_path / name)
    assert untar_data(URLs.MNIST_SAMPLE) == tmp_path / "mnist_sample"


def test_untar_data_names_the_datasets_that_it_knows() -> None:
    with pytest.raises(DataError, match=r"no dataset is called 'mnist_simple'(?s:.*)mnist_sample"):
        untar_data("mnist_simple")


def test_a_path_lists_itself_and_shows_itself_from_the_base_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b.png", "a.png"):
        (tmp_path / "train").mkdir(exist_ok=True)
        (tmp_path / "train" / name).touch()
    monkeypatch.setattr(Path, "BASE_PATH", tmp_path)
    listed = (tmp_path / "train").ls()  # type: ignore[attr-defined]
    assert isinstance(listed, L)
    assert repr(listed.sorted()) == "[Path('train/a.png'), Path('train/b.png')]"


def test_l_is_a_list_that_picks_by_several_indices_and_takes_the_nth_of_each() -> None:
    letters = L(enumerate("abc"))
    assert list(letters[0, 2]) == [(0, "a"), (2, "c")]
    assert list(letters.itemgot(1)) == ["a", "b", "c"]


def test_first_gives_the_first_batch() -> None:
    assert first(DataLoader(range(15), batch_size=5)).tolist() == [0, 1, 2, 3, 4]


def test_numbered_letters_come_in_shuffled_batches_of_numbers_with_their_letters() -> None:
    batches = list(DataLoader(L(enumerate("abcdefgh")), batch_size=3, shuffle=True))
    pairs = [pair for numbers, letters in batches for pair in zip(numbers.tolist(), letters, strict=True)]
    assert sorted(pairs) == list(enumerate("abcdefgh"))
    assert pairs != sorted(pairs)


# -- tensors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (tensor(3.0), torch.tensor(3.0)),
        (tensor([1, 2]), torch.tensor([1, 2])),
        (tensor(1, 2, 3), torch.tensor([1, 2, 3])),
        (tensor((0.5, 1)), torch.tensor([0.5, 1.0])),
        (tensor(True), torch.tensor(True)),
        (tensor(np.float64(0.5)), torch.tensor(0.5)),
        (tensor(np.arange(3.0)), torch.tensor([0.0, 1.0, 2.0])),
        (tensor(np.arange(3)), torch.tensor([0, 1, 2])),
        (tensor(np.array([7], np.uint16)), torch.tensor([7.0])),
        (tensor(torch.zeros(2, dtype=torch.float64)), torch.zeros(2)),
        (tensor(pd.DataFrame({"a": [1, 2]})), torch.tensor([[1], [2]])),
        (tensor(Image.fromarray(np.full((2, 3), 9, np.uint8))), torch.full((2, 3), 9, dtype=torch.uint8)),
    ],
)
def test_a_tensor_is_made_of_whatever_holds_numbers(made: Tensor, expected: Tensor) -> None:
    assert made.dtype == expected.dtype
    assert torch.equal(made, expected)


def test_a_tensor_stays_the_tensor_that_it_is() -> None:
    x = torch.ones(2)
    assert tensor(x) is x


def test_a_tensor_of_an_array_has_its_own_memory() -> None:
    array = np.zeros(2, np.float32)
    made = tensor(array)
    array[0] = 1
    assert made.tolist() == [0, 0]


def test_no_tensor_is_made_of_words() -> None:
    with pytest.raises(RequestError, match=r"no tensor can be made of <U5 values(?s:.*)expected numbers"):
        tensor(np.array(["seven"]))


def test_to_np_takes_the_numbers_of_a_tensor_that_has_a_gradient() -> None:
    weights = tensor([1.0, 2.0]).requires_grad_()
    assert to_np(weights * 2).tolist() == [2, 4]
    assert [part.tolist() for part in to_np((weights, weights))] == [[1, 2], [1, 2]]


def test_a_part_of_the_weights_can_be_changed_by_hand_with_a_warning() -> None:
    weights = torch.ones(3, 1).requires_grad_()
    with pytest.warns(UserWarning, match=r"with torch\.no_grad\(\):"):
        weights[0] *= 3
    assert weights.tolist() == [[3], [1], [1]]
    assert weights.is_leaf
    (weights**2).sum().backward()
    assert weights.grad is not None
    assert weights.grad.tolist() == [[6], [2], [2]]


def test_all_else_that_torch_refuses_stays_refused() -> None:
    weights = torch.ones(3).requires_grad_()
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        weights *= 3
    with pytest.raises(RuntimeError, match="a view of a leaf"):
        weights[0] += 1
    with pytest.raises(RuntimeError, match="size"):
        torch.ones(3)[:2] *= torch.ones(3)
    assert weights.tolist() == [1, 1, 1]


def test_what_torch_allows_in_place_still_has_its_gradient() -> None:
    x = torch.ones(2).requires_grad_()
    y = x + 0
    y[0] *= 5
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [5, 1]


# -- figures ----------------------------------------------------------------------------------------------------------


def test_show_image_draws_a_grey_picture_with_the_colour_map_that_is_set() -> None:
    matplotlib.rc("image", cmap="Greys")
    axis = show_image(torch.arange(6).view(2, 3), title="six")
    assert axis.images[0].get_array().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert axis.images[0].get_cmap().name == "Greys"
    assert axis.get_title() == "six"
    assert not axis.axison


@pytest.mark.parametrize(
    ("picture", "drawn"),
    [
        (torch.zeros(1, 5, 7), (5, 7)),
        (torch.zeros(3, 5, 7).requires_grad_(), (5, 7, 3)),
        (np.zeros((5, 7, 3)), (5, 7, 3)),
        (np.zeros((5, 7, 1)), (5, 7)),
        (Image.new("RGB", (7, 5)), (5, 7, 3)),
    ],
)
def test_show_image_draws_tensors_arrays_and_pictures_of_any_layout(picture: Any, drawn: tuple[int, ...]) -> None:
    assert show_image(picture).images[0].get_array().shape == drawn


def test_show_image_draws_on_the_axis_and_with_the_options_that_are_given() -> None:
    axis = plt.subplots()[1]
    assert show_image(torch.zeros(2, 2), axis, cmap="viridis") is axis
    assert axis.images[0].get_cmap().name == "viridis"


def test_plot_function_draws_the_curve_between_its_ends_with_its_words() -> None:
    plot_function(torch.sigmoid, "x", "y", title="Sigmoid", min=-4, max=4)
    axis = plt.gca()
    x, y = axis.lines[0].get_data()
    assert (min(x), max(x)) == (-4, 4)
    assert np.allclose(y, 1 / (1 + np.exp(-np.asarray(x))))
    assert (axis.get_xlabel(), axis.get_ylabel(), axis.get_title()) == ("x", "y", "Sigmoid")


def test_gv_gives_a_graph_from_left_to_right() -> None:
    assert gv("a->b[label=again]").source == "digraph G { rankdir=LR; a->b[label=again] }\n"


def test_a_graph_shows_its_text_where_the_program_that_draws_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    shown = gv("a->b")._repr_mimebundle_()
    assert list(shown) == ["text/plain"]
    assert "a->b" in shown["text/plain"]
    assert "install Graphviz" in shown["text/plain"]


def test_a_graph_is_a_drawing_where_the_program_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dot = tmp_path / "dot"
    dot.write_text("#!/bin/sh\necho '<svg/>'\n")
    dot.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert gv("a->b")._repr_mimebundle_()["image/svg+xml"].strip() == "<svg/>"


# -- learners ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def dots(tmp_path: Path) -> Path:
    """Two classes of ten pictures for training and four for validation: dark and light."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 10), ("valid", 4)):
        for label, level in (("dark", 40), ("light", 200)):
            folder = tmp_path / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(level - 30, level + 30, (12, 12)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path


def test_image_data_loaders_have_batches_of_64_or_of_bs(dots: Path) -> None:
    assert ImageDataLoaders.from_folder(dots).train.batch_size == 64  # type: ignore[attr-defined]
    dls = ImageDataLoaders.from_folder(dots, bs=5)
    xb, yb = first(dls.train)
    assert tuple(xb.shape) == (5, 1, 12, 12)
    assert tuple(yb.shape) == (5,)
    assert dls.vocab == ["dark", "light"]


def test_a_vision_learner_has_the_network_in_the_shape_of_the_pictures(dots: Path) -> None:
    learn = vision_learner(ImageDataLoaders.from_folder(dots), resnet18, metrics=accuracy, quiet=True)
    learn.fit_one_cycle(1, 0.1)
    train_loss, valid_loss, score = learn.recorder.values[-1]
    assert train_loss > 0
    assert valid_loss is not None
    assert score in {n / 8 for n in range(9)}


def test_the_seed_of_a_vision_learner_draws_its_weights(dots: Path) -> None:
    dls = ImageDataLoaders.from_folder(dots)
    one, same, other = (next(vision_learner(dls, resnet18, seed=seed).model.parameters()) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_vision_learner_takes_another_optimizer(dots: Path) -> None:
    learn = vision_learner(ImageDataLoaders.from_folder(dots), resnet18, opt_func=torch.optim.Adam, quiet=True)
    learn.fit(1, 1e-3)
    assert isinstance(learn.opt, torch.optim.Adam)


def test_pretrained_weights_are_refused_with_what_to_do() -> None:
    dls = DataLoaders([])
    with pytest.raises(RequestError, match=r"no pretrained weights for resnet18(?s:.*)pass pretrained=False"):
        cnn_learner(dls, resnet18, pretrained=True)


# -- the chapter, in our own words ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(mnist_sample: Path) -> SimpleNamespace:
    """The chapter's tensors: pictures 0 to 1 by split and class, and flat loaders with 1 for a three, 0 for a seven."""
    stacks = {
        (split, label): torch.stack(
            [tensor(Image.open(file)) for file in (mnist_sample / split / label).ls().sorted()]  # type: ignore[attr-defined]
        ).float()
        / 255
        for split in ("train", "valid")
        for label in "37"
    }

    def loader(split: str) -> DataLoader:
        x = torch.cat([stacks[split, "3"], stacks[split, "7"]]).view(-1, 28 * 28)
        y = tensor([1] * len(stacks[split, "3"]) + [0] * len(stacks[split, "7"])).unsqueeze(1)
        return DataLoader(list(zip(x, y, strict=True)), batch_size=256)

    return SimpleNamespace(stacks=stacks, dls=DataLoaders(loader("train"), loader("valid")))


def right(scores: Tensor, targets: Tensor) -> Tensor:
    return ((scores.sigmoid() > 0.5) == targets).float().mean()


def test_a_table_of_pixels_is_shown_as_coloured_html(digits: SimpleNamespace) -> None:
    table = pd.DataFrame(digits.stacks["train", "3"][1][4:15, 4:22]).style.background_gradient("Greys")
    assert "background-color" in display(table)


def test_pixel_similarity_gives_the_chapter_s_figures(digits: SimpleNamespace) -> None:
    mean3, mean7 = digits.stacks["train", "3"].mean(0), digits.stacks["train", "7"].mean(0)

    def nearer_to_3(pictures: Tensor) -> Tensor:
        to_3, to_7 = ((pictures - mean).abs().mean((-1, -2)) for mean in (mean3, mean7))
        return (to_3 < to_7).float()

    on_3s = nearer_to_3(digits.stacks["valid", "3"]).mean().item()
    on_7s = 1 - nearer_to_3(digits.stacks["valid", "7"]).mean().item()
    assert [round(score, 4) for score in (on_3s, on_7s, (on_3s + on_7s) / 2)] == [0.9168, 0.9854, 0.9511]


def test_a_function_of_two_tensors_is_trained_by_a_learner_as_by_hand(digits: SimpleNamespace) -> None:
    weights, bias = torch.randn(28 * 28, 1).requires_grad_(), torch.randn(1).requires_grad_()
    by_hand = [weights.detach().clone().requires_grad_(), bias.detach().clone().requires_grad_()]

    def one_layer(xb: Tensor) -> Tensor:
        return xb @ weights + bias

    learn = Learner(
        digits.dls, one_layer, opt_func=SGD, loss_func=sevensteps.mnist_loss, metrics=right, device="cpu", quiet=True
    )
    learn.fit(10, lr=1.0)
    for _ in range(10):
        for xb, yb in digits.dls.train:
            sevensteps.mnist_loss(xb @ by_hand[0] + by_hand[1], yb).backward()
            for p in by_hand:
                assert p.grad is not None
                p.data -= p.grad
                p.grad = None
    assert learn.recorder.values[-1][2] >= 0.95  # type: ignore[operator]
    assert torch.allclose(weights, by_hand[0], atol=1e-5)
    assert torch.allclose(bias, by_hand[1], atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_a_linear_model_reaches_096_in_10_epochs(digits: SimpleNamespace, seed: int) -> None:
    torch.manual_seed(seed)
    learn = Learner(
        digits.dls, nn.Linear(28 * 28, 1), opt_func=SGD, loss_func=sevensteps.mnist_loss, metrics=right, quiet=True
    )
    learn.fit(10, lr=1.0)
    assert learn.recorder.values[-1][2] >= 0.96  # type: ignore[operator]


def test_a_network_of_30_units_reaches_098_in_40_epochs(digits: SimpleNamespace) -> None:
    network = nn.Sequential(nn.Linear(28 * 28, 30), nn.ReLU(), nn.Linear(30, 1))
    learn = Learner(digits.dls, network, opt_func=SGD, loss_func=sevensteps.mnist_loss, metrics=right, quiet=True)
    learn.fit(40, 0.1)
    scores = L(learn.recorder.values).itemgot(2)
    assert len(scores) == 40
    assert scores[-1] >= 0.98


# -- the notebook itself ----------------------------------------------------------------------------------------------


def written(folder: Path, *sources: str) -> Path:
    cells = [{"cell_type": "code", "source": source.splitlines(keepends=True)} for source in sources]
    path = folder / "small.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": ["# Words"]}, *cells]}))
    return path


def test_the_cells_of_a_notebook_run_in_one_namespace_and_show_their_last_value(tmp_path: Path) -> None:
    notebook = written(
        tmp_path,
        "!pip install -Uqq fastbook\nimport fastbook\nfastbook.setup_book()",
        "from fastai.vision.all import *\nfrom fastbook import *\nmatplotlib.rc('image', cmap='Greys')",
        "x = tensor(3.).requires_grad_(); x",
        "y = x**2\ny.backward()\nprint(x.grad)",
        "show_image(x.detach().view(1, 1)).images[0].get_cmap().name",
        "x.grad;",
        "",
    )
    names: dict[str, Any] = {}
    run_cells(["from sevensteps.fastbook import *"], names)
    ran = run_cells([without_set_up(source) for source in code_cells(notebook)], names)
    assert [cell.shown for cell in ran] == [None, None, "tensor(3., requires_grad=True)", None, "'Greys'", None]
    assert ran[3].printed == "tensor(6.)\n"
    assert not plt.get_fignums()


def test_a_cell_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(NameError) as raised:
        run_cells(code_cells(written(tmp_path, "x = 1", "undefined")), {})
    assert raised.value.__notes__ == ["in cell 2:\nundefined"]


@pytest.fixture
def notebook() -> Path:
    """The chapter's own notebook, which `SEVENSTEPS_NOTEBOOK` names."""
    named = os.environ.get("SEVENSTEPS_NOTEBOOK")
    if not named:
        pytest.skip(
            "the chapter's notebook is not part of this project: git clone https://github.com/fastai/fastbook, "
            "then set SEVENSTEPS_NOTEBOOK=fastbook/04_mnist_basics.ipynb"
        )
    return Path(named)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:a part of a tensor that requires a gradient:UserWarning")  # older editions
def test_the_chapter_s_notebook_runs_unchanged_and_gives_its_figures(
    notebook: Path, mnist_sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastbook, "fetch", lambda name: mnist_sample)
    names: dict[str, Any] = {}
    run_cells(["from sevensteps.fastbook import *"], names)
    ran = run_cells([without_set_up(source) for source in code_cells(notebook)], names)

    def cell(beginning: str) -> Any:
        return next(one for one in ran if beginning in one.source)

    figures = [round(figure.item(), 4) for figure in cell("accuracy_3s,accuracy_7s").value]
    assert figures == [0.9168, 0.9854, 0.9511]
    assert float(cell("learn.fit(10, lr=lr)").printed.splitlines()[-1].split()[3]) >= 0.96
    assert cell("learn.recorder.values[-1][2]").value >= 0.98
    assert names["learn"].recorder.values[-1][2] >= 0.99
