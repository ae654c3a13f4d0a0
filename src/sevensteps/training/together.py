"""Several processes that train one network: each takes its share of every batch, and all make the same step.

Start them with `torchrun`, and call `torch.distributed.init_process_group()` in each before `fit`; the `Learner` does
the rest. Pictures, steps and figures are those of one process: the gradient of the whole batch is the mean of the
shares' gradients. What a layer sees of a batch (batch norm's mean and spread) is its process's share. Each process
validates on all pictures, so the figures do not depend on how many there are; the first one prints, and writes
checkpoints.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from ..distributed import broadcast, rank, sum_over_ranks, world_size
from ..randomness import seed_for, seed_torch
from .callbacks import Callback


class Together(Callback):
    """Listens first of all; one process alone has none."""

    order: ClassVar[int] = -100

    def before_fit(self) -> None:
        """Begin with the weights of the first process."""
        for tensor in self.learn.model.state_dict().values():
            broadcast(tensor)

    def before_batch(self) -> None:
        """Take every so manieth picture. Who gets none takes the first one, and does not count."""
        learn = self.learn
        if learn.training:
            share = slice(rank(), None, world_size())
            self.weight = len(learn.yb[share]) / len(learn.yb)
            if not self.weight:
                share = slice(1)
            learn.xb, learn.yb = learn.xb[share], learn.yb[share]
            if rank():  # other pictures, other dropout
                seed_torch(seed_for(learn.seed, "model", learn.epoch, learn.step_in_epoch, rank()))

    def after_backward(self) -> None:
        """The gradients and the loss of the whole batch: one sum over all processes."""
        learn = self.learn
        with torch.no_grad():
            grads = [it.grad for it in learn.model.parameters() if it.grad is not None]  # the same ones in each process
            parts = [it.flatten().float() for it in (*grads, learn.loss.detach())]
            flat = torch.cat(parts)
            flat = sum_over_ranks(flat * self.weight if self.weight else torch.zeros_like(flat))
            for grad, total in zip(grads, flat.split([*map(len, parts)]), strict=False):
                grad.copy_(total.view(grad.shape))
            learn.loss = flat[-1]

    def before_validate(self) -> None:
        """Batch norm's memory is the first process's."""
        for tensor in self.learn.model.buffers():
            broadcast(tensor)


def together() -> list[Callback]:
    """The listener that several processes need; none in one."""
    return [Together()] if world_size() > 1 else []
