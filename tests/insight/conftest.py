"""Networks that have learned something, for what looks into them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from sevensteps import DataLoaders, Learner, networks


def trained(dls: DataLoaders, network: Callable[..., torch.nn.Module], epochs: int, **arguments: int) -> Learner:
    learn = Learner(dls, network(dls, **arguments), quiet=True)
    learn.fit_one_cycle(epochs, 0.02)
    return learn


@pytest.fixture(scope="session")
def digits() -> DataLoaders:
    return DataLoaders.from_source()


@pytest.fixture(scope="session")
def convnet(digits: DataLoaders) -> torch.nn.Module:
    """Right on most of the embedded digits."""
    return trained(digits, networks.convnet, 3, width=8).model


@pytest.fixture(scope="session")
def simple_net(digits: DataLoaders) -> torch.nn.Module:
    return trained(digits, networks.simple_net, 3).model


@pytest.fixture(scope="session")
def where() -> torch.Tensor:
    """For each picture of `spots` where its spot of 6×6 pixels is: bool, 300×24×32."""
    corners = torch.rand(300, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([18, 26])
    rows, columns = corners.long().T[:, :, None] + torch.arange(6)
    where = torch.zeros(300, 24, 32, dtype=torch.bool)
    where[torch.arange(300)[:, None, None], rows[:, :, None], columns[:, None, :]] = True
    return where


@pytest.fixture(scope="session")
def spots(where: torch.Tensor) -> DataLoaders:
    """Colour noise with a brighter spot somewhere; its colour is the class. The last 60 are for validation."""
    labels = torch.arange(300) % 2
    pixels = torch.randint(0, 160, (300, 3, 24, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    pixels[torch.arange(300), 2 * labels] += 95 * where.to(torch.uint8)
    vocab = [("red", "blue")[label] for label in labels.tolist()]
    return DataLoaders.from_arrays(pixels[:240], vocab[:240], valid=(pixels[240:], vocab[240:]), batch_size=16)


@pytest.fixture(scope="session")
def resnet(spots: DataLoaders) -> torch.nn.Module:
    """Tells the colour of the spot."""
    return trained(spots, networks.resnet, 8, width=8).model
