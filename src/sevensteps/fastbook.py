"""The names that chapter 4 of *fastbook* uses, in one import: its notebook's cells run unchanged after this line.

```python
from sevensteps.fastbook import *
```

It stands in the place of the notebook's two set-up cells, and needs `pip install "sevensteps[fastbook]"`. What it
offers is `__all__`, and no more. Two things are changed for the whole process, as in fastai: `Path` gets `.ls()` and
shows itself relative to `Path.BASE_PATH` (by fastcore), and a part of a leaf tensor may be changed in place, with a
warning (see `_allow_steps_by_hand`).
"""

from __future__ import annotations

import functools
import math
import string
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from numpy import array
from PIL import Image
from torch import Tensor, nn

from .data.dataloader import DataLoader
from .data.dataloaders import DataLoaders
from .data.preprocessing import Preprocessing
from .data.samples import fetch
from .errors import RequestError
from .models.networks import resnet18
from .training.learner import Learner
from .training.metrics import accuracy, error_rate
from .training.optimizers import SGD, BasicOptim, OptFunc

try:
    import graphviz
    import jinja2  # noqa: F401 - what pandas colours a table with
    import pandas as pd
    from fastcore.foundation import L
    from fastcore.xtras import first  # this module also gives Path its ls()
except ImportError as missing:
    raise RequestError(
        f"the chapter's names need {missing.name}, which is not installed",
        hint='pip install "sevensteps[fastbook]"',
    ) from missing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "SGD", "BasicOptim", "DataLoader", "DataLoaders", "F", "Image", "ImageDataLoaders", "L", "Learner", "Path", "URLs",
    "accuracy", "array", "cnn_learner", "error_rate", "first", "gv", "math", "matplotlib", "nn", "np", "partial", "pd",
    "plot_function", "plt", "resnet18", "show_image", "string", "tensor", "to_np", "torch", "untar_data",
    "vision_learner",
]  # fmt: skip


class URLs:
    """The chapter's data, by the name that `sevensteps.data.samples` knows them by."""

    MNIST_SAMPLE = "mnist_sample"


def untar_data(name: str) -> Path:
    """The folder of a dataset, downloaded and unpacked where it is not there yet.

    Raises `DataError` for an unknown name, `DownloadError` where it cannot be had.
    """
    return fetch(name)


def tensor(x: Any, *rest: Any) -> Tensor:
    """A tensor of a number, several numbers, a list, an array, a picture, a table; float64 becomes float32.

    Pixels stay uint8; a tensor of another type than float64 is given back as it is.

    >>> tensor(1, 2, 3), tensor([0.5]).dtype, tensor(np.zeros(2)).dtype
    (tensor([1, 2, 3]), torch.float32, torch.float32)
    """
    if rest:
        x = (x, *rest)
    if isinstance(x, Tensor):
        made = x
    elif isinstance(x, (int, float, complex, list, tuple)):
        made = torch.tensor(x)
    else:
        made = torch.tensor(_numbers(np.asarray(x)))
    return made.float() if made.dtype == torch.float64 else made


