"""Patches of photographs in styles whose operators are known, and a network for them."""

from __future__ import annotations

import torch
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

from graphkit.vision import (
    DynamicInstanceNorm,
    StyleKernel,
    dynamic_conv2d,
    instance_normalize,
)

__all__ = ["IDENTITY", "OPERATORS", "ROW", "SIDE", "Stylist", "patches", "transfers"]

SIDE = 16
IDENTITY = torch.zeros(3, 3)
IDENTITY[1, 1] = 1
ROW = torch.tensor([[0.0, 0, 0], [1, 1, 1], [0, 0, 0]]) / 3
# What an operator of full strength is; half strength is half-way from the identity.
OPERATORS = torch.stack(
    [
        IDENTITY,
        ROW,
        ROW.t(),
        torch.eye(3) / 3,
        torch.eye(3).flip(0) / 3,
        torch.full((3, 3), 1 / 9),
        2 * IDENTITY - torch.full((3, 3), 1 / 9),
    ]
)


class Stylist(nn.Module):
    """A small style encoder and one dynamic layer on the pixels themselves."""

    def __init__(self, kernel_size: int, width: int = 16) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )
        self.din = DynamicInstanceNorm(3, width, kernel_size, hidden_channels=32)

    def kernels(self, style: Tensor) -> list[StyleKernel]:
        """What styles leave."""
        return [self.din.kernel(self.encoder(style).relu())]

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        """The content in the style."""
        return self.din(content, self.kernels(style)[0])


def transfers(part: str, count: int, seed: int) -> dict[str, Tensor]:
    """Normalised patches: content, style, what is wanted, and the kind of the operator."""
    generator = torch.Generator().manual_seed(seed if part == "train" else 10_000 + seed)
    content, style = (
        patches(torch.tensor(photo) / 255, part, count, generator)
        for photo in load_sample_images().images
    )
    kind = torch.randint(len(OPERATORS), (count,), generator=generator)
    strength = 0.5 + 0.5 * torch.rand(count, 1, 1, generator=generator)
    kernel = IDENTITY + strength * (OPERATORS[kind] - IDENTITY)
    weight = kernel.view(count, 1, 1, 3, 3).expand(-1, 3, -1, -1, -1)
    wanted, style = (dynamic_conv2d(image, weight) for image in (content, style))
    return {"content": content, "style": style, "wanted": wanted, "kind": kind}


def patches(photo: Tensor, part: str, count: int, generator: torch.Generator) -> Tensor:
    """Normalised patches ``[B, 3, S, S]``, for training of the left, for the test of the right."""
    border = photo.size(1) * 7 // 10
    area = photo[:, :border] if part == "train" else photo[:, border:]
    high, wide = (
        torch.randint(area.size(side) - SIDE + 1, (count,), generator=generator) for side in (0, 1)
    )
    step = torch.arange(SIDE)
    rows, cols = high.view(-1, 1, 1) + step.view(1, -1, 1), wide.view(-1, 1, 1) + step
    return instance_normalize(area[rows, cols].permute(0, 3, 1, 2))
