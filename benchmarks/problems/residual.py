"""Small colour images and small residual networks for them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.images.tasks import load_pool

__all__ = ["ResidualNet", "objects"]


def objects(name: str = "CIFAR10") -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The image zoo's part of CIFAR-10, 500 and 150 images of each class, in [-1, 1]: to train on
    and to test with.
    """
    if name != "CIFAR10":
        raise ValueError(f"colour images are those of 'CIFAR10', got {name!r}")
    pool = load_pool("objects")
    x, other = (2 * images.float() / 255 - 1 for images in (pool.train, pool.test))
    return x, pool.train_y.long(), other, pool.test_y.long()


class Residual(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        stride = 1 if inside == outside else 2
        self.first = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(outside), nn.BatchNorm2d(outside)])
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        h = self.norms[1](self.second(F.relu(self.norms[0](self.first(x)))))
        # The shortcut without parameters: every second place, new channels zero.
        short = x[:, :, :: self.stride, :: self.stride]
        return F.relu(h + F.pad(short, (0, 0, 0, 0, 0, h.size(1) - x.size(1))))


class ResidualNet(nn.Module):
    """A residual network for small images: three stages of ``width`` to ``4 * width`` channels."""

    def __init__(self, width: int = 8, num_classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.stages = nn.Sequential(
            Residual(width, width), Residual(width, 2 * width), Residual(2 * width, 4 * width)
        )
        self.head = nn.Linear(4 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)).mean((2, 3)))
