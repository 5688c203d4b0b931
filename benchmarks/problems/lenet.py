"""Small networks without batch normalisation, for images that are made and not real."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.problems.images import handwritten

__all__ = ["Images", "lenet", "lenet5"]


class Images:
    """Standardised images in three parts.

    Args:
        name (str): ``"digits"``, 8 x 8, or ``"mnist"``, 28 x 28.
        held (float, optional): Share of the training images that nobody trains on.
            (default: :obj:`0.1`)
    """

    def __init__(self, name: str, held: float = 0.1) -> None:
        if name == "mnist":
            from graphkit.datasets import mnist

            (x, y), (self.test, self.test_y) = mnist("train"), mnist("test")
        elif name == "digits":
            (x, y), (self.test, self.test_y) = (handwritten(name, p) for p in ("train", "test"))
        else:
            raise ValueError(f"this protocol runs on 'digits' or 'mnist', got {name!r}")
        mean, deviation = x.mean(), x.std()
        x, self.test = (x - mean) / deviation, (self.test - mean) / deviation
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
        val, train = order.split([round(held * len(x)), len(x) - round(held * len(x))])
        self.x, self.y, self.val, self.val_y = x[train], y[train], x[val], y[val]
        self.size = x.size(2)


def lenet5(share: float = 1.0, classes: int = 10) -> nn.Sequential:
    """LeNet-5 for images of 28 x 28, with a share of its channels."""
    a, b, c, d = (max(int(share * width), 1) for width in (6, 16, 120, 84))
    layers = nn.Sequential(
        nn.Conv2d(1, a, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(a, b, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(b, c, 5),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(c, d),
        nn.ReLU(),
        nn.Linear(d, classes),
    )
    # Pixel by pixel in memory, maxima and convolutions of few channels are a seventh faster.
    return layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def lenet(share: float = 1.0, classes: int = 10) -> nn.Sequential:
    """Two convolutions with maxima and two linear layers, for images of 8 x 8."""
    a, b, c = (max(int(share * width), 1) for width in (16, 32, 64))
    return nn.Sequential(
        nn.Conv2d(1, a, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(a, b, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * b, c),
        nn.ReLU(),
        nn.Linear(c, classes),
    )
