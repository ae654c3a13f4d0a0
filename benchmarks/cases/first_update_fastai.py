"""From the start of the process to the first update of the weights, with fastai."""

import time

import case
import torchvision_operators  # noqa: F401 - before fastai, which imports torchvision
from fastai.callback.progress import ProgressCallback
from fastai.vision.all import SGD, Callback, CancelFitException, ImageDataLoaders, Learner, PILImageBW, nn
from torch.nn import functional as F


class FirstUpdate(Callback):
    def after_step(self) -> None:
        self.at = time.time()
        raise CancelFitException


def main() -> None:
    options = case.options()
    case.set_up(options)
    dls = ImageDataLoaders.from_folder(
        options.work / "mnist_sample", img_cls=PILImageBW, bs=64, num_workers=options.workers
    )
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 30), nn.ReLU(), nn.Linear(30, 2))
    before, update = model[1].bias.detach().clone(), FirstUpdate()
    learn = Learner(dls, model, loss_func=F.cross_entropy, opt_func=SGD, cbs=update)
    learn.remove_cb(ProgressCallback)
    with learn.no_logging():
        learn.fit(1, lr=0.1)
    case.finish({}, moments={"first_update": update.at}, moved=bool((model[1].bias != before).any()))


if __name__ == "__main__":
    main()
