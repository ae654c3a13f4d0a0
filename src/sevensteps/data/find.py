"""The files below a folder that may be pictures, found once each, in the same order on every machine."""

from __future__ import annotations

import heapq
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


def find_pictures(
    folder: str | Path, *, follow_links: bool = False
) -> tuple[list[str], list[tuple[str, RefusedPicture]]]:
    """All files below `folder` that may be pictures, and what was met there but cannot be one.

    The first list has every regular file, whatever its name: a README.txt is refused by the decoder, with its reason.
    The second list has pipes, sockets, devices and symbolic links (all `not-a-file`), and subfolders that cannot be
    opened (`unreadable`). With `follow_links` what a link leads to is in its place; a folder that was read already is
    not read again, so there are no loops. Hidden files and folders and the litter of systems are in neither. Both lists
    are sorted by path.

    Raises `DataError` where `folder` itself cannot be listed.
    """
    found: list[str] = []
    refused: list[tuple[str, RefusedPicture]] = []
    links: list[str] = []
    waiting = [str(folder)]
    read: set[str] = set()
    while waiting or links:  # lists, not recursion: folders may be nested deeper than Python's stack
        if not waiting:  # what is no link comes first, so that it does not depend on the system's order what is met
            waiting = [heapq.heappop(links)]
        here = waiting.pop()
        if follow_links and (real := os.path.realpath(here)) in read:
            refused.append((here.removeprefix("./"), RefusedPicture("not-a-file", "was read already, by another way")))
            continue
        try:
            with os.scandir(here) as entries:
                if follow_links:
                    read.add(real)
                for entry in entries:
                    if entry.name.startswith(".") or entry.name.lower() in LITTER:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif follow_links and entry.is_symlink() and os.path.isdir(entry.path):  # noqa: PTH112
                        heapq.heappush(links, entry.path)
                    elif _is_file(entry, follow_links):
                        found.append(entry.path.removeprefix("./"))
                    else:
                        refused.append((entry.path.removeprefix("./"), _no_file(entry, follow_links)))
        except OSError as error:
            if here == str(folder):
                hint = "expected a folder of pictures that you may read"
                raise DataError(f"cannot list {folder}: {error.strerror}", hint=hint) from error
            message = f"the folder cannot be opened: {error.strerror}"
            refused.append((here.removeprefix("./"), RefusedPicture("unreadable", message)))
    refused.sort(key=lambda item: item[0])
    return sorted(found), refused


def _is_file(entry: os.DirEntry[str], follow_links: bool) -> bool:
    try:
        return entry.is_file(follow_symlinks=follow_links)
    except OSError:  # a link that leads to itself
        return False


def _no_file(entry: os.DirEntry[str], follow_links: bool) -> RefusedPicture:
    kind = "a pipe, socket or device"
    if entry.is_symlink():
        kind = "a symbolic link to no file" if follow_links else "a symbolic link; --follow-links follows it"
    return RefusedPicture("not-a-file", f"is {kind}")
