"""A CSV that names the pictures: columns `path,label[,split]`, or `fname,label[,is_valid]` as fastai writes it."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from ..errors import DataError
from .listing import SPLIT_NAMES, Files, Listing, Refused

PATH_COLUMNS = ("path", "fname", "file_name", "filepath", "filename", "name", "image")
YES, NO = {"true", "1", "yes", "t"}, {"false", "0", "no", "f", ""}


def list_csv(file: str | Path) -> Listing:
    """The pictures that a CSV names, by split and class. Paths are relative to the CSV's folder.

    Columns, in capitals or not: one of `PATH_COLUMNS`; `label`; and at most one of `split` (train, valid, val,
    validation, test) and `is_valid` (true or false); separated by commas, semicolons or tabs. A row that names a
    missing file, a file for the second time, or no label, is listed as refused and the rest goes on. Raises
    `DataError` for a file that is no such CSV.
    """
    file = Path(file)
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            head = text.readline()
            text.seek(0)
            reader = csv.DictReader(text, strict=True, delimiter=max(",;\t", key=head.count))
            reader.fieldnames = columns = [name.strip().lower() for name in reader.fieldnames or ()]
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(
            f"cannot read {file} as a CSV: {error}",
            hint="expected UTF-8 text with a header line: path,label[,split]",
        ) from error
    path_column = next((name for name in PATH_COLUMNS if name in columns), None)
    if path_column is None or "label" not in columns:
        raise DataError(
            f"{file} has the columns {', '.join(columns) or 'none'}",
            hint="expected a header line with path,label[,split]; "
            "fname, file_name, filepath, filename, name or image for path, is_valid for split",
        )
    if not rows:
        raise DataError(f"{file} names no pictures", hint="expected a line for each picture below the header line")
    listing = Listing(file.parent, where=str(file))
    seen: dict[str, int] = {}
    for number, row in rows:
        name, label = (row[path_column] or "").strip(), (row["label"] or "").strip()
        split = _split_of(row, f"{file}, line {number}")
        path = file.parent / name
        if not name or not label:
            listing.refused.append(
                Refused(f"{file.name} line {number}", "no-label", "the line lacks a path or a label")
            )
        elif not os.path.exists(path):  # noqa: PTH110 - Path.exists raises for a name that is too long
            listing.refused.append(
                Refused(name, "missing", f"line {number} of {file.name} names a file that is not there")
            )
        elif seen.setdefault(os.path.normpath(path), number) != number:
            first = seen[os.path.normpath(path)]
            listing.refused.append(
                Refused(name, "duplicate", f"line {number} names a file that line {first} names too")
            )
        else:
            listing.splits.setdefault(split, Files()).add(str(path), label)
    return listing


def _split_of(row: dict[str, str | None], where: str) -> str:
    if "split" in row:
        value = (row["split"] or "train").strip().lower()
        if value in SPLIT_NAMES:
            return SPLIT_NAMES[value]
        raise DataError(f"{where}: the split is {value!r}", hint="expected train, valid (val, validation) or test")
    value = (row.get("is_valid") or "").strip().lower()
    if value in YES | NO:
        return "valid" if value in YES else "train"
    raise DataError(f"{where}: is_valid is {value!r}", hint="expected true or false")
