"""The pictures on the page: the most wrong beside the mean pictures of their classes, the surest, the archetypes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch

from ..insight.interpretation import Answer, Interpretation
from ..models.pixel_similarity import PixelSimilarity
from ..words import percent
from .thumbnails import LARGEST_PX, Thumbnail, thumbnail

MOST_MISTAKES, MOST_SURE, MOST_ARCHETYPES = 24, 12, 30
FEW_MISTAKES = 6  # below this, pictures that were only just right are shown too
BESIDE_PX = 64  # the side of an archetype beside a mistake, which is shown at half of that


class Near(NamedTuple):
    """A class's archetype beside a picture: how far it is from it, and whether it is the nearer one of two."""

    archetype: Thumbnail
    distance: float
    nearer: bool


class Tile(NamedTuple):
    """One picture on the page: `kind` is "right", "wrong" or "archetype"; `said` is the class it was called, if any.

    `near` holds the archetypes of the true and of the called class, for a mistake.
    """

    picture: Thumbnail
    kind: str
    true: str
    said: str = ""
    sure: str = ""
    name: str = ""
    near: tuple[Near, ...] = ()


class Gallery:
    """Tiles of the pictures in `collection` that `answers` are about, and of the archetypes of `similarity`.

    Where the answers are of pixel similarity itself, its scores are distances: `has_probabilities` is False.
    """

    def __init__(
        self, answers: Interpretation, collection: Any, similarity: PixelSimilarity, has_probabilities: bool
    ) -> None:
        self.answers, self.collection, self.similarity = answers, collection, similarity
        self.has_probabilities = has_probabilities

    @cached_property
    def mistakes(self) -> list[Tile]:
        """The wrong answers with the greatest loss."""
        wrong = self.answers.top_losses(MOST_MISTAKES, right=False)
        if not wrong:
            return []
        xb, _ = self.collection.take_batch(torch.tensor([answer.index for answer in wrong]))
        distances = self.similarity.distances(xb).tolist()
        return [self._tile(answer, self._near(answer, row)) for answer, row in zip(wrong, distances, strict=True)]

    @cached_property
    def close_calls(self) -> list[Tile]:
        """Where mistakes are few: the right answers with the greatest loss."""
        if len(self.mistakes) >= FEW_MISTAKES:
            return []
        return [self._tile(answer) for answer in self.answers.top_losses(MOST_SURE, right=True)]

    @cached_property
    def sure(self) -> list[Tile]:
        """The surest right answer of each class."""
        return [self._tile(answer) for answer in self.answers.surest()[:MOST_SURE]]

    @cached_property
    def archetypes(self) -> list[Tile]:
        """The mean picture of each class, where there are not too many."""
        vocab = self.answers.vocab
        if len(vocab) > MOST_ARCHETYPES:
            return []
        return [Tile(self._archetype(label), "archetype", name) for label, name in enumerate(vocab)]

    def _tile(self, answer: Answer, near: tuple[Near, ...] = ()) -> Tile:
        sure = percent(answer.probability) if self.has_probabilities else ""
        picture = thumbnail(self.collection.pixels_of(torch.tensor([answer.index]))[0])
        kind = "right" if answer.right else "wrong"
        return Tile(picture, kind, answer.true, answer.predicted, sure, answer.name, near)

    def _near(self, answer: Answer, distances: Sequence[float]) -> tuple[Near, ...]:
        labels = [self.answers.vocab.index(name) for name in (answer.true, answer.predicted)]
        least = min(distances[label] for label in labels)
        return tuple(
            Near(self._archetype(label, BESIDE_PX), distances[label], distances[label] == least) for label in labels
        )

    def _archetype(self, label: int, largest_px: int = LARGEST_PX) -> Thumbnail:
        return thumbnail((self.similarity.archetypes[label] * 255).round().to(torch.uint8), largest_px)
