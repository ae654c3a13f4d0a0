"""The local page: try a model with a picture or a drawing, and see what it was trained on.

In: a run or model folder. Out: a page on this machine alone.
May import: `serve` and everything below it; needs the extra `serve`.
"""
