"""Looking inside: what a model got wrong and how sure it was; listens to training and changes nothing.

In: predictions and targets, a Learner. Out: tables and rankings that people can read.
May import: `training`, `models`, `data`, and what lies below them.
"""
