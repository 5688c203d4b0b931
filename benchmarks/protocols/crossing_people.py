"""Tracks of people who walk through each other, from a density video: counting beside peaks.

All walk straight across a square and meet near its middle, where their blobs melt into one;
density maps are rendered with noise. ``mota_tbc`` is tracking by counting, ``mota_peaks`` links
local maxima, ``mota_sort`` is a SORT-like tracker of the same maxima.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from benchmarks.rivals.tracking import Points, find_peaks, link_peaks, sort_like
from graphkit.metrics import clear_mot
from graphkit.vision import TrackingByCounting, render_density

__all__ = ["MAIN", "load", "run"]

MAIN = "mota_tbc"
SIGMA, RADIUS, PEAK, LINK = 1.5, 3.0, 0.03, 2.0


def load(
    name: str = "crossings",
    people: int = 5,
    frames: int = 24,
    side: int = 20,
    mass_noise: float = 0.2,
    pixel_noise: float = 0.002,
    seed: int = 0,
) -> tuple[Tensor, Points]:
    """Density maps and the truth; ways, starts and noise are drawn by the seed."""
    generator = torch.Generator().manual_seed(seed)
    angle = torch.arange(people) + 0.6 * torch.rand(people, generator=generator)
    angle = angle * (2 * math.pi / people)
    way = torch.stack([angle.sin(), angle.cos()], dim=1)
    # Nobody passes through the very middle, or all would be one blob there.
    aside = 2.0 * torch.rand(people, 1, generator=generator) - 1.0
    middle = side / 2 + aside * way.flip(1) * torch.tensor([1.0, -1.0])
    when = torch.linspace(-1, 1, frames)[:, None, None]
    position = (middle + when * (side / 2 - 2 * SIGMA) * way).flatten(0, 1)
    frame = torch.arange(frames).repeat_interleave(people)
    shape = (frames, side, side)
    density = render_density(position, frame, shape, SIGMA, mass_noise, pixel_noise, generator)
    return density, (frame, torch.arange(people).repeat(frames), position)


def run(dataset: dict[str, Any], *, seed: int) -> dict[str, float]:
    """One draw of ways and noise."""
    density, truth = load(**{**dataset, "seed": seed})
    spots = find_peaks(density, PEAK)
    arms = {
        "tbc": TrackingByCounting(sigma=SIGMA).solve(density).points(),
        "peaks": link_peaks(*spots, LINK),
        "sort": sort_like(*spots, LINK),
    }
    figures = {arm: clear_mot(truth, points, RADIUS) for arm, points in arms.items()}
    return {f"mota_{arm}": figure["mota"] for arm, figure in figures.items()}
