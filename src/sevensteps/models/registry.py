"""Networks by name: what a model folder may name, and what `--model` may name.

A network is built from its registered name, the shape of its input, its number of classes and a few plain
arguments. Only registered names are ever built, so a model folder cannot bring code along.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from ..errors import RequestError
from ..randomness import torch_seeded
from .layers import Normalize

Builder = Callable[..., nn.Module]
REGISTRY: dict[str, Builder] = {}


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build a network again: `input_shape` is (channels, height, width)."""

    name: str
    input_shape: tuple[int, ...]
    classes: int
    arguments: dict[str, int | float | str | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_shape", tuple(self.input_shape))  # JSON knows lists only

    def to_dict(self) -> dict[str, Any]:
        """As it stands in `config.json`."""
        return asdict(self) | {"input_shape": list(self.input_shape)}


class Shaped(Protocol):
    """What a network must know of the data: `DataLoaders` know it."""

    vocab: list[str] | None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input."""

    @property
    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of the inputs, one of each a channel."""


def register(builder: Builder) -> Builder:
    """Make `builder(input_shape, classes, **arguments) -> nn.Module` available under its own name.

    What comes back takes `DataLoaders`, whose training pictures also set its normalisation, or a shape and a number
    of classes: `convnet(dls)`, `convnet((1, 28, 28), 10)`; and a `seed` for its weights. Register a network of your
    own so that it can be saved to a model folder, and loaded by a program that has registered it too. Raises
    `RequestError` where another module has registered the name.
    """
    name = builder.__name__
    if name in REGISTRY and REGISTRY[name].__module__ != builder.__module__:
        raise RequestError(f"a network is called {name!r} already", hint="give your function another name")
    REGISTRY[name] = builder

    @functools.wraps(builder)
    def build(
        data: Shaped | Sequence[int], classes: int | None = None, *, seed: int = 0, **arguments: Any
    ) -> nn.Module:
        if classes is None:
            return for_data(name, data, seed=seed, **arguments)  # type: ignore[arg-type]
        return create(name, data, classes, seed=seed, **arguments)  # type: ignore[arg-type]

    return build


def for_data(name: str, dls: Shaped, *, seed: int = 0, **arguments: Any) -> nn.Module:
    """The registered network `name` in the shape of `dls`, normalising by its training pictures' figures.

    Raises `RequestError` for an unknown name, or data that know no class names.
    """
    if not getattr(dls, "vocab", None):
        raise RequestError(
            f"cannot build {name}: it needs data loaders with a vocab, or an input shape and a number of classes",
            hint=f"{name}(dls) with DataLoaders(…, vocab=[…]), or {name}((1, 28, 28), 10)",
        )
    model = create(name, dls.input_shape, len(dls.vocab or ()), seed=seed, **arguments)
    for module in model.modules():
        if isinstance(module, Normalize):
            module.set(*dls.statistics)
    return model


def create(name: str, input_shape: Sequence[int], classes: int, *, seed: int = 0, **arguments: Any) -> nn.Module:
    """The registered network `name`, its weights drawn by `seed`; `input_shape` is (channels, height, width).

    Raises `RequestError` for a name that is not registered, or arguments that the network does not take.
    """
    _register_the_house()

    if name not in REGISTRY:
        raise RequestError(f"no network is called {name!r}", hint=f"the networks are {', '.join(sorted(REGISTRY))}")
    shape = tuple(input_shape)
    if not shape or not all(type(size) is int and size > 0 for size in (*shape, classes)):
        raise RequestError(
            f"{name} for inputs of shape {shape} and {classes!r} classes",
            hint=f"expected whole numbers above 0, as in {name}((1, 28, 28), 10)",
        )
    builder = REGISTRY[name]
    accepted = list(inspect.signature(builder).parameters)[2:]
    strange = sorted(set(arguments) - set(accepted))
    if strange:
        raise RequestError(
            f"{name} takes no argument {strange[0]!r}",
            hint=f"its arguments are: {', '.join(accepted) or 'none'}",
        )
    for key, value in arguments.items():
        if is_of_the_house(name) and type(value) is int and value < 1:
            raise RequestError(f"{name} with {key} = {value}", hint="expected a whole number, 1 or more")
    with torch_seeded(seed, "weights"):
        model = builder(shape, classes, **arguments)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # on a CPU convolutions are twice as fast
    model.architecture = Architecture(name, shape, classes, arguments)  # type: ignore[assignment]
    return model


def names() -> list[str]:
    """The registered names, sorted."""
    _register_the_house()

    return sorted(REGISTRY)


def is_of_the_house(name: str) -> bool:
    """Whether `name` is one of sevensteps' own networks."""
    _register_the_house()

    return name in REGISTRY and REGISTRY[name].__module__.startswith(__name__.partition(".")[0] + ".")


def _register_the_house() -> None:
    from . import networks, pixel_similarity  # noqa: F401 - importing them registers them
