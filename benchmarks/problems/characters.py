"""Omniglot's characters, old and new, and a network for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphkit.datasets import omniglot

__all__ = ["load", "network", "turned"]


def load(name: str = "omniglot", size: int = 28, turns: int = 4) -> dict[str, Any]:
    """Base and new characters, each turned ``turns`` times by 90 degrees."""
    if name != "omniglot":
        raise ValueError(f"this protocol runs on 'omniglot', got {name!r}")
    base, new = omniglot("small1", size), omniglot("small2", size)
    fresh = torch.tensor([one not in base.alphabets for one in new.alphabets])[new.alphabet]
    keep = fresh[new.y]
    names = new.y[keep].unique(return_inverse=True)[1]
    return {"base": turned(base.x, base.y, turns), "new": turned(new.x[keep], names, turns)}


def turned(x: Tensor, y: Tensor, turns: int) -> tuple[Tensor, Tensor]:
    """Images and classes, with every rotation a class of its own."""
    count = int(y.max()) + 1
    views = torch.cat([x.rot90(i, (2, 3)) for i in range(turns)])
    return views, torch.cat([y + i * count for i in range(turns)])


def network(channels: int = 32) -> tuple[nn.Module, int]:
    """Four convolutions without batch statistics, so that queries do not speak to each other."""
    layers: list[nn.Module] = [nn.AvgPool2d(2)]
    for i, inside in enumerate((1, channels, channels)):
        layers += [
            nn.Conv2d(inside, channels, 3, padding=1, bias=False),
            nn.GroupNorm(4, channels),
            nn.ReLU(),
            *([nn.MaxPool2d(2)] if i < 2 else []),
        ]
    return nn.Sequential(*layers, nn.Flatten()), 9 * channels
