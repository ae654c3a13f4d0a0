"""Where a gradient comes from: the graph that autograd has built from a loss back to the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

PREPARING = {"ToCopy", "T", "Permute", "Transpose", "View", "Expand", "Unsqueeze", "Clone"}  # of a weight, for its use


class Node(NamedTuple):
    """One operation's backward: its name as torch gives it, and the numbers of those that it hands gradients to.

    `parameter` is the name of the weight into which the last node of a path adds its gradient, else "".
    """

    name: str
    next: tuple[int, ...]
    parameter: str

    @property
    def label(self) -> str:
        """The weight, or the operation without the ending that all have: "Addmm" of AddmmBackward0."""
        return self.parameter or self.name.partition("Backward")[0]


def graph_of(loss: Tensor, parameters: Mapping[str, Tensor] | None = None) -> list[Node]:
    """All nodes from `loss.grad_fn` on, the loss's own first, each before those that it hands gradients to.

    `parameters` are the weights by name. Empty for a loss that has no gradient.

    >>> import torch
    >>> w = torch.ones(2, requires_grad=True)
    >>> for number, node in enumerate(graph_of((2 * w).sum(), {"w": w})): print(number, node.label, node.next)
    0 Sum (1,)
    1 Mul (2,)
    2 w ()
    """
    names = {id(tensor): name for name, tensor in (parameters or {}).items()}
    order: list[Any] = []
    seen: set[Any] = set()
    waiting = [(loss.grad_fn, False)] if loss.grad_fn is not None else []
    while waiting:  # depth first; a node is put in front once all that it leads to is there
        node, is_done = waiting.pop()
        if is_done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            waiting.append((node, True))
            waiting += [(below, False) for below, _ in node.next_functions if below is not None]
    order.reverse()
    numbers = {node: number for number, node in enumerate(order)}
    return [
        Node(
            node.name().rpartition("::")[2],
            tuple(numbers[below] for below, _ in node.next_functions if below is not None),
            names.get(id(getattr(node, "variable", None)), ""),
        )
        for node in order
    ]


class Operation(NamedTuple):
    """An operation and the weights that get their gradients from it; `follows` if the one before hands it its own."""

    name: str
    weights: list[str]
    follows: bool


def operations(graph: list[Node]) -> list[Operation]:
    """The graph for people, the loss first. What only prepares a weight (a cast, a transposition) is left out.

    >>> import torch
    >>> w = torch.ones(2, 3, requires_grad=True)
    >>> for it in operations(graph_of((torch.ones(5, 3) @ w.T).relu().mean(), {"w": w})): print(*it)
    Mean [] False
    Relu [] True
    Mm ['w'] True
    """

    def weight_behind(node: Node) -> str:
        while node.label in PREPARING and len(node.next) == 1:
            node = graph[node.next[0]]
        return node.parameter

    weights = [weight_behind(node) for node in graph]
    shown = [number for number, weight in enumerate(weights) if not weight]
    return [
        Operation(
            graph[number].label,
            [weights[below] for below in graph[number].next if weights[below]],
            before is not None and number in graph[before].next,
        )
        for before, number in zip([None, *shown], shown, strict=False)
    ]
