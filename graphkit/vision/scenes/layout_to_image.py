"""From a layout of features to an image, coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method


@method(
    paper="arXiv:1804.01622",
    title="Image Generation from Scene Graphs",
    authors="Justin Johnson, Agrim Gupta, Li Fei-Fei",
    venue="CVPR 2018",
    year=2018,
    code="https://github.com/google/sg2im",
    licence="Apache-2.0",
    takes="a layout of features",
    gives="an image",
    deviations=[
        "no discriminators of images and objects: the small generator learns by pixels alone",
        "by default three stages of 64, 32 and 16 channels; the paper has 1024 to 64 in five",
        "pixels pass a sigmoid; the paper's images are normalised and unbounded",
    ],
    verified_by="benchmarks/recipes/paint-digitscenes.yaml",
)
class LayoutToImage(nn.Module):
    r"""The cascaded refinement network of the `"Image Generation from Scene Graphs"
    <https://arxiv.org/abs/1804.01622>`_ paper, a small one by default.

    .. math::
        \mathbf{F}^{(k)} = \phi\left( \left[ \operatorname{pool}(\mathbf{Y}),
        \operatorname{up}(\mathbf{F}^{(k - 1)}) \right] \right), \qquad \mathbf{F}^{(0)} = 0

    Each stage :math:`\phi` sees the layout at its own resolution and the features of the stage
    before, twice as coarse; two convolutions with batch norm and leaky ReLU.  Time grows with
    the number of pixels times the squared width of the last stage.

    Args:
        channels (int): Width of the layout, noise included.
        widths (sequence of int, optional): Width of each stage, coarse to fine.
            (default: :obj:`(64, 32, 16)`)
        image_channels (int, optional): Channels of the image. (default: :obj:`3`)

    Shapes:
        - **input:** layout :math:`(B, D, S, S)`, with :math:`S` a multiple of
          :math:`2^{\text{stages}}`
        - **output:** images :math:`(B, C, S, S)` in :math:`[0, 1]`

    Raises:
        ValueError: If the layout has another width or a size that cannot be halved so often.

    Example:
        >>> import torch
        >>> from graphkit.vision import LayoutToImage
        >>> LayoutToImage(5, (8, 4), image_channels=1)(torch.rand(2, 5, 16, 16)).shape
        torch.Size([2, 1, 16, 16])
    """

    def __init__(
        self, channels: int, widths: Sequence[int] = (64, 32, 16), image_channels: int = 3
    ) -> None:
        super().__init__()
        if not widths:
            raise ValueError("'widths' must name a stage")
        self.channels = channels
        before = [1, *widths[:-1]]
        self.stages = nn.ModuleList(
            stage(channels + narrow, wide) for narrow, wide in zip(before, widths, strict=True)
        )
        self.last = nn.Sequential(
            nn.Conv2d(widths[-1], widths[-1], 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(widths[-1], image_channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, layout: Tensor) -> Tensor:
        """Paints the layout.

        Args:
            layout (torch.Tensor): Features of each pixel.
        """
        depth = len(self.stages)
        if layout.dim() != 4 or layout.size(1) != self.channels:
            raise ValueError(
                f"'layout' must have shape [B, {self.channels}, S, S], got {list(layout.shape)}"
            )
        size = layout.size(-1)
        if layout.size(-2) != size or size % 2**depth or size == 0:
            raise ValueError(
                f"'layout' must be square and divisible by {2**depth}, got {list(layout.shape)}"
            )
        coarse = size // 2**depth
        features = layout.new_zeros(layout.size(0), 1, coarse, coarse)
        for number, module in enumerate(self.stages):
            features = F.interpolate(features, scale_factor=2.0)
            seen = F.avg_pool2d(layout, 2 ** (depth - 1 - number))
            features = module(torch.cat([seen, features], dim=1))
        return self.last(features)


def stage(narrow: int, wide: int) -> nn.Sequential:
    """Two convolutions with batch norm and leaky ReLU."""
    return nn.Sequential(
        nn.Conv2d(narrow, wide, 3, padding=1),
        nn.BatchNorm2d(wide),
        nn.LeakyReLU(0.2),
        nn.Conv2d(wide, wide, 3, padding=1),
        nn.BatchNorm2d(wide),
        nn.LeakyReLU(0.2),
    )
