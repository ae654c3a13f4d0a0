"""One training step of sevensteps' Learner, as its README writes it."""

import copy

import case
import networks
import torch
from loaders import batches
from sevensteps_callbacks import Timed, precision, precision_of

from sevensteps import SGD, AdamW, DataLoader, DataLoaders, Learner, mnist_loss


def main() -> None:
    options = case.options()
    case.set_up(options)
    is_cnn = options.network == "cnn"
    x, y, valid_x, valid_y = case.tensors(options)
    if is_cnn:
        pixels, labels, *_ = case.arrays(options)
        few = valid_x[: case.BATCH_SIZE], valid_y[: case.BATCH_SIZE]  # validating is not timed
        dls = DataLoaders.from_arrays(pixels, labels, valid=(_bytes(few[0]), few[1]), batch_size=case.BATCH_SIZE)
        model, loss_func, opt_func = networks.cnn(), None, AdamW
    else:
        dls = DataLoaders(DataLoader(list(zip(x, y, strict=True)), case.BATCH_SIZE, shuffle=True))
        model, loss_func, opt_func = networks.mlp(), mnist_loss, SGD
    untrained, valid = copy.deepcopy(model), batches(valid_x, valid_y)
    timed, warm_up = Timed(case.Clock()), case.warm_up_epochs(options.network)
    learn = Learner(dls, model, loss_func=loss_func, opt_func=opt_func, cbs=timed, quiet=True, **precision(options))
    learn.fit(warm_up + options.epochs, lr=case.LR[options.network])
    step = timed.clock.seconds_per_step(len(dls.train), warm_up)
    check = case.learned(case.evaluate(untrained, valid), case.evaluate(learn.model, valid))
    case.finish({"step": step}, precision=precision_of(learn), threads=timed.threads, check=check)


def _bytes(xb: torch.Tensor) -> torch.Tensor:
    return (xb * 255).round().to(torch.uint8)


if __name__ == "__main__":
    main()
