"""A small network from images to density maps."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import no_method

__all__ = ["DensityNet", "density_loss"]


@no_method("a plain regression network, an input of TrackingByCounting")
class DensityNet(nn.Module):
    """Four convolutions from an image to the density of objects, in objects per cell.

    Args:
        in_channels (int, optional): Channels of the image. (default: :obj:`1`)
        channels (int, optional): Width of the first layer, doubled by the second.
            (default: :obj:`16`)
        stride (int, optional): Pixels of the image per cell of the map. (default: :obj:`1`)

    Shapes:
        - **input:** :math:`(B, C, H, W)`
        - **output:** :math:`(B, H / s, W / s)`, nowhere negative

    Example:
        >>> import torch
        >>> DensityNet(stride=2)(torch.rand(3, 1, 24, 20)).shape
        torch.Size([3, 12, 10])
    """

    def __init__(self, in_channels: int = 1, channels: int = 16, stride: int = 1) -> None:
        super().__init__()
        if stride < 1:
            raise ValueError(f"'stride' must be at least 1, got {stride}")
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, channels, 7, stride=stride, padding=3),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(2 * channels, channels, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(channels, 1, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """The density map."""
        if image.dim() != 4:
            raise ValueError(f"'image' must have shape [B, C, H, W], got {list(image.shape)}")
        return F.softplus(self.layers(image).squeeze(1) - 5.0)


def density_loss(found: Tensor, truth: Tensor, scale: float = 100.0) -> Tensor:
    r"""Mean squared error of densities, scaled up because densities are small.

    .. math::
        \mathcal{L} = \frac{1}{B H W} \sum (s \hat D - s D)^2

    Args:
        found (torch.Tensor): Maps of :class:`DensityNet`.
        truth (torch.Tensor): Maps of :func:`~graphkit.vision.render_density`.
        scale (float, optional): :math:`s`. (default: :obj:`100.0`)

    Example:
        >>> import torch
        >>> density_loss(torch.zeros(1, 2, 2), torch.full((1, 2, 2), 0.01)).item()
        1.0
    """
    if found.shape != truth.shape:
        raise ValueError(f"'found' is {list(found.shape)} and 'truth' {list(truth.shape)}")
    return (scale * (found - truth)).square().mean()
