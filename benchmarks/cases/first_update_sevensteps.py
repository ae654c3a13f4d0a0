"""From the start of the process to the first update of the weights, with sevensteps."""

import time

import case
from torch import nn

from sevensteps import SGD, Callback, CancelFitException, DataLoaders, Learner


class FirstUpdate(Callback):
    def after_step(self) -> None:
        self.at = time.time()
        raise CancelFitException


def main() -> None:
    options = case.options()
    case.set_up(options)
    dls = DataLoaders.from_folder(options.work / "mnist_sample")
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 30), nn.ReLU(), nn.Linear(30, 2))
    before, update = model[1].bias.detach().clone(), FirstUpdate()
    Learner(dls, model, opt_func=SGD, cbs=update, quiet=True).fit(1, lr=0.1)
    case.finish({}, moments={"first_update": update.at}, moved=bool((model[1].bias != before).any()))


if __name__ == "__main__":
    main()
