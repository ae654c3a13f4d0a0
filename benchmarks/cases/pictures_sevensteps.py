"""From folders of pictures to the end of the first training epoch, and later epochs, with sevensteps.

`--variant data` reads the batches and trains nothing.
"""

import copy
import time

import case
import networks
from sevensteps_callbacks import Timed, precision, precision_of

from sevensteps import AdamW, DataLoaders, Learner, Preprocessing


def main() -> None:
    options = case.options()
    case.set_up(options)
    pictures, clock, begun = case.SOURCES[options.source], case.Clock(), time.perf_counter()
    dls = DataLoaders.from_folder(
        options.work / options.source,
        preprocessing=Preprocessing(pictures.channels, pictures.side, pictures.side),
        batch_size=pictures.batch_size,
    )
    if options.variant == "data":
        clock.passes(dls.train, 1 + options.epochs)
        case.finish_pictures(begun, clock)
        return
    model = getattr(networks, pictures.network)(pictures.classes)
    untrained = copy.deepcopy(model)
    timed = Timed(clock)
    learn = Learner(dls, model, opt_func=AdamW, cbs=timed, quiet=True, **precision(options))
    learn.fit(1 + options.epochs, lr=case.LR[pictures.network])
    check = case.learned_pictures(untrained, learn.model, dls.train)
    case.finish_pictures(begun, clock, precision=precision_of(learn), threads=timed.threads, check=check)


if __name__ == "__main__":
    main()
