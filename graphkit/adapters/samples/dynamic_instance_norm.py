"""Images linked by what they would make of others."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.adapters.builders import knn_edges
from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.modes import evaluating
from graphkit.precision import normalize
from graphkit.words import refuse_class

__all__ = ["StyleGraphAdapter"]


class StyleGraphAdapter(GraphAdapter):
    r"""Style images, each with the kernels and biases that a
    :class:`~graphkit.vision.DINStyleTransfer` makes of it, linked to those most alike.

    .. math::
        x_i = [w_1(s_i), b_1(s_i), w_2(s_i), \dots], \qquad
        w_{ij} = \tfrac{1}{2}(1 + \cos(x_i - \bar x, x_j - \bar x))

    Vectors are centred before they are compared: what all styles share, the identity first of
    all, says nothing. Time grows with :math:`N^2`, memory with :math:`N`.

    Args:
        model (DINStyleTransfer): The network, or another with its ``kernels(style)``; run in
            evaluation mode.
        k (int, optional): Neighbours of an image. (default: :obj:`5`)

    Shapes:
        - **input:** style images :math:`(N, C, H, W)`, labels :math:`(N)` (optional)
        - **output:** ``x`` :math:`(N, D)`; ``edge_weight`` :math:`(E)` in [0, 1]

    Raises:
        ValueError: If ``k`` is below 1, or shapes do not fit.

    Example:
        >>> import torch
        >>> from graphkit.adapters import StyleGraphAdapter
        >>> from graphkit.vision import DINStyleTransfer, StyleEncoder
        >>> encoder = StyleEncoder(widths=(4, 8, 8, 16))
        >>> model = DINStyleTransfer(encoder, encoder.out_channels, widths=(8, 16))
        >>> StyleGraphAdapter(model, k=2)(torch.rand(6, 3, 16, 16)).x.shape
        torch.Size([6, 112])
    """

    schema = Schema(
        node="a style image",
        edge="one of the other's nearest; weight: (1 + cosine) / 2 of centred vectors",
        attributes={
            "x": ("N", "D"),
            "y": ("N",),
            "edge_index": (2, "E"),
            "edge_weight": ("E",),
        },
        undirected=True,
        y="the image's label as the caller gives it, -1 where it is not given",
        differentiable=("x", "edge_weight"),
    )
    takes: ClassVar[dict[str, int]] = {"style": 4}

    def __init__(self, model: Any, k: int = 5) -> None:
        super().__init__()
        refuse_class("model", model)
        if k < 1:
            raise ValueError(f"'k' must be at least 1, got {k}")
        self.model, self.k = model, k

    def forward(self, style: Tensor, y: Tensor | None = None) -> Data:
        """The graph of some style images."""
        y = torch.full((len(style),), -1, device=style.device) if y is None else y
        if y.shape != style.shape[:1]:
            raise ValueError(f"'y' has shape {list(y.shape)} for {len(style)} images")
        with evaluating(self.model):
            kernels = self.model.kernels(style)
        x = torch.cat([part.flatten(1) for kernel in kernels for part in kernel], 1)
        unit = normalize(x - x.mean(0), dim=1)
        edges = knn_edges(unit, self.k)
        cosine = (unit[edges[0]] * unit[edges[1]]).sum(1)
        return Data(
            x=x.float(),
            y=y,
            edge_index=edges,
            edge_weight=((1 + cosine) / 2).clamp(0, 1).float(),
            num_nodes=len(style),
        )
