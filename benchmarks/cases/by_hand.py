"""The Learner against the same loop written by hand, by turns in one process: what does its comfort cost?

The same network, precision, pixels in memory and gather; by hand once with sevensteps' optimizer and once with torch's
fused one. The figures of a process are medians over its turns; its differences are to the first loop by hand.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import case
import networks
import torch
from sevensteps_callbacks import Timed, precision, precision_of
from torch.nn import functional as F

from sevensteps import SGD, AdamW, DataLoader, DataLoaders, Learner, mnist_loss

FUSED = {
    AdamW: lambda params, lr: torch.optim.AdamW(params, lr=lr, fused=True),
    SGD: lambda params, lr: torch.optim.SGD(params, lr=lr, fused=True),
}


def main() -> None:
    options = case.options()
    case.set_up(options)
    is_cnn, lr = options.network == "cnn", case.LR[options.network]
    inputs, targets, dls = cnn_data(options) if is_cnn else mlp_data(options)
    model, opt_func, loss_func = networks.mlp(), SGD, mnist_loss
    if is_cnn:
        model, opt_func, loss_func = networks.cnn(), AdamW, F.cross_entropy
    timed = Timed(case.Clock())
    learn = Learner(dls, model, loss_func=loss_func, opt_func=opt_func, cbs=timed, quiet=True, **precision(options))
    learn.fit(1, lr=lr)  # from now on its model lies in memory as the Learner wants it
    bf16 = precision_of(learn) == "bf16"
    loops = []
    for make in (opt_func, FUSED[opt_func]):
        twin = copy.deepcopy(learn.model)
        loops.append(by_hand(twin, make(twin.parameters(), lr=lr), loss_func, inputs, targets, bf16))
    seconds = {"by_hand": [], "by_hand_fused": []}
    for turn in range(1 + options.epochs):
        learn.fit(1, lr=lr)
        threads = torch.get_num_threads()
        torch.set_num_threads(timed.threads)  # by hand with as many as the Learner has just chosen
        for times, loop in zip(seconds.values(), loops, strict=True):
            loop_seconds, loss = loop()
            if turn:  # the first turn warms up
                times.append(loop_seconds)
        torch.set_num_threads(threads)
    steps = len(targets) // case.BATCH_SIZE
    figures = {"learner": statistics.median(timed.clock.epochs[2:]) / steps}
    figures |= {name: statistics.median(times) / steps for name, times in seconds.items()}
    figures["difference"] = figures["learner"] - figures["by_hand"]
    figures["percent"] = 100 * figures["difference"] / figures["by_hand"]
    losses = {"loss_before": learn.recorder.rows[0].train_loss, "loss_after": learn.recorder.rows[-1].train_loss}
    case.finish(figures, precision=precision_of(learn), threads=timed.threads, check=losses, loss_by_hand=loss)


def cnn_data(options: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor, DataLoaders]:
    x, y, valid_x, valid_y = case.arrays(options)
    few = valid_x[: case.BATCH_SIZE], valid_y[: case.BATCH_SIZE]
    dls = DataLoaders.from_arrays(x, y, valid=few, batch_size=case.BATCH_SIZE)
    return torch.from_numpy(x).unsqueeze(1), torch.from_numpy(y), dls


def mlp_data(options: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor, DataLoaders]:
    x, y, *_ = case.tensors(options)
    return x, y, DataLoaders(DataLoader(list(zip(x, y, strict=True)), case.BATCH_SIZE, shuffle=True))


def by_hand(
    model: torch.nn.Module,
    opt: object,
    loss_func: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    inputs: torch.Tensor,
    targets: torch.Tensor,
    bf16: bool,
) -> Callable[[], tuple[float, float]]:
    """What trains `model` for one epoch, and gives its seconds and its last loss."""

    def epoch() -> tuple[float, float]:
        model.train()
        begun = time.perf_counter()
        for indices in torch.randperm(len(inputs)).split(case.BATCH_SIZE):
            xb, yb = inputs.index_select(0, indices), targets.index_select(0, indices)
            if xb.dtype == torch.uint8:
                xb = xb.to(torch.float32) / 255
            if bf16:
                with torch.autocast("cpu", torch.bfloat16):
                    loss = loss_func(model(xb), yb)
            else:
                loss = loss_func(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
        return time.perf_counter() - begun, loss.item()

    return epoch


if __name__ == "__main__":
    main()
