"""What the cases of sevensteps share: a clock as a callback, and the Learner's precision."""

import argparse
import inspect

import case
import torch

from sevensteps import Callback, Learner


class Timed(Callback):
    """Times the training part of each epoch; validation is not in it. `threads` are those that were at work."""

    def __init__(self, clock: case.Clock) -> None:
        self.clock = clock
        self.threads = 0

    def before_train(self) -> None:
        self.clock.start()

    def after_train(self) -> None:
        self.clock.stop()
        self.threads = torch.get_num_threads()  # the Learner gives them back after the fit


def precision(options: argparse.Namespace) -> dict[str, str]:
    """The Learner's argument, where one is asked for and this Learner has it; without it all is float32."""
    has_it = "precision" in inspect.signature(Learner).parameters
    if options.precision == "bf16" and not has_it:
        raise SystemExit("this Learner has no argument precision: it computes in float32")
    return {"precision": options.precision} if options.precision != "default" and has_it else {}


def precision_of(learn: Learner) -> str:
    """What the Learner computed in, fp32 or bf16."""
    return str(getattr(learn, "precision", "fp32"))
