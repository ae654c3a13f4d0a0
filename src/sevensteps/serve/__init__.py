"""A model folder behind HTTP: pictures in, classes and probabilities out.

In: a model folder, requests. Out: JSON.
May import: everything below it; needs the extra `serve`.
"""
