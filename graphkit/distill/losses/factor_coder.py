"""Features as a few factors and back: what a teacher is boiled down to."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from graphkit.catalog import no_method

__all__ = ["FactorCoder", "encoder"]

SLOPE = 0.1


@no_method("the auto-encoder of InheritanceExploration")
class FactorCoder(nn.Module):
    """An auto-encoder of feature maps, or of vectors with linear layers in place of convolutions.

    Args:
        in_channels (int): Of the features.
        factor_channels (int): Of the factors.
        spatial (bool, optional): Features are maps. (default: :obj:`True`)

    Shapes:
        - **input:** :math:`(N, C, H, W)`, or :math:`(N, C)`
        - **output:** factors :math:`(N, K, H, W)`, or :math:`(N, K)`
    """

    def __init__(self, in_channels: int, factor_channels: int, spatial: bool = True) -> None:
        super().__init__()
        self.encode = encoder(in_channels, factor_channels, spatial)
        back = stages([factor_channels, factor_channels, in_channels], spatial)
        # Features may have any sign, so the last layer has nothing behind it.
        self.decode = nn.Sequential(*back, layer(in_channels, in_channels, spatial))

    def forward(self, x: Tensor) -> Tensor:
        """The factors."""
        return self.encode(x)

    def reconstruct(self, x: Tensor) -> Tensor:
        """The features again, from their factors."""
        return self.decode(self.encode(x))


def encoder(in_channels: int, factor_channels: int, spatial: bool) -> nn.Sequential:
    """Features to factors: an activation, then three times layer, normalisation, activation."""
    widths = [in_channels, in_channels, factor_channels, factor_channels]
    return nn.Sequential(nn.LeakyReLU(SLOPE), *stages(widths, spatial))


def stages(widths: list[int], spatial: bool) -> list[nn.Module]:
    """Layer, normalisation, activation, from width to width."""
    norm = nn.BatchNorm2d if spatial else nn.BatchNorm1d
    found: list[nn.Module] = []
    for inside, outside in pairwise(widths):
        found += [layer(inside, outside, spatial), norm(outside), nn.LeakyReLU(SLOPE)]
    return found


def layer(in_channels: int, out_channels: int, spatial: bool) -> nn.Module:
    """A convolution of size 3, or a linear layer, without bias."""
    if spatial:
        return nn.Conv2d(in_channels, out_channels, 3, 1, 1, bias=False)
    return nn.Linear(in_channels, out_channels, bias=False)
