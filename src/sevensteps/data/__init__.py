"""From the user's files to batches: find, decode, label, split, gather.

In: a folder, a CSV, IDX files, arrays, the name of a dataset, or any Python collection.
Out: `DataLoaders`, whose batches are `xb` (float32, N×C×H×W, 0 to 1) and `yb` (int64, N).
May import: `distributed`, `randomness`, `files`, `errors`.
"""
