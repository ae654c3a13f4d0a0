"""What the cases of fastai share: a clock as a callback, and bfloat16 on a CPU."""

import case
import torch
from fastai.callback.core import Callback, CancelValidException


class Timed(Callback):
    """Times the training part of each epoch, and leaves the validation out."""

    def __init__(self, clock: case.Clock) -> None:
        self.clock = clock

    def before_train(self) -> None:
        self.clock.start()

    def after_train(self) -> None:
        self.clock.stop()

    def before_validate(self) -> None:
        raise CancelValidException


class CpuBf16(Callback):
    """bfloat16 by autocast.

    fastai's own `MixedPrecision` asks for `autocast("cuda")`, whatever the device: on a CPU that changes nothing but
    prints a warning. This is the same for the CPU, so that fastai is not held back.
    """

    order = 10

    def before_batch(self) -> None:
        self.autocast = torch.autocast("cpu", torch.bfloat16)
        self.autocast.__enter__()

    def after_pred(self) -> None:
        self.learn.pred = self.pred.float()

    def after_loss(self) -> None:
        self.autocast.__exit__(None, None, None)
