"""One training step of a plain PyTorch loop.

tutorial: PyTorch's quickstart. tuned: batches fetched at once, channels last, bfloat16 by autocast, the fused
optimizer. compiled: as tuned, and `torch.compile`.
"""

import copy

import case
import networks
import torch
from loaders import batches, loader
from torch.nn import functional as F


def main() -> None:
    options = case.options()
    case.set_up(options)
    x, y, valid_x, valid_y = case.tensors(options)
    is_cnn, tuned = options.network == "cnn", options.variant != "tutorial"
    model = networks.cnn() if is_cnn else networks.mlp()
    loss_func = F.cross_entropy if is_cnn else case.mnist_loss
    untrained, valid = copy.deepcopy(model), batches(valid_x, valid_y)
    channels_last = tuned and is_cnn
    if channels_last:
        model.to(memory_format=torch.channels_last)
    opt = (torch.optim.AdamW if is_cnn else torch.optim.SGD)(
        model.parameters(), lr=case.LR[options.network], fused=tuned or None
    )
    run = torch.compile(model) if options.variant == "compiled" else model
    train, clock, warm_up = loader(x, y, options), case.Clock(), case.warm_up_epochs(options.network)
    bf16 = options.precision == "bf16"
    for _ in range(warm_up + options.epochs):
        model.train()
        clock.start()
        for xb, yb in train:
            if channels_last:
                xb = xb.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = loss_func(run(xb), yb)
            loss.backward()
            opt.step()
            opt.zero_grad()
        clock.stop()
    step = clock.seconds_per_step(len(train), warm_up)
    check = case.learned(case.evaluate(untrained, valid), case.evaluate(model, valid))
    case.finish({"step": step}, precision="bf16" if bf16 else "fp32", check=check)


if __name__ == "__main__":
    main()
