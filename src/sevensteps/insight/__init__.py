"""Looking inside a training and its model: a step opened, any step made again, the doctor, why an answer was given.

In: a Learner, a run folder, predictions and targets, a model and pictures. Out: records that print, draw and are JSON.
Listens to training and changes nothing. May import: `training`, `models`, `data`, and what lies below them.
"""
