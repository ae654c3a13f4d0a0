"""What all figures share."""

from __future__ import annotations

import subprocess
import sys

import torch

from sevensteps.insight.drawing import panels, plain, show_picture


def test_a_class_name_with_mathematics_or_control_characters_can_be_drawn() -> None:
    figure, (axis,) = panels(1, plain("$x^$"))
    show_picture(axis, torch.zeros(1, 2, 2), plain("$\\frac$ \x1b[2J \udcff"))
    figure.canvas.draw()
    assert axis.get_title() == "?\\frac? ?[2J ?"


def test_a_signed_picture_is_drawn_around_zero_in_one_channel() -> None:
    _, (axis,) = panels(1, "")
    show_picture(axis, torch.tensor([[-1.0, 1.0]]).expand(3, 1, 2), high=2, signed=True)
    image = axis.images[0]
    assert image.get_clim() == (-2, 2)
    assert image.get_array().tolist() == [[-1.0, 1.0]]  # type: ignore[union-attr]


def test_figures_do_not_touch_pyplots_state() -> None:
    code = (
        "import sys; from sevensteps.insight.drawing import panels; panels(2, ''); print('pyplot' in str(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"
