"""Pictures for the exhibits: grey digits, and three classes in colour."""

from __future__ import annotations

import pytest
import torch

from sevensteps.data.dataloaders import DataLoaders


@pytest.fixture(scope="module")
def digits() -> DataLoaders:
    return DataLoaders.from_source()


@pytest.fixture(scope="module")
def colour() -> DataLoaders:
    """Three classes of noise that is mostly red, green or blue, 12 × 9 pixels."""
    labels = torch.arange(60) % 3
    pixels = torch.randint(0, 100, (60, 3, 12, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels[torch.arange(60), labels] += 150
    return DataLoaders.from_arrays(pixels, [("red", "green", "blue")[i] for i in labels.tolist()])