def _numbers(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "biufc":
        raise RequestError(f"no tensor can be made of {values.dtype} values", hint="expected numbers or a picture")
    return values.astype(np.float32) if values.dtype == np.uint16 else values  # torch can hardly count in uint16


def to_np(x: Any) -> Any:
    """A tensor's numbers as an array, without its gradient; tensors in a list or a tuple one by one."""
    if isinstance(x, (list, tuple)):
        return type(x)(to_np(item) for item in x)
    return x.detach().cpu().numpy()


def show_image(
    picture: Any,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    title: str | None = None,
    **options: Any,
) -> Axes:
    """Draw a picture: a tensor (H×W, or C×H×W with C up to 4), an array (H×W or H×W×C) or a PIL image.

    A grey one is drawn with matplotlib's own colour map (`matplotlib.rc('image', cmap='Greys')` sets it); `options`
    are those of `Axes.imshow`. Gives the axis back.
    """
    if isinstance(picture, Tensor):
        picture = picture.detach().cpu()
        picture = picture.permute(1, 2, 0) if picture.ndim == 3 and len(picture) < 5 else picture
    pixels = np.asarray(picture)
    pixels = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels
    if ax is None:
        ax = plt.subplots(figsize=figsize or tuple(max(1.0, side / 28) for side in pixels.shape[1::-1]))[1]
    ax.imshow(pixels, **options)
    ax.axis("off")
    if title is not None:
        ax.set_title(title)
    return ax


def plot_function(
    f: Callable[[Tensor], Tensor],
    tx: str | None = None,
    ty: str | None = None,
    title: str | None = None,
    min: float = -2,
    max: float = 2,
    steps: int = 100,
    figsize: tuple[float, float] = (6, 4),
) -> None:
    """Draw `f` from `min` to `max`; `tx` and `ty` name the axes."""
    x = torch.linspace(min, max, steps)
    ax = plt.subplots(figsize=figsize)[1]
    ax.plot(to_np(x), to_np(f(x)))
    ax.set(xlabel=tx or "", ylabel=ty or "", title=title or "")


class Graph(graphviz.Source):  # type: ignore[misc]
    """A `graphviz.Source` that shows its text where the program `dot`, which draws it, is not installed."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **options: Any) -> dict[str, Any]:
        try:
            return super()._repr_mimebundle_(include, exclude, **options)  # type: ignore[no-any-return]
        except graphviz.ExecutableNotFound:
            return {"text/plain": f"{self.source}\n(install Graphviz, https://graphviz.org, to see this drawn)"}


def gv(edges: str) -> Graph:
    """A graph, drawn from left to right, of edges in Graphviz's language.

    >>> gv("predict -> loss").source
    'digraph G { rankdir=LR; predict -> loss }\\n'
    """
    return Graph(f"digraph G {{ rankdir=LR; {edges} }}")


MOMENTUM = partial(SGD, momentum=0.9)


class ImageDataLoaders(DataLoaders):
    """`DataLoaders` of pictures under the name that fastai gives them."""

    @classmethod
    def from_folder(
        cls, path: str | Path, *, bs: int = 64, preprocessing: Preprocessing | None = None, **options: Any
    ) -> DataLoaders:
        """As `DataLoaders.from_folder`; `bs` is the batch size."""
        return super().from_folder(path, preprocessing=preprocessing, **{"batch_size": bs, **options})


def vision_learner(
    dls: DataLoaders,
    arch: Callable[..., nn.Module],
    *,
    pretrained: bool = False,
    loss_func: Callable[[Tensor, Tensor], Tensor] | None = None,
    opt_func: OptFunc = MOMENTUM,
    metrics: Callable[..., Any] | Sequence[Any] | None = None,
    seed: int = 0,
    **options: Any,
) -> Learner:
    """A `Learner` of the network `arch` (such as `resnet18`), in the shape of the pictures of `dls`.

    The optimizer is SGD with momentum 0.9, not fastai's Adam: at the chapter's learning rate of 0.1 it does better.
    `seed` draws the weights too; `options` are those of `Learner`. Raises `RequestError` for `pretrained`.
    """
    if pretrained:
        raise RequestError(
            f"there are no pretrained weights for {getattr(arch, '__name__', arch)}",
            hint="pass pretrained=False to train from random weights, or give Learner a pretrained nn.Module",
        )
    model = arch(dls, seed=seed)
    return Learner(dls, model, loss_func=loss_func, opt_func=opt_func, metrics=metrics, seed=seed, **options)


cnn_learner = vision_learner  # the name that it had in older editions


def _allow_steps_by_hand() -> None:
    """Let `weights[0] *= 1.0001` do what it says, where torch would refuse: it then runs under `no_grad`, and warns.

    Older editions of the chapter have this cell, written for a torch that allowed it; newer ones write
    `with torch.no_grad(): weights[0] *= 1.0001`. Python makes of it a product in place of a view of a leaf, then an
    assignment to a part of the leaf. All else that torch refuses stays refused.
    """
    for name in ("__imul__", "__setitem__"):
        setattr(Tensor, name, _by_hand(getattr(Tensor, name)))


def _by_hand(operation: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(operation)
    def by_hand(self: Tensor, *args: Any) -> Any:
        try:
            return operation(self, *args)
        except RuntimeError as error:
            if "a view of a leaf Variable that requires grad" not in str(error):
                raise
            warnings.warn(
                "a part of a tensor that requires a gradient was changed in place: this is done here as under "
                "`with torch.no_grad():`, which you should write",
                stacklevel=2,
            )
            with torch.no_grad():
                return operation(self, *args)

    return by_hand


_allow_steps_by_hand()
