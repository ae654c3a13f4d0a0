"""Every error that sevensteps raises on purpose, in one tree.

```
SevenStepsError            it failed                                         exit code 1
├── RequestError           it was asked wrongly; also a ValueError           exit code 2
│   ├── DataError          the data cannot be trained on or evaluated
│   └── ModelFolderError   a model folder is missing, damaged or not ours
├── RefusedPicture         one file is not a picture that can be used; training goes on without it
├── DownloadError          a named dataset could not be fetched whole
├── StorageError           a file could not be written (full disk, no permission)
└── TrainingError          the training itself broke down (a loss that is not finite)
```

A message says what happened and where, what was expected, and what to do (`hint`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class SevenStepsError(Exception):
    """Base of all errors raised on purpose. `hint` says what to do next.

    >>> str(SevenStepsError("no folder 'x'", hint="check the spelling"))
    "no folder 'x'\\n  hint: check the spelling"
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class RequestError(SevenStepsError, ValueError):
    """What was asked for makes no sense: a negative learning rate, an unknown network."""

    exit_code = 2


class DataError(RequestError):
    """The data, as they are, cannot be used: no pictures, one class, an unreadable CSV."""


class ModelFolderError(RequestError):
    """A model folder is missing, damaged, of another format version, or not a model folder."""


class RefusedPicture(SevenStepsError):  # noqa: N818 - a picture that was refused, not a mistake
    """One file cannot be used as a picture: `reason` is a short code, `message` the details, `picture` its name.

    Reasons: `missing`, `empty`, `not-a-file`, `not-a-picture`, `truncated`, `corrupt`, `too-large`, `no-scale`,
    `unreadable`, `crashed`, `too-slow`; and, in the list of what training did not use, `no-label`, `no-split`,
    `duplicate`.

    >>> str(RefusedPicture("empty", "the file is empty", "train/3/x.png"))
    'train/3/x.png: the file is empty'
    """

    def __init__(self, reason: str, message: str, picture: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.picture = picture
        self.args = reason, message, picture  # what pickle and copy make it from again

    def __str__(self) -> str:
        return f"{self.picture}: {self.message}" if self.picture else self.message


class DownloadError(SevenStepsError):
    """A file could not be downloaded whole and as expected, or unpacked safely."""


class StorageError(SevenStepsError):
    """A file could not be written: the disk is full, or the place is not writable."""


class TrainingError(SevenStepsError):
    """Training cannot go on: a loss that is not finite, a model that gives the wrong shape."""


@contextmanager
def as_written(where: object) -> Iterator[None]:
    """Turn what goes wrong inside the block, with values that no training wrote, into a `RequestError`."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, SevenStepsError):
            raise
        hint = "it is damaged, or was edited by hand: train again"
        raise RequestError(f"{where} is not as a training writes it: {error!r:.200}", hint=hint) from error
