"""How the cases of prediction are timed: single calls, one after the other, on other pictures each time."""

import argparse
import statistics
import time
from collections.abc import Callable

import case
import numpy as np

WARM_UP = 20  # calls
CHECKED = 2000  # pictures


def test_pictures(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """MNIST's test pictures (uint8, N×1×28×28) and their labels."""
    with np.load(options.work / "mnist.npz") as file:
        return file["valid_x"][:, None], file["valid_y"]


def seconds_per_call(predict: Callable[[object], object], pictures: object, options: argparse.Namespace) -> float:
    """The median over calls, each with the next of the `pictures`."""
    n, calls, seconds = options.batch_size, 50 if options.short else options.calls, []
    for call in range(WARM_UP + calls):
        start = call * n % (len(pictures) - n)
        batch = pictures[start : start + n]
        begun = time.perf_counter()
        predict(batch)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds[WARM_UP:])


def check(predict: Callable[[object], object], pictures: object, labels: np.ndarray) -> dict[str, float]:
    """The accuracy on 2,000 pictures: it shows that the engine computes the same network."""
    predicted = np.asarray(predict(pictures[:CHECKED])).argmax(1)
    return {"accuracy": float((predicted == labels[:CHECKED]).mean())}


def finish(options: argparse.Namespace, predict: Callable[[object], object], pictures: object, **facts: object) -> None:
    """Time and check `predict`, and print the answer of the case."""
    labels = test_pictures(options)[1]
    call = seconds_per_call(predict, pictures, options)
    case.finish({"call": call}, check=check(predict, pictures, labels), **facts)
