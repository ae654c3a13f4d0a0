"""Pillow's warnings, silenced in the thread that decodes, and nowhere else."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Pillow warns of much that is ruled on in `decode`: bombs, broken EXIF, malformed MPO. `warnings.catch_warnings`
# swaps the filters of the whole process, under all threads. So one filter is added, of a category that holds
# every warning in a thread while it decodes, and none elsewhere: nobody else's warnings change.
_thread = threading.local()


class _OnlyWhileDecoding(type):
    def __subclasscheck__(cls, category: type) -> bool:
        return getattr(_thread, "decodes", False)


class _PillowWarning(Warning, metaclass=_OnlyWhileDecoding):
    pass


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Inside the block Pillow warns of nothing in this thread."""
    before, _thread.decodes = getattr(_thread, "decodes", False), True
    try:
        if not warnings.filters or warnings.filters[0][2] is not _PillowWarning:
            warnings.simplefilter("ignore", _PillowWarning)
        yield
    finally:
        _thread.decodes = before
