"""A plain function of tensors as a model, the way chapter 4 begins: `def linear1(xb): return xb@weights + bias`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch import Tensor, nn

from ..errors import RequestError


class FunctionModel(nn.Module):
    """Wraps a function `xb → preds`; its parameters are the tensors that it uses and that require a gradient.

    They are found among the function's globals and closure, and stay the caller's own tensors. Raises
    `RequestError` where there are none.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        if not callable(function) or isinstance(function, type):
            raise RequestError(
                f"the model is {function!r}", hint="expected an nn.Module (such as networks.convnet(dls)) or a function"
            )
        self.function = function
        self.tensors = trainable_tensors(function)
        if not self.tensors:
            raise RequestError(
                f"the function {getattr(function, '__name__', function)!r} uses no tensor that requires a gradient",
                hint="make its weights with requires_grad_(), or give Learner an nn.Module",
            )

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        """The function's tensors by the names that it uses."""
        return iter(self.tensors.items())

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """The function's tensors."""
        return iter(self.tensors.values())

    def forward(self, xb: Tensor) -> Tensor:
        """What the function says."""
        return self.function(xb)


def trainable_tensors(function: Callable[..., Any]) -> dict[str, Tensor]:
    """The tensors that require a gradient among what `function` uses, itself or through functions that it calls.

    Those in a list, a tuple, a dict or an `nn.Module` that it uses are found too.
    """
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    waiting: list[Any] = [function]
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen or not inspect.isfunction(current):
            continue
        seen.add(id(current))
        scope = inspect.getclosurevars(current)
        for name, value in _opened({**scope.globals, **scope.nonlocals}.items()):
            if isinstance(value, Tensor) and value.requires_grad and value.is_leaf:
                if not any(value is other for other in found.values()):
                    found[name if name not in found else f"{name} {len(found)}"] = value
            elif inspect.isfunction(value):
                waiting.append(value)
    return found


def _opened(named: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    for name, value in named:
        if isinstance(value, nn.Module):
            yield from ((f"{name}.{inner}", parameter) for inner, parameter in value.named_parameters())
        elif isinstance(value, dict):
            yield from ((f"{name}.{key}", item) for key, item in value.items())
        elif isinstance(value, list | tuple):
            yield from ((f"{name}.{index}", item) for index, item in enumerate(value))
        else:
            yield name, value
