"""One self-contained HTML page about a run: result, curves, mistakes, passport.

In: a finished training. Out: `runs/<name>/report.html`, with no script and no file from elsewhere.
May import: `insight`, `training`, `models`, `data`, and what lies below them.
"""
