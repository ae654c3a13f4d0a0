"""Changes to training pictures that leave their class as it is. Whole batches at once, on the batch's device.

Each is a callable `(xb, generator) -> xb` with `xb` float32, N×C×H×W; the generator (a `torch.Generator` on the
CPU) makes it a pure function of seed, epoch and step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Shift:
    """Move each picture by up to `most` pixels in each direction; its edge pixels fill the gap."""

    most: int = 2

    def __call__(self, xb: Tensor, generator: torch.Generator) -> Tensor:
        """Move the pictures of a batch."""
        n, channels, height, width = xb.shape
        padded = F.pad(xb, (self.most,) * 4, mode="replicate")
        top, left = torch.randint(0, 2 * self.most + 1, (2, n, 1), generator=generator).to(xb.device)
        rows = top + torch.arange(height, device=xb.device)
        columns = left + torch.arange(width, device=xb.device)
        flat = (rows[:, :, None] * padded.shape[-1] + columns[:, None, :]).view(n, 1, -1).expand(n, channels, -1)
        return padded.flatten(2).gather(2, flat).view(xb.shape)

    def __str__(self) -> str:
        return f"shift by up to {self.most} px"


@dataclass(frozen=True)
class Flip:
    """Mirror each picture left to right with probability one half."""

    def __call__(self, xb: Tensor, generator: torch.Generator) -> Tensor:
        """Mirror some pictures of a batch."""
        mirrored = torch.rand(len(xb), generator=generator).lt(0.5).to(xb.device)
        return torch.where(mirrored[:, None, None, None], xb.flip(-1), xb)

    def __str__(self) -> str:
        return "flip left to right"


@dataclass(frozen=True)
class Affine:
    """Rotate by up to `degrees`, cut up to `zoom` off the sides, move by up to `shift` of them; edges are repeated."""

    degrees: float = 10
    zoom: float = 0.25
    shift: float = 0.05

    def __call__(self, xb: Tensor, generator: torch.Generator) -> Tensor:
        """Turn, zoom and move the pictures of a batch."""
        height, width = xb.shape[2:]
        uniform = 2 * torch.rand(4, len(xb), generator=generator) - 1
        angle, scale = uniform[0] * math.radians(self.degrees), 1 - self.zoom * uniform[1].abs()
        cos, sin = angle.cos() * scale, angle.sin() * scale
        across, down = 2 * self.shift * uniform[2:]  # the sides go from -1 to 1, whatever their pixels
        rows = [
            torch.stack([cos, -sin * (height / width), across], 1),
            torch.stack([sin * (width / height), cos, down], 1),
        ]
        grid = F.affine_grid(torch.stack(rows, 1).to(xb), list(xb.shape), align_corners=False)
        return F.grid_sample(xb, grid, mode="bilinear", padding_mode="border", align_corners=False)

    def __str__(self) -> str:
        return f"rotate by up to {self.degrees:g}°, zoom by up to {self.zoom:.0%}, shift by up to {self.shift:.0%}"


@dataclass(frozen=True)
class Chain:
    """Several changes, one after the other."""

    parts: tuple[Augment, ...]

    def __call__(self, xb: Tensor, generator: torch.Generator) -> Tensor:
        """Change a batch by each part in turn."""
        for part in self.parts:
            xb = part(xb, generator)
        return xb

    def __str__(self) -> str:
        return ", ".join(map(str, self.parts)) or "none"
