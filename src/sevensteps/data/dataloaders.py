"""The training, validation and test batches of one set of data, with the names of its classes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import DataError, RequestError
from ..randomness import torch_seeded
from .augment import Augment
from .columns import Columns
from .dataloader import DataLoader
from .labelled import LabelledData, from_arrays
from .listing import Refused, check_classes
from .pictures import PictureSet, numbered
from .preprocessing import Preprocessing
from .split import stratified_split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .store import Progress

MOST_STATISTICS = 10_000  # pictures looked at for the mean and the spread of the pixels
MOST_VALUES = 30_000_000  # as many pixels, at most: large pictures are looked at in smaller number


class DataLoaders:
    """`train`, `valid` and `test` loaders, any of which but the first may be missing.

    `vocab` is the sorted list of class names, `preprocessing` how a picture becomes pixels, `refused` the files
    that were not used, `notes` what was decided on the user's behalf, `sizes` how many pictures have each size.
    Any iterable of batches with a length will do for a loader, torch's own `DataLoader` too.
    """

    def __init__(
        self,
        train: Iterable[Any],
        valid: Iterable[Any] | None = None,
        test: Iterable[Any] | None = None,
        *,
        vocab: Sequence[str] | None = None,
        preprocessing: Preprocessing | None = None,
        refused: Sequence[Refused] = (),
        notes: Sequence[str] = (),
        sizes: dict[str, int] | None = None,
    ) -> None:
        self.train, self.valid, self.test = train, valid, test
        self.vocab = list(vocab) if vocab is not None else None
        self.preprocessing = preprocessing
        self.refused, self.notes, self.sizes = list(refused), list(notes), dict(sizes or {})

    @classmethod
    def from_folder(
        cls, path: str | Path, *, preprocessing: Preprocessing | None = None, follow_links: bool = False, **options: Any
    ) -> DataLoaders:
        """Folders of pictures: `train/<class>/*` with `valid/<class>/*` and `test/<class>/*`, or `<class>/*` alone.

        `preprocessing` fixes size and channels, else they fit the pictures; symbolic links are refused unless
        `follow_links`; `options` are those of `from_data`. Where there is no validation split, a stratified,
        seeded one is cut from train. Raises `DataError`.
        """
        from .folders import list_folder
        from .reading import read_listing

        return cls.from_data(read_listing(list_folder(path, follow_links=follow_links), preprocessing), **options)

    @classmethod
    def from_csv(cls, path: str | Path, *, preprocessing: Preprocessing | None = None, **options: Any) -> DataLoaders:
        """A CSV with the columns `path,label[,split]` or `fname,label[,is_valid]`; paths relative to it.

        `preprocessing` and `options` as for `from_folder`. Raises `DataError`.
        """
        from .csv_labels import list_csv
        from .reading import read_listing

        return cls.from_data(read_listing(list_csv(path), preprocessing), **options)

    @classmethod
    def from_source(
        cls, source: str | Path | None = None, *, progress: Progress | None = None, **options: Any
    ) -> DataLoaders:
        """Whatever the command `train` takes: a folder, a CSV, a folder of IDX files, a dataset's name (`"mnist"`).

        None is scikit-learn's embedded digits. `options` are those of `from_data`. Raises `DataError`, `DownloadError`.
        """
        from .sources import read_source

        return cls.from_data(read_source(source, progress=progress), **options)

    @classmethod
    def from_arrays(
        cls,
        x: Any,
        y: Any,
        *,
        valid: tuple[Any, Any] | None = None,
        test: tuple[Any, Any] | None = None,
        **options: Any,
    ) -> DataLoaders:
        """Arrays or tensors in memory: uint8 pictures (N×H×W, N×H×W×C, N×C×H×W) or any floats, and N labels.

        `valid` and `test` are pairs (x, y) of their own; `options` are those of `from_data`. Raises `DataError`.
        """
        given = {"train": (x, y), "valid": valid, "test": test}
        return cls.from_data(from_arrays({split: pair for split, pair in given.items() if pair is not None}), **options)

    @classmethod
    def from_torch(
        cls,
        train: Any,
        valid: Any = None,
        test: Any = None,
        *,
        vocab: Sequence[str] | None = None,
        batch_size: int = 64,
        seed: int = 0,
        workers: int = 0,
    ) -> DataLoaders:
        """Torch `Dataset`s (or any collections) of (input, label); the classes are `train.classes` if it has them.

        `workers` are those of `DataLoader`: worth it for items that take long to make.
        """
        load = partial(DataLoader, batch_size=batch_size, seed=seed, workers=workers)
        others = (None if data is None else load(data) for data in (valid, test))
        vocab = vocab if vocab is not None else getattr(train, "classes", None)
        return cls(load(train, shuffle=True), *others, vocab=vocab)

    @classmethod
    def from_data(
        cls,
        data: LabelledData,
        *,
        batch_size: int = 64,
        augment: Augment | None = None,
        seed: int = 0,
        valid_fraction: float | None = None,
    ) -> DataLoaders:
        """Loaders over data in memory. Raises `DataError` for no pictures, one class, or a strange class in valid.

        Where "valid" is missing or empty a stratified, seeded part of train is cut for it (a fifth, at most about
        5,000 pictures, unless `valid_fraction` says otherwise): `test` is never used to choose by.
        """
        if valid_fraction is not None and not 0 < valid_fraction < 1:
            raise RequestError(f"valid_fraction is {valid_fraction!r}", hint="expected a number between 0 and 1")
        vocab = check_classes({split: part.labels for split, part in data.splits.items()}, data.where, data.refused)
        vocab = data.vocab or vocab
        sets = {split: numbered(data, split, vocab) for split, part in data.splits.items() if len(part.x)}
        notes = list(data.notes)
        if "valid" not in sets:
            whole = sets["train"]
            copies = data.copies_in("train")
            train, valid = stratified_split(whole.labels.numpy(), seed, valid_fraction, vocab, copies)
            sets |= {"train": whole.take(train), "valid": whole.take(valid)}
            notes.append(
                f"no validation pictures were given: {len(valid):,} of the {len(whole):,} training pictures are set "
                f"aside for validation (stratified by class, seed {seed}{'; copies stay together' if copies else ''})"
            )
        elif valid_fraction is not None:
            notes.append("valid_fraction was not used: the data have validation pictures of their own")
        loaders = {split: DataLoader(part, batch_size, seed=seed) for split, part in sets.items()}
        loaders["train"] = DataLoader(sets["train"], batch_size, shuffle=True, augment=augment, seed=seed)
        return cls(
            **loaders,
            vocab=vocab,
            preprocessing=data.preprocessing,
            refused=data.refused,
            notes=notes,
            sizes=data.sizes,
        )

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {getattr(loader, 'n', '?')}" for name, loader in self.splits.items())
        return f"DataLoaders({counts}; classes {self.vocab})"

    @property
    def splits(self) -> dict[str, Any]:
        """The loaders that are there, by the name of their split."""
        loaders = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: loader for name, loader in loaders.items() if loader is not None}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input, without the batch: (channels, height, width), or (features,)."""
        if self.preprocessing:
            return self.preprocessing.channels, self.preprocessing.height, self.preprocessing.width
        return tuple(self._inputs(1).shape[1:])

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Pictures per split and class, for the loaders whose labels are in memory."""
        tables = {}
        for split, loader in self.splits.items():
            if isinstance(getattr(loader, "collection", None), PictureSet | Columns) and self.vocab:
                tally = torch.bincount(loader.collection.labels.flatten().long(), minlength=len(self.vocab))
                tables[split] = dict(zip(self.vocab, tally.tolist(), strict=True))
        return tables

    @property
    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of the training pixels (0 to 1), one of each a channel.

        Of many or large pictures an evenly spaced part is looked at; of what is not in memory, as many as a batch has.
        """
        xb = self._inputs(max(1, min(MOST_STATISTICS, MOST_VALUES // max(1, math.prod(self.input_shape)))))
        axes = (0, 2, 3) if xb.ndim == 4 else tuple(range(xb.ndim))
        mean, spread = xb.float().mean(axes), xb.float().std(axes, correction=0)
        return mean.reshape(-1).tolist(), spread.clamp(min=1e-3).reshape(-1).tolist()

    def one_batch(self) -> Any:
        """The first batch of the training loader's next epoch. Raises `DataError` where it has none."""
        for batch in self.train:
            return batch
        raise DataError("the training loader has no batch", hint="it is empty, or smaller than one batch of drop_last")

    def _inputs(self, most: int) -> Any:
        """Inputs of up to `most` training items, evenly spaced, not augmented; of a loader that is not ours, a batch.

        The loader does not go on to its next epoch.
        """
        if not isinstance(self.train, DataLoader) or not self.train.n:
            with torch_seeded(0, "statistics"):  # torch's loaders draw from the global generator
                return self.one_batch()[0]
        n, collection = self.train.n, self.train.collection
        most = most if isinstance(collection, PictureSet | Columns) else min(most, self.train.batch_size)
        return collection.take_batch(torch.arange(0, n, -(-n // most)))[0]

    def show_batch(self, n: int = 9) -> Figure:
        """A figure of up to `n` pictures of one training batch, with their classes.

        Raises `RequestError` for a batch that is no pictures, or `n` below 1.
        """
        from matplotlib.figure import Figure

        if n < 1:
            raise RequestError(f"n is {n}", hint="expected 1 or more pictures")
        xb, yb = self.one_batch()[:2]
        if xb.ndim != 4 or xb.shape[1] not in (1, 3):
            raise RequestError(f"a batch of shape {tuple(xb.shape)} is no pictures", hint="show_batch needs N×C×H×W")
        n = min(n, len(xb))
        columns = max(1, round(n**0.5))
        rows = -(-n // columns)
        figure = Figure(figsize=(1.8 * columns, 2 * rows), layout="tight")
        for axis in figure.subplots(rows, columns, squeeze=False).flat:
            axis.axis("off")
        pictures = xb[:n].detach().cpu().permute(0, 2, 3, 1).numpy()
        for axis, picture, label in zip(figure.axes, pictures, yb[:n].flatten().tolist(), strict=False):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
            axis.set_title(self.vocab[label] if self.vocab else str(label), fontsize=9)
        return figure
