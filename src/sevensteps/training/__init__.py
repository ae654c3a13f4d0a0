"""The loop and all that listens to it: losses, metrics, optimizers, schedules, callbacks, recorder, run folder.

In: `DataLoaders` and a model. Out: a trained model, a row of figures an epoch, and a run folder.
May import: `models`, `data`, `distributed`, `interval`, `randomness`, `files`, `errors`.
"""
