"""What an exhibit is: a question, and a function that answers it by showing.

The function's docstring is the answer, its parameters are the controls, its source is the proof, and the findings
that it returns are held true by a test. Its first parameter is the data: `dls`, with pictures in memory.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from ..data.dataloaders import DataLoaders
from ..data.pictures import PictureSet
from ..errors import RequestError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Shown(NamedTuple):
    """What an exhibit found, by name and fit for JSON, and the figure that shows it."""

    findings: dict[str, Any]
    figure: Figure | None = None


class Between(NamedTuple):
    """The range of a control, ends included: `steps: Annotated[int, Between(1, 500)] = 100`."""

    low: float
    high: float


Which = Annotated[int, Between(0, float("inf"))]  # a picture by its number


@dataclass(frozen=True)
class Control:
    """A parameter of an exhibit that may be turned: an int or float in a range, or one of some `choices`."""

    name: str
    default: Any
    kind: type
    range: Between | None = None
    choices: tuple[str, ...] = ()

    def check(self, value: Any) -> Any:
        """`value` itself. Raises `RequestError` for another type, or a value out of range."""
        kinds = (int, float) if self.kind is float else (self.kind,)
        if type(value) not in kinds or (self.choices and value not in self.choices):
            fits = False
        else:
            fits = self.range is None or self.range.low <= value <= self.range.high
        if not fits:
            raise RequestError(f"{self.name} is {value!r}", hint=f"expected {self.fitting}")
        return value

    @property
    def fitting(self) -> str:
        """What it may be: "a whole number from 1 to 9", "'l1' or 'rmse'"."""
        if self.choices:
            return " or ".join(map(repr, self.choices))
        number = "a number" if self.kind is float else "a whole number"
        if self.range is None:
            return number
        low, high = self.range
        return f"{number} from {low:g}" + ("" if high == float("inf") else f" to {high:g}")


@dataclass(frozen=True)
class Exhibit:
    """One question of the tour; `EXHIBITS` holds them all by their numbers in chapter 4's questionnaire."""

    number: int
    question: str
    function: Callable[..., Shown]

    @property
    def name(self) -> str:
        """What its files are called: "14_seven_steps"."""
        return f"{self.number:02d}_{self.function.__name__}"

    @property
    def answer(self) -> str:
        """The docstring."""
        return inspect.getdoc(self.function) or ""

    @property
    def source(self) -> str:
        """The function as it stands in its file."""
        return inspect.getsource(self.function)

    @property
    def code(self) -> str:
        """The source without its decorator and docstring: what is left for people who have read the answer."""
        source = textwrap.dedent(self.source)
        function = ast.parse(source).body[0]
        assert isinstance(function, ast.FunctionDef)
        first, lines = function.body[0], source.splitlines()
        shown = [*lines[function.lineno - 1 : first.lineno - 1], *lines[first.end_lineno :]]
        return "\n".join(line.removesuffix("  # fmt: skip") for line in shown)

    @property
    def controls(self) -> dict[str, Control]:
        """The parameters besides the data, by name."""
        hints = get_type_hints(self.function, include_extras=True)
        parameters = list(inspect.signature(self.function).parameters.values())[1:]
        return {p.name: _control(p.name, p.default, hints[p.name]) for p in parameters}

    @property
    def in_python(self) -> str:
        """How its controls are turned: lines to try."""
        name, turned = self.function.__name__, [f"{it.name}={it.default!r}" for it in self.controls.values()]
        return (
            f"from sevensteps import DataLoaders\nfrom {self.function.__module__} import {name}\n\n"
            f"shown = {name}({', '.join(['DataLoaders.from_source()', *turned])})\n"
            f'shown.figure.savefig("{name}.png")'
        )

    def run(self, dls: DataLoaders, **controls: Any) -> Shown:
        """Show it on these pictures. Raises `RequestError` for an unknown control, or a value that does not fit."""
        known = self.controls
        for name, value in controls.items():
            if name not in known:
                hint = f"it has {', '.join(known)}" if known else "it has none"
                raise RequestError(f"exhibit {self.number} has no control {name!r}", hint=hint)
            known[name].check(value)
        return self.function(dls, **controls)


EXHIBITS: dict[int, Exhibit] = {}


def exhibit(number: int, question: str) -> Callable[[Callable[..., Shown]], Callable[..., Shown]]:
    """Put the function below into the tour under this number; the function itself stays as it is."""

    def put(function: Callable[..., Shown]) -> Callable[..., Shown]:
        assert number not in EXHIBITS, f"two exhibits have the number {number}"
        EXHIBITS[number] = Exhibit(number, question, function)
        return function

    return put


def collection_of(dls: DataLoaders, split: str) -> PictureSet:
    """The pictures of a split. Raises `RequestError` where there are none in memory with named classes."""
    collection = getattr(dls.splits.get(split), "collection", None)
    if not isinstance(collection, PictureSet) or not dls.vocab:
        raise RequestError(
            f"the tour found no pictures in memory in the split {split!r}",
            hint="make the data with DataLoaders.from_folder, or from_arrays with uint8 pictures",
        )
    return collection


def pictures(dls: DataLoaders, split: str = "train", most_values: int | None = None) -> tuple[Tensor, Tensor]:
    """The pixels (uint8, N×C×H×W) and labels (int64, N) of a split, evenly thinned out to `most_values` pixel values.

    Raises `RequestError` where the data are no pictures in memory with named classes.
    """
    collection = collection_of(dls, split)
    values = len(collection) * collection.store[0].numel()
    every = max(1, -(-values // most_values)) if most_values else 1
    thinned = torch.arange(0, len(collection), every)
    return collection.pixels_of(thinned), collection.labels[thinned]


def pick(pixels: Tensor, number: int) -> Tensor:
    """One picture by its number from 0. Raises `RequestError` where there is none of that number."""
    if not 0 <= number < len(pixels):
        raise RequestError(f"there is no picture {number}", hint=f"expected 0 to {len(pixels) - 1}")
    return pixels[number]


def _control(name: str, default: Any, hint: Any) -> Control:
    if get_origin(hint) is Literal:
        return Control(name, default, str, choices=get_args(hint))
    kind, *notes = get_args(hint) or (hint,)
    return Control(name, default, kind, next((note for note in notes if isinstance(note, Between)), None))


def grad_of(weights: Tensor) -> Tensor:
    """The gradient that `backward` has left."""
    assert weights.grad is not None
    return weights.grad


def refusal(action: Callable[[], Any]) -> str:
    """What torch says when it refuses to do this, in one line; nothing where it does it."""
    try:
        action()
    except (RuntimeError, TypeError) as error:
        return str(error).partition("\n")[0].partition(". ")[0]
    return ""
