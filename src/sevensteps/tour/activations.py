"""Exhibits about activations: what stands between the linear layers, in which form, and what more of them buy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.dataloaders import DataLoaders
from ..insight.drawing import draw, panels, percentages, table
from ..models.networks import count_parameters
from ..randomness import torch_seeded
from ..training.metrics import accuracy
from ..training.optimizers import AdamW
from .classes import AllClasses, TwoClasses
from .exhibit import Between, Shown, exhibit, grad_of, refusal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# each with the gain of the random first weights that suit it (torch.nn.init.calculate_gain), and its style in figures
ACTIVATIONS: dict[str, tuple[nn.Module, float, str]] = {
    "none": (nn.Identity(), 1.0, "C7--"),
    "sigmoid": (nn.Sigmoid(), 1.0, "C0"),
    "tanh": (nn.Tanh(), 5 / 3, "C2"),
    "ReLU": (nn.ReLU(), 2**0.5, "C1"),
}


@exhibit(34, "What is ReLU? Draw a plot of it from -2 to +2.")
def relu(dls: DataLoaders, hidden: Annotated[int, Between(1, 200)] = 30) -> Shown:
    """max(0, x): every negative number becomes 0, the others stay. A rectified linear unit.

    Its slope is 0 below 0 and 1 above; at 0 it has none, and torch takes 0. Without it, or another function that is not
    linear, two linear layers are no more than one: their matrices multiply into a single matrix. With it between them
    the answer bends, and with enough bends a network comes as near as one likes to any continuous function of pixels.
    """
    x = torch.arange(-200, 201).div(100).requires_grad_()
    y: Any = F.relu(x)
    y.sum().backward()
    data = TwoClasses.of(dls)
    first, second = data.random(hidden, seed=3), torch.ones(hidden, 1, dtype=torch.float64)
    a, b = data.x[data.y == 1][0], data.x[data.y == 0][0]
    blend = torch.linspace(0, 1, 201, dtype=torch.float64)[:, None]
    between = a + blend * (b - a)  # from the one picture to the other
    straight = (between @ first @ second)[:, 0]
    bent, one_layer = (F.relu(between @ first) @ second)[:, 0], (between @ (first @ second))[:, 0]
    chords = [torch.lerp(curve[0], curve[-1], blend[:, 0]) for curve in (straight, bent)]  # from end to end
    findings = {
        "at_-2_-1_0_1_2": y[::100].tolist(), "slope_below": grad_of(x)[0].item(), "slope_above": grad_of(x)[-1].item(),
        "slope_at_0_in_torch": grad_of(x)[200].item(), "two_layers_less_one": (straight - one_layer).abs().max().item(),
        "bend_without": (straight - chords[0]).abs().max().item(), "bend_with": (bent - chords[1]).abs().max().item(),
        "hidden": hidden, "set_to_zero": ((data.x @ first) < 0).double().mean().item(),
    }  # fmt: skip
    return Shown(findings, _draw_relu(x.detach(), y.detach(), blend, straight, bent, data.names))


@exhibit(35, "What is an activation function?")
def activation(
    dls: DataLoaders, layers: Annotated[int, Between(2, 20)] = 10, steps: Annotated[int, Between(10, 200)] = 80
) -> Shown:
    """The function between two linear layers, which takes each number by itself and is not linear.

    Without it any number of linear layers is a single one: their matrices multiply into one. With it a network can
    learn what no linear one can, such as the class of pictures that may also come as negatives: a linear score turns
    round with the picture, so of one class at most half are right. Which function it is matters for depth. The slope of
    the sigmoid is 0.25 at most, so a gradient that passes many of them nearly vanishes; ReLU's is 1 where it is not 0.
    """
    data = TwoClasses.of(dls)
    features = data.x.shape[1]
    matrices = [data.random(features, seed=k) / features**0.5 for k in range(layers)]
    one_by_one = data.x
    for matrix in matrices:
        one_by_one = one_by_one @ matrix
    at_once = data.x @ torch.linalg.multi_dot(matrices)

    x = torch.linspace(-4, 4, 401, dtype=torch.float64, requires_grad=True)
    curves = {name: act(x) for name, (act, *_) in ACTIVATIONS.items()}
    slopes = {name: torch.autograd.grad(y.sum(), x)[0] for name, y in curves.items()}

    def gradients(act: nn.Module, gain: float) -> list[float]:
        inputs, out = [], data.x
        for matrix in matrices:
            inputs.append(out.requires_grad_())
            out = act(out @ matrix * gain)
        return [grad.norm().item() for grad in torch.autograd.grad(out.sum(), inputs)]

    pictures = torch.cat([data.x, -data.x]) * features**0.5  # and their negatives, of the same class
    targets = torch.cat([data.y, data.y])

    def learn(act: nn.Module) -> list[float]:
        with torch_seeded(0, "tour"):
            model = nn.Sequential(nn.Linear(features, 30), act, nn.Linear(30, 30), act, nn.Linear(30, 1)).double()
        opt, right = AdamW(model.parameters(), lr=0.01), []
        for _ in range(steps):
            scores = model(pictures)[:, 0]
            right.append(((scores > 0) == (targets == 1)).double().mean().item())
            opt.zero_grad()
            F.binary_cross_entropy_with_logits(scores, targets).backward()
            opt.step()
        return right

    share = data.y.mean().item()
    findings = {
        "layers": layers, "layers_less_one_matrix": ((one_by_one - at_once).norm() / at_once.norm()).item(),
        "steepest_slope": {name: slope.max().item() for name, slope in slopes.items()},
        "gradient_by_layer": {name: gradients(act, gain) for name, (act, gain, _) in ACTIVATIONS.items()},
        "accuracy_with_negatives": {name: learn(act) for name, (act, *_) in ACTIVATIONS.items()},
        "most_that_a_linear_one_gets_right": 1 - min(share, 1 - share) / 2, "classes": data.names,
    }  # fmt: skip
    return Shown(findings, _draw_activations(findings, x.detach(), curves, slopes))


@exhibit(36, "What is the difference between F.relu and nn.ReLU?")
def relu_twice(dls: DataLoaders, hidden: Annotated[int, Between(1, 200)] = 30) -> Shown:
    """`F.relu` is a function that you call; `nn.ReLU` is a class, whose objects are modules that call that function.

    The numbers are the same and so are the gradients, and neither has a parameter to learn. But a module has a place in
    the network: it can stand in `nn.Sequential`, which refuses a function; it is listed among the model's children and
    printed with it; and a hook can listen to what passes through it. A function is called where `forward` is written
    out. The class must be made an object before it is called: `nn.ReLU()(x)`; `nn.ReLU(x)` calculates nothing.
    """
    data = TwoClasses.of(dls)
    scores = (data.x @ data.random(hidden)).requires_grad_()
    results = F.relu(scores), nn.ReLU()(scores)
    grads = [torch.autograd.grad(result.square().sum(), scores)[0] for result in results]

    class Written(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(data.x.shape[1], hidden), nn.Linear(hidden, 1)

        def forward(self, x: Tensor) -> Any:
            return self.last(F.relu(self.first(x)))

    with torch_seeded(0, "tour"):
        written = Written().double()
    stacked = nn.Sequential(written.first, nn.ReLU(), written.last)  # of the same weights
    heard: list[Tensor] = []
    stacked[1].register_forward_hook(lambda module, inputs, output: heard.append(output.detach()))
    answers = [network(data.x).detach() for network in (written, stacked)]
    sequential, called = cast(Any, nn.Sequential), cast(Any, nn.ReLU)  # for misuse
    findings = {
        "same_numbers": torch.equal(*results), "same_gradients": torch.equal(*grads),
        "same_answers": torch.equal(*answers), "parameters": len(list(nn.ReLU().parameters())),
        "nn.Sequential(F.relu)": refusal(lambda: sequential(F.relu)), "F.relu(x) is a": type(F.relu(scores)).__name__,
        "nn.ReLU(x) is a": type(called(scores)).__name__,
        "children_with_F.relu": [type(child).__name__ for child in written.children()],
        "children_with_nn.ReLU": [type(child).__name__ for child in stacked.children()],
        "share_of_zeros_heard": (heard[0] == 0).double().mean(0).tolist(),
    }  # fmt: skip
    return Shown(findings, _draw_relus(findings, *answers))


@exhibit(37, "One nonlinearity is enough to approximate any function: why do we normally use more?")
def depth(
    dls: DataLoaders,
    folds: Annotated[int, Between(3, 8)] = 4,
    layers: Annotated[int, Between(2, 6)] = 3,
    width: Annotated[int, Between(2, 50)] = 16,
    epochs: Annotated[int, Between(1, 30)] = 15,
) -> Shown:
    """Because enough may be very many: what takes a deep network few units can take one layer exponentially many.

    One hidden layer, if it is wide enough, comes as near as one likes to any continuous function on a bounded region.
    That says neither how wide, nor whether training finds the weights. Two units, max(0, 2x) - max(0, 4x - 2), fold a
    line once, and each further layer of two folds it again: k layers, 6k + 1 parameters, make 2^k straight pieces. One
    layer of n units makes n + 1 at most: it takes about 2^k units, and cannot follow with as many parameters. So depth
    saves parameters where steps build on each other, which is also the experience with hard tasks and many pictures. It
    need not pay: on small pictures, with as many parameters, one layer may learn as much and sooner.
    """
    pieces = 2**folds
    x = torch.linspace(0, 1, 16 * pieces + 1, dtype=torch.float64)[:, None]
    deep = x
    for _ in range(folds):
        deep = F.relu(2 * deep) - F.relu(4 * deep - 2)
    bends = torch.tensor([pieces, *[-2 * pieces, 2 * pieces] * pieces][:pieces]).double()  # up, and then down, up, down
    wide = F.relu(x - torch.arange(pieces) / pieces) @ bends[:, None]
    units = torch.cat([F.relu(x - torch.arange(2 * folds) / (2 * folds)), torch.ones_like(x)], 1)
    small = units @ torch.linalg.lstsq(units, deep).solution  # one layer with 6k + 1 parameters, fitted

    data = AllClasses.of(dls)

    def train(hidden: list[int], seed: int) -> list[float]:
        learn = data.learner(data.network(*hidden, seed=seed), opt_func=AdamW, metrics=accuracy)
        learn.fit(epochs, 0.005)
        return [row.metrics["accuracy"] for row in learn.recorder.rows]

    narrow, classes = [width] * layers, len(data.names)
    one = [round((count_parameters(data.network(*narrow)) - classes) / (data.x.shape[1] + 1 + classes))]
    findings = {
        "pieces": pieces, "units": {"deep": 2 * folds, "one layer": pieces}, "same_function": torch.equal(deep, wide),
        "parameters": {"pieces": [2**k for k in range(1, 11)], "deep": [6 * k + 1 for k in range(1, 11)],
                       "one layer": [3 * 2**k + 1 for k in range(1, 11)]},
        "one_layer_with_as_many_parameters_errs_by": round((small - deep).abs().max().item(), 6),
        "on_pictures": {
            name: {"hidden": hidden, "parameters": count_parameters(data.network(*hidden)),
                   "valid_accuracy": [train(hidden, seed) for seed in range(3)]}
            for name, hidden in (("deep", narrow), ("one layer", one))
        },
    }  # fmt: skip
    return Shown(findings, _draw_depth(findings, x, deep, wide, small))


def _draw_relu(x: Tensor, y: Tensor, blend: Tensor, straight: Tensor, bent: Tensor, names: list[str]) -> Figure:
    figure, axes = panels(3, "ReLU: max(0, x), and what a network gets from it")
    draw(axes[0], "below 0 flat, above 0 with a slope of 1", "x", "max(0, x)", (x, y, "C0", ""))
    axes[0].set_xticks(range(-2, 3))
    percent, way, ends = 100 * blend[:, 0], f"from {names[0]} (0 %) to {names[1]} (100 %)", [0, -1]
    titles = ("two linear layers: a straight line", "with ReLU between them: it bends")
    for axis, title, curve in zip(axes[1:], titles, (straight, bent), strict=True):
        draw(axis, title, way, "score", (percent, curve, "C1", ""), (percent[ends], curve[ends], "C7:", ""))
    return figure


def _draw_activations(found: dict[str, Any], x: Tensor, curves: dict[str, Tensor], slopes: dict[str, Tensor]) -> Figure:
    figure, axes = panels(4, "An activation function bends what linear layers leave straight", size=(3.8, 3.6))
    names, layers = " or ".join(found["classes"]), range(1, found["layers"] + 1)
    learnt = {name: percentages(values) for name, values in found["accuracy_with_negatives"].items()}
    steps, limit = range(len(learnt["none"])), 100 * found["most_that_a_linear_one_gets_right"]
    contents: list[tuple[str, str, str, Any, dict[str, Any]]] = [
        ("the functions", "x", "f(x)", x, {name: curve.detach() for name, curve in curves.items()}),
        ("their slopes: the sigmoid's is 0.25 at most", "x", "slope", x, slopes),
        ("on its way back through sigmoids\nthe gradient vanishes", "layer, from the pictures on",
         "length of the gradient before it", layers, found["gradient_by_layer"]),
        (f"{names}, in pictures\nand negatives: only what bends learns it", "steps done",
         "% right of the training pictures", steps, learnt),
    ]  # fmt: skip
    for axis, (title, across, up, at, values) in zip(axes, contents, strict=True):
        draw(axis, title, across, up, *((at, values[name], style, name) for name, (*_, style) in ACTIVATIONS.items()))
    axes[0].set_ylim(-2, 4)
    axes[2].set_yscale("log")
    axes[3].axhline(limit, color="black", linestyle=":", label="a linear one's limit")
    axes[3].set_ylim(0, 105)
    axes[3].legend(fontsize=8, loc="lower right")
    return figure


def _draw_relus(found: dict[str, Any], by_function: Tensor, by_module: Tensor) -> Figure:
    figure, axes = panels(
        3, "F.relu and nn.ReLU(): one calculation, but only the module is a part of the network", size=(4.6, 3.6)
    )
    with_f, with_nn = ("yes" if "ReLU" in found[f"children_with_{name}"] else "no" for name in ("F.relu", "nn.ReLU"))
    rows = [
        ("", "F.relu", "nn.ReLU()"),
        ("it is a", "function", "module"),
        ("called with x it gives", "max(0, x)", "max(0, x)"),
        ("parameters", "none", str(found["parameters"] or "none")),
        ("in nn.Sequential", "TypeError" if found["nn.Sequential(F.relu)"] else "accepted", "accepted"),
        ("among the children", with_f, with_nn),
        ("a hook can listen", with_f, with_nn),
    ]
    table(axes[0], "what differs is where it stands", rows, (0.44, 0.28, 0.28))
    draw(axes[1], "two networks with the same weights\ngive the same answers", "score, F.relu in forward",
         "score, nn.ReLU() in Sequential", (by_function, by_module, "C0.", "a picture"))  # fmt: skip
    units = sorted(found["share_of_zeros_heard"])
    axes[2].bar(range(1, len(units) + 1), percentages(units))
    draw(axes[2], "what a hook on the module heard", "hidden unit, sorted", "% of the pictures for which it gives 0")
    return figure


def _draw_depth(found: dict[str, Any], x: Tensor, deep: Tensor, wide: Tensor, small: Tensor) -> Figure:
    figure, axes = panels(
        3, "Depth can save exponentially many units; whether it does depends on the task", size=(4.6, 3.8)
    )
    pieces, units, parameters = found["pieces"], found["units"], found["parameters"]
    every = slice(None, None, 4)
    draw(axes[0], f"{pieces} pieces: a layer with as many parameters cannot follow", "x", "f(x)",
         (x, deep, "C0", f"{units['deep'] // 2} layers of 2 units"),
         (x[every], wide[every], "C7.", f"1 layer of {pieces} units"),
         (x, small, "C1", f"1 layer of {units['deep']} units, fitted"))  # fmt: skip
    axes[0].set_ylim(-0.05, 1.5)
    draw(axes[1], "parameters that so many pieces take", "straight pieces", "parameters",
         (parameters["pieces"], parameters["one layer"], "C1o-", "one layer"),
         (parameters["pieces"], parameters["deep"], "C0o-", "layers of 2 units"))  # fmt: skip
    axes[1].set(xscale="log", yscale="log")
    for (name, one), style in zip(found["on_pictures"].items(), ("C0", "C1"), strict=True):
        label = f"{name}: {' → '.join(map(str, one['hidden']))} units, {one['parameters']:,} parameters"
        for run in one["valid_accuracy"]:
            axes[2].plot(range(1, len(run) + 1), percentages(run), style, label=label)
            label = ""
    draw(axes[2], "these pictures, equal parameters, three runs each", "epoch",
         "% right of the validation pictures")  # fmt: skip
    axes[2].set_ylim(0, 105)
    axes[2].legend(fontsize=8, loc="lower right")
    axes[2].locator_params(axis="x", integer=True)
    return figure
