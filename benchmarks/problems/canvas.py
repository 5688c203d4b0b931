"""Digits on a noisy canvas: images whose evidence is known to lie in a box."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

__all__ = ["Canvas", "canvas", "classifier", "digits"]

DIGIT = 8


@dataclass
class Canvas:
    """Images, what they show and where.

    Args:
        x (torch.Tensor): Images :math:`(B, 1, S, S)`.
        y (torch.Tensor): Digits :math:`(B)`.
        box (torch.Tensor): Whether a pixel lies in the digit's box :math:`(B, 1, S, S)`.
    """

    x: Tensor
    y: Tensor
    box: Tensor


def digits(part: str) -> tuple[Tensor, Tensor]:
    """scikit-learn's digits in [0, 2], 60 % ``"train"`` and 40 % ``"test"``, stratified."""
    images, y = load_digits(return_X_y=True)
    rows = train_test_split(range(len(y)), test_size=0.4, random_state=0, stratify=y)
    numbers = rows[part == "test"]
    x = torch.from_numpy(images[numbers]).float().view(-1, 1, DIGIT, DIGIT) / 8
    return x, torch.from_numpy(y[numbers])


def canvas(part: str, count: int, seed: int, size: int = 24, noise: float = 0.15) -> Canvas:
    """Digits drawn with a seed, pasted at random places on Gaussian noise."""
    generator = torch.Generator().manual_seed(seed)
    images, y = digits(part)
    rows = torch.randint(len(y), (count,), generator=generator)
    corner = torch.randint(size - DIGIT + 1, (count, 2), generator=generator)
    x = noise * torch.randn(count, 1, size, size, generator=generator)
    span = torch.arange(size)
    inside = (span >= corner[:, :, None]) & (span < corner[:, :, None] + DIGIT)
    box = (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None]
    x[box] += images[rows].flatten()
    return Canvas(x, y[rows], box)


def classifier(width: int = 16, num_classes: int = 10) -> nn.Sequential:
    """Three convolutions, the average over all places, a linear layer."""
    layers: list[nn.Module] = []
    channels = [1, width, 2 * width, 4 * width]
    for inside, outside, stride in zip(channels, channels[1:], (1, 2, 2), strict=False):
        layers += [
            nn.Conv2d(inside, outside, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outside),
            nn.ReLU(),
        ]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], num_classes)
    )
