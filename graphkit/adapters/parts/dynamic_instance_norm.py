"""Dynamic instance normalisation as a convolution over the edges of a grid."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.vision.styles.dynamic_conv import dynamic_conv2d, instance_normalize
from graphkit.vision.styles.dynamic_instance_norm import DynamicInstanceNorm

__all__ = ["StyledPixelAdapter"]


class StyledPixelAdapter(GraphAdapter):
    r"""The pixels of content features and the edges that a depthwise
    :class:`~graphkit.vision.DynamicInstanceNorm` adds them up along.

    .. math::
        y_i = b + \sum_{j \in \mathcal{N}_{k \times k}(i)} \mathrm{diag}(w_{j - i})\, x_j

    It is an edge-conditioned convolution: :class:`~torch_geometric.nn.NNConv` with ``nn`` that
    makes a diagonal matrix of the last :math:`C` entries of ``edge_attr`` gives ``y - bias``, on
    the whole grid, as missing edges at the border are padding with zeros, whatever the layer's
    own is. Memory grows with :math:`B H W k^2 (C + k^2)`.

    Args:
        din (DynamicInstanceNorm): A depthwise layer.

    Shapes:
        - **input:** content features :math:`(B, C, H, W)`, style features
          :math:`(B \text{ or } 1, C_s, h, w)`
        - **output:** ``x`` :math:`(BHW, C)`: normalised content; ``edge_attr``
          :math:`(E, k^2 + C)`: which place of the kernel, one-hot, and the kernel's values
          there; ``bias`` :math:`(BHW, C)`; ``pos`` :math:`(BHW, 2)`; ``image`` :math:`(BHW)`

    Raises:
        ValueError: If the layer is not depthwise, or shapes do not fit.

    Example:
        >>> import torch
        >>> from graphkit.adapters import StyledPixelAdapter
        >>> from graphkit.vision import DynamicInstanceNorm
        >>> adapter = StyledPixelAdapter(DynamicInstanceNorm(4, 8, kernel_size=3))
        >>> adapter(torch.rand(1, 4, 5, 5), torch.rand(1, 8, 2, 2)).edge_attr.shape
        torch.Size([169, 13])
    """

    schema = Schema(
        node="a pixel of the content",
        edge="a pixel and one whose sum it enters, itself among them; features: place and kernel",
        attributes={
            "x": ("N", "C"),
            "y": ("N", "C"),
            "bias": ("N", "C"),
            "pos": ("N", 2),
            "image": ("N",),
            "edge_index": (2, "E"),
            "edge_attr": ("E", "A"),
        },
        undirected=True,
        y="what the layer gives with zeros outside of the image",
        differentiable=("x", "y", "bias", "edge_attr"),
    )
    takes: ClassVar[dict[str, int]] = {"content": 4, "style": 4}

    def __init__(self, din: DynamicInstanceNorm) -> None:
        super().__init__()
        if din.mode != "depthwise":
            raise ValueError(f"'din' must be depthwise, got mode={din.mode!r}")
        self.din = din

    def forward(self, content: Tensor, style: Tensor) -> Data:
        """The graph of all pixels of some images."""
        if content.size(1) != self.din.channels or len(style) not in (1, len(content)):
            raise ValueError(
                f"'content' {list(content.shape)} and 'style' {list(style.shape)} do not fit a "
                f"layer of {self.din.channels} channels"
            )
        count, channels, high, wide = content.shape
        kernel = self.din.kernel(style)
        weight = kernel.weight.expand(count, *kernel.weight.shape[1:])
        bias = kernel.bias.expand(count, channels)
        x = instance_normalize(content, self.din.eps)
        edges, place, image = windows(count, high, wide, self.din.kernel_size, content.device)
        which = torch.nn.functional.one_hot(place, self.din.kernel_size**2)
        values = weight.flatten(2)[image, :, place]
        number = torch.arange(count * high * wide, device=content.device)
        inside = number % max(high * wide, 1)
        pos = torch.stack([inside // max(wide, 1), inside % max(wide, 1)], 1)
        of = number // max(high * wide, 1)
        y = dynamic_conv2d(x, weight, bias, "zeros")
        return Data(
            x=rows(x).float(),
            y=rows(y).float(),
            bias=bias[of].float(),
            pos=pos.float(),
            image=of,
            edge_index=edges,
            edge_attr=torch.cat([which.to(values), values], 1).float(),
            num_nodes=len(number),
        )


def rows(maps: Tensor) -> Tensor:
    """Maps ``[B, C, H, W]`` as a row per pixel, row by row of every image."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def windows(
    count: int, high: int, wide: int, size: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Edges from the pixels of each window to its middle, sorted, their places, their images."""
    pixel = torch.arange(high * wide, device=device)
    row, col = pixel // max(wide, 1), pixel % max(wide, 1)
    step = torch.arange(size, device=device) - size // 2
    # By source: the middle that a pixel is the (-i, -j) neighbour of, in order of its number.
    to_row, to_col = row.view(-1, 1, 1) + step.view(1, -1, 1), col.view(-1, 1, 1) + step
    to_row, to_col = (part.expand(-1, size, size) for part in (to_row, to_col))
    inside = (to_row >= 0) & (to_row < high) & (to_col >= 0) & (to_col < wide)
    target = (to_row * wide + to_col)[inside]
    source = pixel.view(-1, 1, 1).expand_as(inside)[inside]
    place = torch.arange(size * size, device=device).flip(0).view(1, size, size)
    place = place.expand_as(inside)[inside]
    image = torch.arange(count, device=device).repeat_interleave(len(source))
    offset = image * (high * wide)
    edges = torch.stack([source.repeat(count) + offset, target.repeat(count) + offset])
    return edges, place.repeat(count), image
