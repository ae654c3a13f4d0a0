"""From folders of pictures to the end of the first training epoch, and later epochs, with fastai.

tutorial: `ImageDataLoaders.from_folder` and `Learner`. tuned: channels last, bfloat16, torch's fused optimizer.
`--variant data` reads the batches and trains nothing.
"""

import copy
import time
from functools import partial

import case
import networks
import torch
import torchvision_operators  # noqa: F401 - before fastai, which imports torchvision
from fastai.callback.channelslast import ChannelsLast
from fastai.callback.progress import ProgressCallback
from fastai.vision.all import Adam, ImageDataLoaders, Learner, OptimWrapper, PILImage, PILImageBW, Resize
from fastai_callbacks import CpuBf16, Timed
from torch.nn import functional as F


def main() -> None:
    options = case.options()
    case.set_up(options)
    tuned, bf16 = options.variant == "tuned", options.precision == "bf16"
    pictures, clock, begun = case.SOURCES[options.source], case.Clock(), time.perf_counter()
    grey = pictures.channels == 1
    dls = ImageDataLoaders.from_folder(
        options.work / options.source,
        img_cls=PILImageBW if grey else PILImage,
        item_tfms=None if grey else Resize(pictures.side),
        bs=pictures.batch_size,
        num_workers=options.workers,
    )
    if options.variant == "data":
        clock.passes(dls.train, 1 + options.epochs)
        case.finish_pictures(begun, clock)
        return
    model = getattr(networks, pictures.network)(pictures.classes)
    untrained = copy.deepcopy(model)
    opt_func = partial(OptimWrapper, opt=torch.optim.AdamW, fused=True) if tuned else Adam
    learn = Learner(dls, model, loss_func=F.cross_entropy, opt_func=opt_func)
    learn.add_cbs([Timed(clock), *([ChannelsLast()] if tuned else []), *([CpuBf16()] if bf16 else [])])
    learn.remove_cb(ProgressCallback)
    with learn.no_logging():
        learn.fit(1 + options.epochs, lr=case.LR[pictures.network])
    check = case.learned_pictures(untrained, model, dls.train)
    case.finish_pictures(begun, clock, precision="bf16" if bf16 else "fp32", check=check)


if __name__ == "__main__":
    main()
