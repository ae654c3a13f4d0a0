"""Reads what a figure shows: its panels by their titles, and the numbers that are drawn in them."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor


def panel(figure: Figure, title: str) -> Axes:
    """The one panel that has these words in its title."""
    (axis,) = [axis for axis in figure.axes if title in axis.get_title()]
    return axis


def picture(axis: Axes, number: int = -1) -> Tensor:
    """The numbers of a picture in a panel, of the one on top if no other is asked for."""
    return torch.from_numpy(np.array(axis.images[number].get_array()))


def bars(axis: Axes, series: str = "_container0") -> dict[str, float]:
    """How long the bar is that stands at each name, from the top down; of one series where there are several."""
    (container,) = [container for container in axis.containers if container.get_label() == series]
    places = dict(zip(axis.get_yticks(), (label.get_text() for label in axis.get_yticklabels()), strict=True))
    return {places[round(bar.get_y() + bar.get_height() / 2)]: bar.get_width() for bar in container}


def lines(axis: Axes) -> dict[str, list[tuple[float, float]]]:
    """The points of each line, by its name in the legend; without one it is called _child and its number."""
    return {line.get_label(): list(zip(*(at.tolist() for at in map(np.array, line.get_data())), strict=True))
            for line in axis.get_lines()}  # fmt: skip
