"""The pictures of a listing as labelled pixels, in order, with those refused that are no pictures."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ..errors import RefusedPicture
from .labelled import LabelledData, Part
from .listing import Listing, Refused
from .pixels import read_pixels
from .preprocessing import Preprocessing
from .store import Progress
from .stores import place


def read_listing(
    listing: Listing, preprocessing: Preprocessing | None = None, progress: Progress | None = None
) -> LabelledData:
    """Decode the pictures of a `Listing`, or take them from the pixel store; refused ones are listed.

    `preprocessing` fixes size and channels; where it is None they fit the pictures, by their headers alone; the test
    pictures have no say in it.
    """
    where = listing.where or str(listing.root)
    paths = [item.path for items in listing.splits.values() for item in items]
    names = [listing.relative(path) for path in paths]
    choosing: list[int] = []
    start = 0
    for split, items in listing.splits.items():
        choosing += range(start, start + len(items)) if split != "test" else ()
        start += len(items)
    chosen = choosing if len(choosing) < len(paths) else None
    read = read_pixels(place(where), paths, preprocessing, names=names, choosing=chosen, progress=progress)
    data = LabelledData(where, {}, read.preprocessing, list(listing.refused), notes=[read.note] if read.note else [])
    seen = Counter(status for status in read.statuses if not isinstance(status, RefusedPicture))
    for header, count in seen.items():
        data.sizes[f"{header.width}×{header.height} {'grey' if header.grey else 'colour'}"] = count
    start = 0
    for split, labelled in listing.splits.items():
        part = slice(start, start + len(labelled))
        start = part.stop
        good = []
        for number, status in enumerate(read.statuses[part]):
            if isinstance(status, RefusedPicture):
                data.refused.append(Refused(names[part.start + number], status.reason, status.message))
            else:
                good.append(number)
        whole = len(good) == len(labelled)  # then the array is not copied
        pixels = read.array[part] if whole else read.array[part][np.array(good, np.int64)]
        data.splits[split] = Part(pixels, [labelled[i].label for i in good], [names[part.start + i] for i in good])
    return data
