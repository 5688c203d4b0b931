"""The networks of the image zoo: an encoder of several blocks and a linear head."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

__all__ = ["ARCHITECTURES", "Network", "build"]


def conv(inside: int, outside: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution, normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
    )


class Residual(nn.Module):
    """Two convolutions around which the input is added."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(inside, outside, stride),
            nn.Conv2d(outside, outside, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outside),
        )
        self.skip = nn.Conv2d(inside, outside, 1, stride, bias=False)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.body(x) + self.skip(x))


def plain(w: int) -> list[nn.Module]:
    return [conv(3, w, 2), conv(w, w), conv(w, 2 * w, 2), conv(2 * w, 4 * w)]


def deep(w: int) -> list[nn.Module]:
    return [
        conv(3, w, 2),
        conv(w, w),
        conv(w, w),
        conv(w, 2 * w, 2),
        conv(2 * w, 2 * w),
        conv(2 * w, 4 * w),
    ]


def wide(w: int) -> list[nn.Module]:
    return [conv(3, w, 2, 5), conv(w, 2 * w, 2, 5), conv(2 * w, 4 * w)]


def residual(w: int) -> list[nn.Module]:
    return [conv(3, w, 2), Residual(w, w, 1), Residual(w, 2 * w, 2)]


def pooled(w: int) -> list[nn.Module]:
    pool = nn.MaxPool2d(2)
    return [
        nn.Sequential(conv(3, w), pool),
        nn.Sequential(conv(w, 2 * w), pool),
        conv(2 * w, 4 * w),
    ]


ARCHITECTURES = {
    "plain": plain,
    "deep": deep,
    "wide": wide,
    "residual": residual,
    "pooled": pooled,
}


class Network(nn.Module):
    """Blocks, the average over a grid of 2 × 2 fields, and a linear head.

    Args:
        architecture (str): One of :obj:`ARCHITECTURES`.
        width (int): Channels of the first block.
        num_classes (int): Number of classes.
    """

    def __init__(self, architecture: str, width: int, num_classes: int) -> None:
        super().__init__()
        blocks = ARCHITECTURES[architecture](width)
        names = [f"block{i}" for i in range(len(blocks))]
        pool = [("pool", nn.AdaptiveAvgPool2d(2)), ("flatten", nn.Flatten())]
        self.encoder = nn.Sequential(OrderedDict([*zip(names, blocks, strict=True), *pool]))
        last = 2 * width if architecture == "residual" else 4 * width
        self.head = nn.Linear(4 * last, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))


def build(place: int, num_classes: int) -> Network:
    """The network of the zoo's task number ``place``: architectures and widths take turns."""
    names = list(ARCHITECTURES)
    width = (12, 16, 10, 14)[place % 4]
    return Network(names[place % len(names)], width, num_classes)
