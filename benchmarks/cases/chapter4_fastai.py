"""Chapter 4 of fastbook as a whole with fastai, by the chapter's own cells, without its progress bars."""

import time

started = time.perf_counter()
import case  # noqa: E402
import torchvision_operators  # noqa: E402, F401 - before fastai, which imports torchvision
from case import batch_accuracy, mnist_loss  # noqa: E402
from fastai.vision.all import (  # noqa: E402
    SGD,
    DataLoader,
    DataLoaders,
    Image,
    Learner,
    Path,
    nn,
    tensor,
    torch,
)


def stacked(folder: Path) -> torch.Tensor:
    """All pictures of a folder: float32, N×28×28, 0 to 1."""
    tensors = [tensor(Image.open(o)) for o in folder.ls().sorted()]
    return torch.stack(tensors).float() / 255


def mnist_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a - b).abs().mean((-1, -2))


def main() -> None:
    options = case.options()
    case.set_up(options)
    seconds = {"import": time.perf_counter() - started}
    path = Path(options.work / "mnist_sample")
    stacked_threes, stacked_sevens = stacked(path / "train" / "3"), stacked(path / "train" / "7")
    valid_3_tens, valid_7_tens = stacked(path / "valid" / "3"), stacked(path / "valid" / "7")
    seconds["reading"] = time.perf_counter() - started

    mean3, mean7 = stacked_threes.mean(0), stacked_sevens.mean(0)

    def is_3(x: torch.Tensor) -> torch.Tensor:
        return mnist_distance(x, mean3) < mnist_distance(x, mean7)

    accuracy_3s = is_3(valid_3_tens).float().mean()
    accuracy_7s = (1 - is_3(valid_7_tens).float()).mean()
    similarity = float((accuracy_3s + accuracy_7s) / 2)
    seconds["similarity"] = time.perf_counter() - started

    train_x = torch.cat([stacked_threes, stacked_sevens]).view(-1, 28 * 28)
    train_y = tensor([1] * len(stacked_threes) + [0] * len(stacked_sevens)).unsqueeze(1)
    valid_x = torch.cat([valid_3_tens, valid_7_tens]).view(-1, 28 * 28)
    valid_y = tensor([1] * len(valid_3_tens) + [0] * len(valid_7_tens)).unsqueeze(1)
    dl = DataLoader(list(zip(train_x, train_y)), batch_size=256, num_workers=options.workers)  # noqa: B905
    valid_dl = DataLoader(list(zip(valid_x, valid_y)), batch_size=256, num_workers=options.workers)  # noqa: B905
    dls = DataLoaders(dl, valid_dl)
    learn = Learner(dls, nn.Linear(28 * 28, 1), opt_func=SGD, loss_func=mnist_loss, metrics=batch_accuracy)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1 if options.short else 10, lr=1.0)
    seconds["linear"] = time.perf_counter() - started
    linear = learn.recorder.values

    simple_net = nn.Sequential(nn.Linear(28 * 28, 30), nn.ReLU(), nn.Linear(30, 1))
    learn = Learner(dls, simple_net, opt_func=SGD, loss_func=mnist_loss, metrics=batch_accuracy)
    with learn.no_bar(), learn.no_logging():
        learn.fit(4 if options.short else 40, 0.1)
    seconds["two_layers"] = time.perf_counter() - started
    first, last = learn.recorder.values[0], learn.recorder.values[-1]
    case.finish(
        seconds,
        similarity=similarity,
        linear=linear[-1][2],
        check={"loss_before": first[0], "loss_after": last[0], "accuracy": last[2]},
    )


if __name__ == "__main__":
    main()
