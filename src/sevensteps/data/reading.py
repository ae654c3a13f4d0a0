"""The pictures of a listing as labelled pixels, in order, with those refused that are no pictures."""

from __future__ import annotations

from collections import Counter
from itertools import compress

import numpy as np

from ..errors import RefusedPicture
from .labelled import LabelledData, Part
from .listing import Listing, Refused
from .names import Names, pack
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
    paths = [path for files in listing.splits.values() for path in files.paths]
    packed = pack(map(listing.relative, paths))
    choosing = np.repeat([split != "test" for split in listing.splits], [*map(len, listing.splits.values())])
    chosen = None if choosing.all() else np.flatnonzero(choosing)
    read = read_pixels(place(where), paths, preprocessing, names=packed, choosing=chosen, progress=progress)
    data = LabelledData(where, {}, read.preprocessing, list(listing.refused), notes=[read.note] if read.note else [])
    seen = Counter(status for status in read.statuses if not isinstance(status, RefusedPicture))
    for header, count in seen.items():
        data.sizes[f"{header.width}×{header.height} {'grey' if header.grey else 'colour'}"] = count
    names, start = Names.unpacked(packed), 0
    for split, files in listing.splits.items():
        part = slice(start, start + len(files))
        start = part.stop
        good = np.ones(len(files), bool)
        for number, status in enumerate(read.statuses[part]):
            if isinstance(status, RefusedPicture):
                data.refused.append(Refused(names[part.start + number], status.reason, status.message))
                good[number] = False
        pixels = read.array[part] if good.all() else read.array[part][good]  # all of it is not copied
        labels = list(compress(files.labels, good.tolist()))
        headers = [status for status in read.statuses[part] if not isinstance(status, RefusedPicture)]
        data.splits[split] = Part(pixels, labels, Names(names.name_of, part.start + np.flatnonzero(good)), headers)
    return data
