"""Images linked by the likeness of their impressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.adapters.builders import knn_edges
from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.precision import normalize
from graphkit.vision.impression_space import ImpressionSpace

__all__ = ["ImpressionGraphAdapter"]


class ImpressionGraphAdapter(GraphAdapter):
    r"""The relation of images in an :class:`~graphkit.vision.ImpressionSpace` as a graph.

    .. math::
        (i, j) \in \mathcal{E} \iff j \in \mathrm{kNN}(v_i) \text{ or } i \in \mathrm{kNN}(v_j),
        \qquad w_{ij} = \tfrac{1}{2} (1 + \cos(v_i, v_j))

    Vectors are centred before they are compared, so that no image is everybody's neighbour.
    Label propagation on it classifies images of classes that the network has never seen. Time
    grows with :math:`N^2`, memory with :math:`N`.

    Args:
        space (ImpressionSpace): The network.
        layers (sequence of int, optional): The blocks to compare. (default: all)
        k (int, optional): Neighbours of an image. (default: :obj:`10`)
        pool (bool, optional): Averages over places; else all places count.
            (default: :obj:`True`)

    Shapes:
        - **input:** images :math:`(N, C, H, W)`, classes :math:`(N)` (optional)
        - **output:** ``x`` :math:`(N, \sum_l C_l)`: impression; ``edge_weight`` :math:`(E)` in
          [0, 1]

    Raises:
        ValueError: If ``k`` is below 1, or shapes do not fit.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from graphkit.adapters import ImpressionGraphAdapter
        >>> from graphkit.vision import ImpressionSpace
        >>> space = ImpressionSpace([nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU())])
        >>> ImpressionGraphAdapter(space, k=3)(torch.rand(20, 1, 8, 8)).x.shape
        torch.Size([20, 8])
    """

    schema = Schema(
        node="an image",
        edge="one of the other's nearest; weight: (1 + cosine) / 2 of centred impressions",
        attributes={
            "x": ("N", "D"),
            "y": ("N",),
            "edge_index": (2, "E"),
            "edge_weight": ("E",),
        },
        undirected=True,
        y="the image's class as the caller gives it, -1 where it is not given",
        differentiable=("x", "edge_weight"),
    )

    takes: ClassVar[dict[str, int]] = {"x": 4}

    def __init__(
        self,
        space: ImpressionSpace,
        layers: Sequence[int] | None = None,
        k: int = 10,
        pool: bool = True,
    ) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"'k' must be at least 1, got {k}")
        self.space, self.layers, self.k, self.pool = space, layers, k, pool

    def forward(self, x: Tensor, y: Tensor | None = None) -> Data:
        """The graph of some images."""
        y = torch.full((len(x),), -1, device=x.device) if y is None else y
        if y.shape != x.shape[:1]:
            raise ValueError(f"'y' has shape {list(y.shape)} for {len(x)} images")
        vectors = self.space.vectors(x, self.layers, self.pool)
        unit = normalize(vectors - vectors.mean(0), dim=1)
        edges = knn_edges(unit, self.k)
        cosine = (unit[edges[0]] * unit[edges[1]]).sum(1)
        return Data(
            x=vectors.float(),
            y=y,
            edge_index=edges,
            edge_weight=((1 + cosine) / 2).clamp(0, 1).float(),
            num_nodes=len(x),
        )
