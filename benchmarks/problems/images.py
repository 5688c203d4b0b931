"""Real images for the protocols of image-side methods, small enough for one core."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.problems.canvas import digits

__all__ = ["handwritten", "one_sided", "paste", "scenes"]


def handwritten(name: str, part: str, count: int | None = None) -> tuple[Tensor, Tensor]:
    """Digits in [0, 1] and their classes: scikit-learn's 8 x 8, or MNIST averaged to 14 x 14.

    ``count`` keeps so many of them, the same ones each time.
    """
    if name == "digits":
        x, y = digits(part)
        x = x / 2
    elif name == "mnist":
        from graphkit.datasets import mnist

        x, y = mnist(part)
        x = F.avg_pool2d(x, 2)
    else:
        raise ValueError(f"this protocol runs on 'digits' or 'mnist', got {name!r}")
    if count is not None and count < len(y):
        rows = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))[:count]
        x, y = x[rows], y[rows]
    return x, y


def paste(x: Tensor, corner: Tensor, size: int) -> Tensor:
    """Images ``[B, 1, S, S]`` on empty canvases, their upper left corners at ``[B, 2]``."""
    side = x.size(2)
    step = torch.arange(side)
    rows = (corner[:, :1] + step).unsqueeze(2)
    cols = (corner[:, 1:] + step).unsqueeze(1)
    canvas = x.new_zeros(len(x), size, size)
    canvas[torch.arange(len(x)).view(-1, 1, 1), rows, cols] = x[:, 0]
    return canvas.unsqueeze(1)


def scenes(
    x: Tensor, y: Tensor, classes: tuple[int, ...], count: int, seed: int, share: float = 0.6
) -> tuple[Tensor, Tensor]:
    """Images with a digit of each class, or none, in random cells of a 2 x 2 grid.

    Gives the images ``[B, 1, 2S, 2S]`` and where each class is ``[B, K, 2S, 2S]``.
    """
    generator = torch.Generator().manual_seed(seed)
    side = x.size(2)
    canvas = x.new_zeros(count, 1, 2 * side, 2 * side)
    masks = torch.zeros(count, len(classes), 2 * side, 2 * side, dtype=torch.bool)
    cells = torch.rand(count, 4, generator=generator).argsort(1)[:, : len(classes)]
    present = torch.rand(count, len(classes), generator=generator) < share
    for k, digit in enumerate(classes):
        rows = (y == digit).nonzero().squeeze(1)
        drawn = rows[torch.randint(len(rows), (count,), generator=generator)]
        corner = torch.stack([cells[:, k] // 2, cells[:, k] % 2], 1) * side
        here = present[:, k].view(-1, 1, 1, 1)
        canvas += paste(x[drawn], corner, 2 * side) * here
        box = paste(torch.ones_like(x[drawn]), corner, 2 * side) > 0
        masks[:, k] = (box & here)[:, 0]
    return canvas, masks


def one_sided(y: Tensor, rows: Tensor, few: int, side: int, half: int = 5) -> Tensor:
    """All rows of one half of the classes, and a few of each other class."""
    whole = (y[rows] < half) == (side == 0)
    rest = [rows[~whole & (y[rows] == kind)][:few] for kind in y.unique()]
    return torch.cat([rows[whole], *rest])
