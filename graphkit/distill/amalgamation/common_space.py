"""The space that networks of different architecture share, and the way into it and back."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CommonSpace"]


class Residual(nn.Module):
    """Two layers and a way around them, without batch statistics."""

    def __init__(self, in_channels: int, out_channels: int, spatial: bool) -> None:
        super().__init__()
        self.first = layer(in_channels, out_channels, 3, spatial)
        self.second = layer(out_channels, out_channels, 3, spatial)
        same = in_channels == out_channels
        self.skip = nn.Identity() if same else layer(in_channels, out_channels, 1, spatial)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(F.relu(self.first(x))) + self.skip(x))


class CommonSpace(nn.Module):
    """The block of :class:`CommonFeatureLearning`: into the common space and back.

    Args:
        channels (sequence of int): Of the features of each network, the student first.
        hidden_channels (int, optional): Of the common space. (default: :obj:`128`)
        spatial (bool, optional): Features are maps and layers convolutions; else vectors and
            linear layers. (default: :obj:`True`)

    Shapes:
        - **input:** one of :math:`(N, C_m, H_m, W_m)`, or of :math:`(N, C_m)`, per network
        - **output:** one of :math:`(N, H, H', W')`, or of :math:`(N, H)`, per network
    """

    def __init__(
        self, channels: Sequence[int], hidden_channels: int = 128, spatial: bool = True
    ) -> None:
        super().__init__()
        width, self.spatial = hidden_channels, spatial
        self.adapt = nn.ModuleList(layer(each, 2 * width, 1, spatial) for each in channels)
        self.extractor = nn.Sequential(
            Residual(2 * width, width, spatial),
            Residual(width, width, spatial),
            Residual(width, width, spatial),
        )
        self.decoders = nn.ModuleList(
            nn.Sequential(layer(width, each, 3, spatial), nn.ReLU(), layer(each, each, 1, spatial))
            for each in channels[1:]
        )

    def align(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps averaged to the smallest height and the smallest width among them."""
        return align(maps) if self.spatial else list(maps)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Features of all networks in the common space."""
        aligned = zip(self.adapt, self.align(maps), strict=True)
        return [self.extractor(F.relu(adapt(each))) for adapt, each in aligned]

    def decode(self, common: Sequence[Tensor]) -> list[Tensor]:
        """The teachers' features, from theirs in the common space."""
        return [decode(h) for decode, h in zip(self.decoders, common[1:], strict=True)]


def align(maps: Sequence[Tensor]) -> list[Tensor]:
    """Maps averaged to the smallest height and the smallest width among them."""
    size = min(f.size(2) for f in maps), min(f.size(3) for f in maps)
    return [f if f.shape[2:] == size else F.adaptive_avg_pool2d(f, size) for f in maps]


def layer(in_channels: int, out_channels: int, kernel_size: int, spatial: bool) -> nn.Module:
    """A convolution that keeps height and width, or, of vectors, a linear layer."""
    if not spatial:
        return nn.Linear(in_channels, out_channels, bias=False)
    return nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
