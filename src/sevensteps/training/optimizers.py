"""Optimizers: how a gradient changes the weights. Each is held equal to torch's by a test, and uses its fused kernels.

An `opt_func` is anything that makes an optimizer from parameters and a learning rate: `BasicOptim`, `SGD`,
`AdamW`, `torch.optim.Adam`, `functools.partial(SGD, momentum=0.9)`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..errors import RequestError
from .checks import check_lr

OptFunc = Callable[..., Any]


class BasicOptim:
    """weights -= gradient × lr, as chapter 4 writes it: "Creating an Optimizer"."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        if isinstance(params, Tensor) or not (params := list(params)):
            raise RequestError(
                "an optimizer needs a list of tensors to change", hint="give model.parameters(), or [w, b]"
            )
        self.params, self.lr = params, check_lr(lr)
        self.state: dict[Tensor, tuple[Tensor, ...]] = {}  # what the steps so far have left behind, of each weight
        self.uniform = len({(p.device, p.dtype) for p in params}) == 1

    def step(self) -> None:
        """Change the weights in place; those without a gradient stay."""
        for p, grad in zip(*self.reached(), strict=True):
            p.data -= grad.data * self.lr

    def reached(self) -> tuple[list[Tensor], list[Any]]:
        """The weights that have a gradient, and their gradients."""
        params = [p for p in self.params if p.grad is not None]
        return params, [p.grad for p in params]

    def alike(self, known: Collection[Tensor] | None) -> Iterator[tuple[list[Tensor], list[Any]]]:
        """`reached`, in groups that one kernel takes: of one device and type, and all or none of them in `known`."""
        params, grads = self.reached()
        if self.uniform and (not known or len(known) == len(params)):  # as ever, but for weights that are reached late
            yield from [(params, grads)] if params else []
            return
        groups: dict[Any, tuple[list[Tensor], list[Any]]] = {}
        for p, grad in zip(params, grads, strict=True):
            group = groups.setdefault((p.device, p.dtype, known is None or p in known), ([], []))
            group[0].append(p)
            group[1].append(grad)
        yield from groups.values()

    def zero_grad(self) -> None:
        """Forget the gradients: `backward` would add to them."""
        for p in self.params:
            p.grad = None


class SGD(BasicOptim):
    """Stochastic gradient descent, with momentum and weight decay where they are not 0; all weights at once.

    grad ← grad + weight_decay × weights; average ← momentum × average + grad; weights ← weights - lr × average.
    As `torch.optim.SGD` (its documentation gives the same formula).
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        super().__init__(params, lr)
        self.momentum, self.weight_decay = momentum, weight_decay  # `state` has the average

    @torch.no_grad()
    def step(self) -> None:
        """Change the weights in place; those without a gradient stay."""
        for params, grads in self.alike(self.state if self.momentum else None):
            first = bool(self.momentum) and params[0] not in self.state
            if first:
                self.state.update((p, (torch.empty_like(p),)) for p in params)
            torch._fused_sgd_(
                params, grads, [self.state[p][0] for p in params] if self.momentum else [],
                lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay,
                dampening=0.0, nesterov=False, maximize=False, is_first_step=first,
            )  # fmt: skip


class AdamW(BasicOptim):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2), as `torch.optim.AdamW`.

    Weights of one dimension (biases, batch norms) decay too, as in torch.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr)
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        # `state` has the averages of gradients and of squares, and the number of steps

    @torch.no_grad()
    def step(self) -> None:
        """Change the weights in place; those without a gradient stay."""
        for params, grads in self.alike(self.state):
            if params[0] not in self.state:  # they begin together, and count their steps together
                count = torch.zeros((), device=params[0].device)
                self.state.update((p, (torch.zeros_like(p), torch.zeros_like(p), count)) for p in params)
            averages, squares, counts = (list(column) for column in zip(*[self.state[p] for p in params], strict=True))
            for count in set(counts):
                count += 1
            torch._fused_adamw_(
                params, grads, averages, squares, [], counts,
                lr=self.lr, beta1=self.betas[0], beta2=self.betas[1], weight_decay=self.weight_decay, eps=self.eps,
                amsgrad=False, maximize=False,
            )  # fmt: skip


def make_optimizer(opt_func: OptFunc, params: Iterable[Tensor], lr: float) -> Any:
    """`opt_func(params, lr=lr)`. Groups of parameters that have learning rates of their own keep the proportion.

    Raises `RequestError` for an optimizer whose step needs to compute the loss itself.
    """
    opt = opt_func(params, lr=lr)
    if type(opt).__name__ == "LBFGS":
        raise RequestError(
            "LBFGS computes the loss several times a step, which the seven steps do not", hint="take SGD, AdamW, Adam …"
        )
    for group in getattr(opt, "param_groups", ()):
        group["lr_scale"] = group["lr"] / lr
    return opt


def set_lr(opt: Any, lr: float) -> None:
    """Give an optimizer of ours, or one of torch's, another learning rate."""
    if not hasattr(opt, "param_groups"):
        opt.lr = lr
        return
    for group in opt.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
