"""Optimizers: how a gradient changes the weights. Each is held equal to torch's by a test.

An `opt_func` is anything that makes an optimizer from parameters and a learning rate: `BasicOptim`, `SGD`,
`AdamW`, `torch.optim.Adam`, `functools.partial(SGD, momentum=0.9)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
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

    def step(self) -> None:
        """Change the weights in place; those without a gradient stay."""
        for p, grad in zip(*self.reached(), strict=True):
            p.data -= grad.data * self.lr

    def reached(self) -> tuple[list[Tensor], list[Any]]:
        """The weights that have a gradient, and their gradients."""
        params = [p for p in self.params if p.grad is not None]
        return params, [p.grad for p in params]

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
        self.momentum, self.weight_decay = momentum, weight_decay
        self.averages: dict[Tensor, Tensor] = {}

    @torch.no_grad()
    def step(self) -> None:
        """Change the weights in place; those without a gradient stay."""
        params, grads = self.reached()
        if not params:
            return
        if self.weight_decay:
            grads = [*torch._foreach_add(grads, params, alpha=self.weight_decay)]
        if self.momentum:
            for p, grad in zip(params, grads, strict=True):
                average = self.averages.get(p)
                self.averages[p] = grad.clone() if average is None else average.mul_(self.momentum).add_(grad)
            grads = [self.averages[p] for p in params]
        torch._foreach_add_(params, grads, alpha=-self.lr)


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
        self.steps: dict[Tensor, int] = {}  # of each: one that gets its first gradient late begins late
        self.averages: dict[Tensor, tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def step(self) -> None:
        """Change the weights in place; those without a gradient stay."""
        params, grads = self.reached()
        if not params:
            return
        for p in params:
            if p not in self.averages:
                self.averages[p] = torch.zeros_like(p), torch.zeros_like(p)
            self.steps[p] = self.steps.get(p, 0) + 1
        means = [self.averages[p][0] for p in params]
        squares = [self.averages[p][1] for p in params]
        (beta1, beta2), steps = self.betas, [self.steps[p] for p in params]
        torch._foreach_mul_(params, 1 - self.lr * self.weight_decay)
        torch._foreach_lerp_(means, grads, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
        denominators = torch._foreach_sqrt(squares)
        torch._foreach_div_(denominators, [math.sqrt(1 - beta2**step) for step in steps])
        torch._foreach_add_(denominators, self.eps)
        torch._foreach_addcdiv_(params, means, denominators, [-self.lr / (1 - beta1**step) for step in steps])


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
