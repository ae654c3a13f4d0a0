"""Looking inside: what a model got wrong, how sure it was, and why; listens to training and changes nothing.

In: predictions and targets, a model and pictures. Out: tables, rankings and maps that people can read.
May import: `training`, `models`, `data`, and what lies below them.
"""
