"""One training step of fastai's Learner.

tutorial: DataLoaders of `list(zip(x, y))` as chapter 4 of fastbook makes them. tuned: torch's DataLoader, whose batches
are fetched at once (fastai's "Pytorch to fastai details"), channels last, bfloat16, torch's fused optimizer.
"""

import copy
from functools import partial

import case
import networks
import torch
import torchvision_operators  # noqa: F401 - before fastai, which imports torchvision
from fastai.basics import SGD, Adam, DataLoader, DataLoaders, Learner, OptimWrapper
from fastai.callback.channelslast import ChannelsLast
from fastai.callback.progress import ProgressCallback
from fastai_callbacks import CpuBf16, Timed
from loaders import batches, loader
from torch.nn import functional as F


def main() -> None:
    options = case.options()
    case.set_up(options)
    is_cnn, tuned, bf16 = options.network == "cnn", options.variant == "tuned", options.precision == "bf16"
    x, y, valid_x, valid_y = case.tensors(options)
    few = valid_x[: case.BATCH_SIZE], valid_y[: case.BATCH_SIZE]  # fastai wants something to validate: not timed
    if tuned:
        dls = DataLoaders(loader(x, y, options), batches(*few))
    else:
        train = DataLoader(
            list(zip(x, y, strict=True)), batch_size=case.BATCH_SIZE, shuffle=True, num_workers=options.workers
        )
        dls = DataLoaders(train, DataLoader(list(zip(*few, strict=True)), batch_size=case.BATCH_SIZE))
    model = networks.cnn() if is_cnn else networks.mlp()
    opt_func = Adam if is_cnn else SGD
    if tuned:
        opt_func = partial(OptimWrapper, opt=torch.optim.AdamW if is_cnn else torch.optim.SGD, fused=True)
    untrained, valid = copy.deepcopy(model), batches(valid_x, valid_y)
    clock, warm_up = case.Clock(), case.warm_up_epochs(options.network)
    learn = Learner(dls, model, loss_func=F.cross_entropy if is_cnn else case.mnist_loss, opt_func=opt_func)
    learn.add_cbs([Timed(clock), *([ChannelsLast()] if tuned and is_cnn else []), *([CpuBf16()] if bf16 else [])])
    learn.remove_cb(ProgressCallback)
    with learn.no_logging():
        learn.fit(warm_up + options.epochs, lr=case.LR[options.network])
    step = clock.seconds_per_step(len(dls.train), warm_up)
    check = case.learned(case.evaluate(untrained, valid), case.evaluate(model, valid))
    case.finish({"step": step}, precision="bf16" if bf16 else "fp32", check=check)


if __name__ == "__main__":
    main()
