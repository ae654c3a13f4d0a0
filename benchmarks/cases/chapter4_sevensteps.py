"""Chapter 4 of fastbook as a whole with sevensteps: reading, pixel similarity, the linear model, the two layers."""

import time

started = time.perf_counter()
import case  # noqa: E402
import torch  # noqa: E402 - importing is part of what is timed
from torch import nn  # noqa: E402

from sevensteps import SGD, DataLoader, DataLoaders, Learner, PixelSimilarity, batch_accuracy, mnist_loss  # noqa: E402


def as_columns(loader: DataLoader) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Pairs of 784 pixels and a target, 1 for a three, as the chapter has them."""
    pictures = loader.collection
    targets = (pictures.labels == 0).long().unsqueeze(1)
    return list(zip(pictures.pixels.view(-1, 784).float() / 255, targets, strict=True))


def main() -> None:
    options = case.options()
    case.set_up(options)
    seconds = {"import": time.perf_counter() - started}
    pictures = DataLoaders.from_folder(options.work / "mnist_sample")
    seconds["reading"] = time.perf_counter() - started
    similarity = PixelSimilarity().fit(pictures.train).evaluate(pictures.valid).balanced_accuracy
    seconds["similarity"] = time.perf_counter() - started

    train = DataLoader(as_columns(pictures.train), batch_size=256)
    dls = DataLoaders(train, DataLoader(as_columns(pictures.valid), batch_size=256))
    learn = Learner(dls, nn.Linear(784, 1), opt_func=SGD, loss_func=mnist_loss, metrics=batch_accuracy, quiet=True)
    learn.fit(1 if options.short else 10, lr=1.0)
    seconds["linear"] = time.perf_counter() - started
    linear = learn.recorder.values

    two_layers = nn.Sequential(nn.Linear(784, 30), nn.ReLU(), nn.Linear(30, 1))
    learn = Learner(dls, two_layers, opt_func=SGD, loss_func=mnist_loss, metrics=batch_accuracy, quiet=True)
    learn.fit(4 if options.short else 40, 0.1)
    seconds["two_layers"] = time.perf_counter() - started
    first, last = learn.recorder.values[0], learn.recorder.values[-1]
    case.finish(
        seconds,
        precision=str(getattr(learn, "precision", "fp32")),
        similarity=similarity,
        linear=linear[-1][2],
        check={"loss_before": first[0], "loss_after": last[0], "accuracy": last[2]},
    )


if __name__ == "__main__":
    main()
