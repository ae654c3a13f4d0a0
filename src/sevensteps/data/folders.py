"""Folders of labelled pictures: `train/<class>/*` and `valid/<class>/*`, or `<class>/*` alone."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import DataError
from .find import LITTER, find_pictures
from .listing import SPLIT_NAMES, Files, Listing, Refused


def list_folder(root: str | Path, *, follow_links: bool = False) -> Listing:
    """What lies in the folder `root`, by split and class; nothing is opened yet.

    With a subfolder `train` (or `training`), or with none but split folders: splits `train`, `valid` (`val`,
    `validation`) and `test`. Else every subfolder is a class, and all pictures are in "train", from which a
    validation split can be cut. A class folder's own subfolders belong to the class. Class folders without a
    file, and what lies beside the split folders, are listed as refused; so are symbolic links, unless `follow_links`.
    Raises `DataError` where there is no such folder.
    """
    root = Path(root)
    if not os.path.exists(root):  # noqa: PTH110 - Path.exists raises for a name that is too long
        raise DataError(
            f"no such path: {root}", hint="check the spelling; a relative path starts at the current folder"
        )
    if not root.is_dir():
        raise DataError(
            f"{root} is a file", hint="expected a folder of pictures, a .csv file, or a folder of IDX files"
        )
    listing = Listing(root)
    folders, links, files = _children(root, follow_links)
    split_folders = {folder: split for folder in folders if (split := SPLIT_NAMES.get(folder.name.lower()))}
    others = [folder for folder in folders if folder not in split_folders]
    if not split_folders or (others and "train" not in split_folders.values()):
        _list_classes(listing, root, "train", follow_links)
        return listing
    for folder, split in split_folders.items():
        if split in listing.splits:
            raise DataError(
                f"{root} has two folders for the split {split!r}, one of them {folder.name!r}", hint="keep one of them"
            )
        _list_classes(listing, folder, split, follow_links)
    for folder in others:
        _refuse(listing, folder, "no-split", "lies beside the split folders, so nothing in it was used")
    for file in files:
        _refuse(listing, file, "no-split", "lies beside the split folders, so it was not used")
    for link in links:
        _refuse(listing, link, "not-a-file", "is a symbolic link; --follow-links follows it")
    return listing


def _children(parent: Path, follow_links: bool) -> tuple[list[Path], list[Path], list[Path]]:
    """The subfolders that count, the symbolic links to folders that do not, and the files, each sorted."""
    try:
        children = sorted(parent.iterdir())
    except OSError as error:
        raise DataError(
            f"cannot list {parent}: {error.strerror}", hint="expected a folder of pictures that you may read"
        ) from error
    seen = [child for child in children if not child.name.startswith(".") and child.name.lower() not in LITTER]
    folders = [child for child in seen if child.is_dir() and (follow_links or not child.is_symlink())]
    links = [child for child in seen if not follow_links and child.is_symlink() and child.is_dir()]
    return folders, links, [child for child in seen if not child.is_dir()]


def _refuse(listing: Listing, path: str | Path, reason: str, message: str) -> None:
    listing.refused.append(Refused(listing.relative(str(path)), reason, message))


def _list_classes(listing: Listing, folder: Path, split: str, follow_links: bool) -> None:
    """Add the files of every class folder in `folder`; a file beside the class folders has no label."""
    pictures, refused = find_pictures(folder, follow_links=follow_links)
    files = listing.splits[split] = Files()
    start = len(os.path.join(folder, "")) if str(folder) != "." else 0  # noqa: PTH118 - with its last slash
    for path in pictures:
        label, inside, _ = path[start:].partition(os.sep)
        if inside:
            files.add(path, label)
        else:
            _refuse(listing, path, "no-label", "lies beside the class folders, so it has no label")
    for path, error in refused:
        _refuse(listing, path, error.reason, error.message)
    met = {*files.labels, *(path[start:].partition(os.sep)[0] for path, _ in refused)}
    for child in _children(folder, follow_links)[0]:
        if child.name not in met:
            _refuse(listing, child, "empty", "is a class folder without files, so it is no class")
