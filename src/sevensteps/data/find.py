"""The files below a folder that may be pictures, found once each, in the same order on every machine."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import DataError, RefusedPicture

# What systems leave in folders of pictures, in lower case. Names that start with a dot are left out as well.
LITTER = {
    "$recycle.bin",
    "@eadir",
    "__macosx",
    "desktop.ini",
    "ehthumbs.db",
    "icon\r",
    "system volume information",
    "thumbs.db",
}


def find_pictures(folder: str | Path) -> tuple[list[str], list[tuple[str, RefusedPicture]]]:
    """All files below `folder` that may be pictures, and what was met there but cannot be one.

    The first list has every regular file, whatever its name: a README.txt is refused by the decoder, with
    its reason. The second list has symbolic links, which are never followed (so there are no loops),
    pipes, sockets and devices (all `not-a-file`), and subfolders that cannot be opened (`unreadable`).
    Hidden files and folders and the litter of systems are in neither. Both lists are sorted by path.

    Raises `DataError` where `folder` itself cannot be listed.
    """
    found: list[str] = []
    refused: list[tuple[str, RefusedPicture]] = []
    waiting = [str(folder)]
    while waiting:  # a list, not recursion: folders may be nested deeper than Python's stack
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.name.lower() in LITTER:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        found.append(entry.path.removeprefix("./"))
                    else:
                        refused.append((entry.path.removeprefix("./"), _no_file(entry)))
        except OSError as error:
            if here == str(folder):
                hint = "expected a folder of pictures that you may read"
                raise DataError(f"cannot list {folder}: {error.strerror}", hint=hint) from error
            message = f"the folder cannot be opened: {error.strerror}"
            refused.append((here, RefusedPicture("unreadable", message)))
    refused.sort(key=lambda item: item[0])
    return sorted(found), refused


def _no_file(entry: os.DirEntry[str]) -> RefusedPicture:
    kind = "a symbolic link; links are not followed" if entry.is_symlink() else "a pipe, socket or device"
    return RefusedPicture("not-a-file", f"is {kind}")
