"""Several views of time side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.nn.skeletons.joint_conv import ConvNorm, FrameConv

__all__ = ["FrameBranches"]


class FrameBranches(nn.Module):
    r"""Dilated convolutions, a maximum and a plain map of the frames, side by side.

    All branches but the plain one begin with a convolution of their own over single frames;
    these are one convolution here, and so are the normalisations.

    Args:
        channels (int): Width, at least the number of branches; what does not divide goes to
            the first one.
        kernel_size (int): Frames that a convolution sees.
        dilations (sequence of int): Distances between them, one branch each.
        stride (int, optional): Every how many frames. (default: :obj:`1`)

    Shapes:
        - **input:** :math:`(N, C, V, T)`
        - **output:** :math:`(N, C, V, \lceil T / s \rceil)`, normalised

    Raises:
        ValueError: If the width is too small.

    Example:
        >>> import torch
        >>> FrameBranches(8, 5, (1, 2), stride=2)(torch.rand(2, 8, 25, 9)).shape
        torch.Size([2, 8, 25, 5])
    """

    def __init__(
        self, channels: int, kernel_size: int, dilations: Sequence[int], stride: int = 1
    ) -> None:
        super().__init__()
        branches = len(dilations) + 2
        width = channels // branches
        if width < 1:
            raise ValueError(f"{channels} channels are too few for {branches} branches")
        first = channels - width * (branches - 1)
        self.widths, self.stride = [first, *[width] * (branches - 2)], stride
        self.reduce = ConvNorm(channels, sum(self.widths))
        self.convs = nn.ModuleList(
            FrameConv(size, size, kernel_size, stride, dilation)
            for size, dilation in zip(self.widths, dilations, strict=False)
        )
        self.point = FrameConv(channels, width, stride=stride)
        self.norm = nn.BatchNorm2d(channels)

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        for part in (self.reduce, *self.convs, self.point, self.norm):
            part.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        parts = self.reduce(x).relu_().split(self.widths, dim=1)
        seen = [conv(part) for conv, part in zip(self.convs, parts, strict=False)]
        peak = F.max_pool2d(parts[-1], (1, 3), (1, self.stride), (0, 1))
        return self.norm(torch.cat([*seen, peak, self.point(x)], dim=1))
