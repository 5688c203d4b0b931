"""CutMix and MixUp: mixed images whose labels are weighted by area, or by opacity.

Both are those of ``torchvision.transforms.v2``, in a few lines and without torchvision; a test
compares them where it is installed.
"""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor

__all__ = ["cutmix", "mixup"]


def mixup(
    x: Tensor, y: Tensor, num_classes: int, alpha: float, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Each image faded into the one before it; images and soft labels."""
    kept = float(random.beta(alpha, alpha))
    hot = F.one_hot(y, num_classes).to(x.dtype)
    return kept * x + (1 - kept) * x.roll(1, 0), kept * hot + (1 - kept) * hot.roll(1, 0)


def cutmix(
    x: Tensor, y: Tensor, num_classes: int, alpha: float, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """A box of each image replaced by that of the one before it; images and soft labels."""
    high, wide = x.shape[2:]
    kept = float(random.beta(alpha, alpha))
    row, col, half = int(random.integers(high)), int(random.integers(wide)), 0.5 * (1 - kept) ** 0.5
    top, bottom = max(row - int(half * high), 0), min(row + int(half * high), high)
    left, right = max(col - int(half * wide), 0), min(col + int(half * wide), wide)
    out = x.clone()
    out[..., top:bottom, left:right] = x.roll(1, 0)[..., top:bottom, left:right]
    share = (bottom - top) * (right - left) / (high * wide)
    hot = F.one_hot(y, num_classes).to(x.dtype)
    return out, (1 - share) * hot + share * hot.roll(1, 0)
