"""One self-contained HTML page about a run: result, curves, mistakes, passport; or about several, side by side.

In: a finished training, or run folders. Out: `report.html`, `compare.html`, with no script and no file from elsewhere.
May import: `insight`, `training`, `models`, `data`, and what lies below them.
"""
