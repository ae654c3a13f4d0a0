"""Folders of labelled pictures: `train/<class>/*` and `valid/<class>/*`, or `<class>/*` alone."""

from __future__ import annotations

from pathlib import Path

from ..errors import DataError
from .find import find_pictures
from .listing import SPLIT_NAMES, Labelled, Listing, Refused


def list_folder(root: str | Path) -> Listing:
    """What lies in the folder `root`, by split and class; nothing is opened yet.

    With a subfolder `train` (or `training`): splits `train`, `valid` (`val`, `validation`) and `test`. Without:
    every subfolder is a class, and all pictures are in "train", from which a validation split can be cut.
    A class folder's own subfolders belong to the class. Raises `DataError` where there is no such folder.
    """
    root = Path(root)
    if not root.exists():
        raise DataError(
            f"no such path: {root}", hint="check the spelling; a relative path starts at the current folder"
        )
    if not root.is_dir():
        raise DataError(
            f"{root} is a file", hint="expected a folder of pictures, a .csv file, or a folder of IDX files"
        )
    listing = Listing(root)
    folders = {child.name: child for child in sorted(root.iterdir()) if _is_class_folder(child)}
    split_folders = {name: SPLIT_NAMES[name.lower()] for name in folders if name.lower() in SPLIT_NAMES}
    if "train" in split_folders.values():
        for name, split in split_folders.items():
            if split in listing.splits:
                raise DataError(
                    f"{root} has two folders for the split {split!r}, one of them {name!r}",
                    hint="keep one of them",
                )
            _list_classes(listing, folders[name], split)
    else:
        _list_classes(listing, root, "train")
    return listing


def _is_class_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not path.name.startswith(".")


def _list_classes(listing: Listing, folder: Path, split: str) -> None:
    """Add the files of every class folder in `folder`; a file beside the class folders has no label."""
    pictures, refused = find_pictures(folder)
    listing.splits[split] = []
    for path in pictures:
        label, *rest = path.relative_to(folder).parts
        if rest:
            listing.splits[split].append(Labelled(path, label))
        else:
            message = "lies beside the class folders, so it has no label"
            listing.refused.append(Refused(listing.relative(path), "no-label", message))
    listing.refused += [Refused(listing.relative(path), error.reason, error.message) for path, error in refused]
