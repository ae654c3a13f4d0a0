"""A model in a table: what each layer gives, and how many parameters it has."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .evaluating import evaluating
from .networks import count_parameters


def summary(model: nn.Module, xb: Tensor) -> str:
    """One line a layer that holds no other: its name, the shape of what it gives for `xb`, its parameters.

    >>> print(summary(nn.Sequential(nn.Linear(4, 2), nn.ReLU()), torch.zeros(5, 4)))
    layer       output      parameters
    0 Linear    5 × 2               10
    1 ReLU      5 × 2                0
    all                             10
    """
    rows: list[tuple[str, str, str]] = []

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            shape = " × ".join(map(str, output.shape)) if isinstance(output, Tensor) else type(output).__name__
            parameters = sum(parameter.numel() for parameter in module.parameters(recurse=False))
            rows.append((f"{name} {type(module).__name__}".strip(), shape, f"{parameters:,}"))

        return hook

    leaves = [(name, module) for name, module in model.named_modules() if not any(module.children())]
    hooks = [module.register_forward_hook(note(name)) for name, module in leaves]
    try:
        with evaluating(model), torch.no_grad():
            model(xb)
    finally:
        for hook in hooks:
            hook.remove()
    lines = [("layer", "output", "parameters"), *rows, ("all", "", f"{count_parameters(model):,}")]
    first, second = (max(len(line[i]) for line in lines) for i in (0, 1))
    return "\n".join(f"{a:<{first}}    {b:<{second}}    {c:>10}" for a, b, c in lines)
