"""What listening costs an epoch: nobody, steps.csv, layers.csv too, a trace of a step that is not in the epoch.

    .venv/bin/python benchmarks/recording.py ../shared/data/mnist [convnet|simple_net] [rounds]

One process; Learners that differ in their listeners alone train an epoch each by turns, the order reversed every other
round. Seconds are those of the training part of an epoch. The ratio of each to nobody is taken round by round; shown is
its median, and the range of the middle half. Last, what writing the epoch's rows into the table takes besides.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from passport import now, passport

from sevensteps import AdamW, Callback, DataLoaders, Learner, networks
from sevensteps.files import csv_text
from sevensteps.insight.tracer import Tracer
from sevensteps.training.keepers import StepLog, StepRow
from sevensteps.training.layer_log import LayerLog
from sevensteps.training.run_folder import GrowingTable

LISTENERS: dict[str, Callable[[], list[Callback]]] = {
    "nobody": list,
    "nobody, once more": list,
    "steps.csv": lambda: [StepLog()],
    "steps.csv and layers.csv": lambda: [StepLog(), LayerLog()],
    "a trace of another step": lambda: [Tracer(10**9)],
}


class Timed(Callback):
    """Seconds of the training part of each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def before_train(self) -> None:
        self.started = time.perf_counter()

    def after_train(self) -> None:
        self.seconds.append(time.perf_counter() - self.started)


def main(data: str, network: str = "convnet", rounds: str = "15") -> None:
    dls = DataLoaders.from_source(data, batch_size=256)
    dls = DataLoaders(dls.train, vocab=dls.vocab, preprocessing=dls.preprocessing)
    learners = {
        name: (Learner(dls, networks.for_data(network, dls), opt_func=AdamW, quiet=True),
               listeners(), Timed())
        for name, listeners in LISTENERS.items()
    }  # fmt: skip
    for number in range(int(rounds) + 1):  # the first warms up
        turns = list(learners.values())
        for learn, listeners, timed in turns if number % 2 else reversed(turns):
            learn.fit(1, lr=1e-3, cbs=[*listeners, timed])
    print({**passport(), **now()})
    where = f"{learners['nobody'][0].precision}, {torch.get_num_threads()} threads"
    print(f"{network}, {len(dls.train)} steps of 256 pictures an epoch, {where}\n")
    base = learners["nobody"][2].seconds[1:]
    for name, (_, _, timed) in learners.items():
        seconds = timed.seconds[1:]
        ratios = [100 * (mine / nobody - 1) for mine, nobody in zip(seconds, base, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        least = 1e6 * min(seconds) / len(dls.train)
        print(f"{name:<26} {least:8.1f} us a step (least)  {middle:+6.2f} % (middle half {low:+.2f} to {high:+.2f} %)")
    rows = learners["steps.csv"][1][0].rows
    with tempfile.TemporaryDirectory() as folder:
        table = GrowingTable(Path(folder) / "steps.csv", csv_text(StepRow._fields, ()))
        table.write(rows[: -len(dls.train)])
        started = time.perf_counter()
        table.write(rows)
        written = time.perf_counter() - started
    print(f"writing {len(dls.train)} rows after {len(rows):,}: {1e3 * written:.1f} ms, "
          f"{100 * written / min(base):.2f} % of the epoch's training")  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
