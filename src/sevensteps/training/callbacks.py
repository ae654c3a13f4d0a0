"""What may listen to the loop, and when.

```
before_fit
│ before_epoch
│ │ before_train
│ │ │ before_batch → predict → after_pred → loss → after_loss → before_backward → gradient → after_backward
│ │ │   → before_step → step → after_step → after_batch       (in validation: up to after_loss, then after_batch)
│ │ after_train
│ │ before_validate → the batches of the validation set → after_validate
│ after_epoch
after_fit
```

A listener may raise `CancelBatchException`, `CancelTrainException`, `CancelValidException`, `CancelEpochException` or
`CancelFitException`: the rest of that part is left out, and `after_cancel_…` and `after_…` of it are still told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import RequestError

if TYPE_CHECKING:
    from .learner import Learner

EVENTS = (
    "before_fit", "before_epoch", "before_train", "before_batch", "after_pred", "after_loss", "before_backward",
    "after_backward", "before_step", "after_step", "after_cancel_batch", "after_batch", "after_cancel_train",
    "after_train", "before_validate", "after_cancel_validate", "after_validate", "after_cancel_epoch", "after_epoch",
    "after_cancel_fit", "after_fit",
)  # fmt: skip


class CancelBatchException(Exception):  # noqa: N818 - the field's names
    """Leave out the rest of this batch."""


class CancelTrainException(Exception):  # noqa: N818
    """Leave out the rest of this epoch's training."""


class CancelValidException(Exception):  # noqa: N818
    """Leave out the rest of this validation."""


class CancelEpochException(Exception):  # noqa: N818
    """Leave out the rest of this epoch."""


class CancelFitException(Exception):  # noqa: N818
    """Stop training here."""


class Callback:
    """A listener: define methods named after `EVENTS`; `self.learn` is the `Learner`.

    Callbacks are told in the order of their `order`, then as they were given. A method `before_…` or `after_…`
    that names no event is an error when the class is made.
    """

    order: ClassVar[int] = 0
    learn: Learner

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in dir(cls):
            if name.startswith(("before_", "after_")) and name not in EVENTS:
                raise TypeError(f"{cls.__name__}.{name} names no event; the events are: {', '.join(EVENTS)}")


def as_callbacks(given: Any) -> list[Callback]:
    """A callback, several or None, as a list. Raises `RequestError` for what is no callback: a class, for one."""
    if given is None or isinstance(given, Callback | type):
        given = [] if given is None else [given]
    cbs = list(given)
    for item in cbs:
        if not isinstance(item, Callback):
            raise RequestError(f"{item!r} is no callback", hint="cbs takes instances of subclasses of Callback")
    return cbs
