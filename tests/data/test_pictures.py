from __future__ import annotations

import pytest
import torch

from sevensteps.data.pictures import PictureSet


def pictures() -> PictureSet:
    return PictureSet(torch.arange(8, dtype=torch.uint8).view(4, 1, 1, 2), torch.tensor([0, 1, 0, 1]), list("wxyz"))


def test_a_batch_is_the_pictures_asked_for_between_0_and_1():
    xb, yb = pictures().take_batch(torch.tensor([3, 0, 3]))
    assert torch.equal(xb, torch.tensor([[6, 7], [0, 1], [6, 7]]).view(3, 1, 1, 2) / 255)
    assert xb.dtype == torch.float32
    assert (yb.tolist(), yb.dtype) == ([1, 0, 1], torch.int64)


def test_one_picture_is_a_batch_of_one_and_a_label():
    x, y = pictures()[2]
    assert torch.equal(x, pictures().take_batch(torch.tensor([2]))[0][0])
    assert (y, type(y)) == (0, int)
    assert len(list(pictures())) == len(pictures()) == 4


def test_a_part_keeps_pixels_labels_and_names_together():
    part = pictures().take([3, 0])
    assert (part.pixels[:, 0, 0, 0].tolist(), part.labels.tolist(), [*part.names]) == ([6, 0], [1, 0], ["z", "w"])


def test_a_part_shares_the_pixels_of_the_whole():
    whole = pictures()
    part = whole.take([3, 0, 2]).take([2, 0])
    assert part.store.data_ptr() == whole.store.data_ptr()
    assert torch.equal(part.pixels, whole.pixels[[2, 3]])
    assert torch.equal(part.take_batch(torch.tensor([1]))[0], whole.take_batch(torch.tensor([3]))[0])
    assert torch.equal(part[-1][0], whole[3][0])


def test_a_picture_that_is_not_there_ends_the_loop():
    with pytest.raises(IndexError):
        pictures()[4]
