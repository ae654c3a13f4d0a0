"""The pictures of the page: which archetypes stand beside a mistake, and how far they are."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from sevensteps.data.pictures import PictureSet
from sevensteps.insight.interpretation import Interpretation
from sevensteps.models.pixel_similarity import PixelSimilarity
from sevensteps.report.gallery import Gallery

VOCAB = ["black", "grey", "white"]


@pytest.fixture
def gallery() -> Gallery:
    """Three dark pictures of the class "white", called "black", "grey" and "white"; the archetypes are flat."""
    archetypes = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1).expand(3, 1, 4, 4)
    similarity = PixelSimilarity().fit((archetypes, torch.arange(3)))
    pictures = PictureSet(torch.full((3, 1, 4, 4), 51, dtype=torch.uint8), torch.full((3,), 2), ["a", "b", "c"])
    answers = Interpretation(10 * torch.eye(3) - torch.eye(3)[[2]], pictures.labels, VOCAB, pictures.names)
    return Gallery(answers, pictures, similarity, has_probabilities=True)


def test_beside_a_mistake_stand_the_archetypes_of_its_class_and_of_the_called_one(gallery: Gallery) -> None:
    as_black, as_grey = sorted(gallery.mistakes, key=lambda tile: tile.said)
    assert [near.distance for near in as_black.near] == pytest.approx([0.8, 0.2])
    assert [near.distance for near in as_grey.near] == pytest.approx([0.8, 0.3])
    assert [near.nearer for near in as_black.near] == [False, True]
    src = as_grey.near[1].archetype.src
    shown = np.array(Image.open(io.BytesIO(base64.b64decode(src.partition(",")[2]))))
    assert np.array_equal(shown, np.full((4, 4), 128))


def test_right_answers_have_no_archetypes_beside_them(gallery: Gallery) -> None:
    assert [tile.near for tile in [*gallery.sure, *gallery.close_calls]] == [(), ()]


def test_archetypes_as_near_as_each_other_are_both_the_nearer_one(gallery: Gallery) -> None:
    gallery.similarity.archetypes[0] = gallery.similarity.archetypes[2]
    (as_black,) = [tile for tile in gallery.mistakes if tile.said == "black"]
    assert [near.nearer for near in as_black.near] == [True, True]


def test_scores_that_are_no_probabilities_are_not_shown_as_such(gallery: Gallery) -> None:
    assert all(tile.sure for tile in gallery.mistakes)
    gallery = Gallery(gallery.answers, gallery.collection, gallery.similarity, has_probabilities=False)
    assert not any(tile.sure for tile in gallery.mistakes)
