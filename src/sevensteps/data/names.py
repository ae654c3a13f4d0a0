"""The names of many pictures, kept small: each is made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Names(Sequence[str]):
    """The names that `name_of` gives for `numbers`."""

    def __init__(self, name_of: Callable[[int], str], numbers: range | NDArray[np.int64]) -> None:
        self.name_of, self.numbers = name_of, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Any:
        numbers = self.numbers[index]
        return [*map(self.name_of, numbers)] if isinstance(index, slice) else self.name_of(int(numbers))

    @classmethod
    def counted(cls, prefix: str, count: int) -> Names:
        """ "#0", "#1" … of what has no names.

        >>> Names.counted("#", 3)[1:]
        ['#1', '#2']
        """
        return cls(lambda number: f"{prefix}{number}", range(count))

    @classmethod
    def unpacked(cls, packed: bytes) -> Names:
        """The names that `pack` has put into one.

        >>> [*Names.unpacked(pack(["a.png", "ü.png"]))]
        ['a.png', 'ü.png']
        """
        ends = np.flatnonzero(np.frombuffer(packed, np.uint8) == 0)

        def name_of(number: int) -> str:
            start = ends[number - 1] + 1 if number else 0
            return packed[start : ends[number]].decode("utf-8", "surrogateescape")

        return cls(name_of, range(len(ends)))


def pack(names: Iterable[str]) -> bytes:
    """All names in one, each with a zero byte behind it, which no path can have inside."""
    packed = bytearray()
    for name in names:
        packed += name.encode("utf-8", "surrogateescape") + b"\0"
    return bytes(packed)
