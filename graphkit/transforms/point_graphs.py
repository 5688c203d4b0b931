"""PyG's transforms from points to graphs, where pyg-lib is missing."""

from __future__ import annotations

from typing import Any

from torch_geometric import transforms
from torch_geometric.utils import to_undirected

from graphkit.ops.points.graphs import knn_graph, radius_graph

__all__ = ["KNNGraph", "RadiusGraph"]


class KNNGraph(transforms.KNNGraph):
    r"""Links every position with its :math:`k` nearest ones:
    :class:`torch_geometric.transforms.KNNGraph` on :func:`graphkit.nn.knn_graph`.

    Args:
        k (int, optional): Neighbours per node. (default: :obj:`6`)
        loop (bool, optional): Adds self loops. (default: :obj:`False`)
        force_undirected (bool, optional): Adds the reverse of every edge.
            (default: :obj:`False`)
        flow (str, optional): Direction of the edges. (default: ``"source_to_target"``)
        cosine (bool, optional): Compares angles. (default: :obj:`False`)
        num_workers (int, optional): Threads. (default: :obj:`1`)

    Shapes:
        - **input:** a graph with ``pos`` :math:`(N, D)` and perhaps ``batch``
        - **output:** the same with ``edge_index`` :math:`(2, E)`, and without ``edge_attr``

    Raises:
        ValueError: If the graph has no positions, or they are not finite.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> KNNGraph(k=1)(Data(pos=torch.tensor([[0.0], [1.0], [5.0]]))).edge_index
        tensor([[1, 0, 1],
                [0, 1, 2]])
    """

    def forward(self, data: Any) -> Any:
        edge_index = knn_graph(
            positions(data),
            self.k,
            data.batch,
            self.loop,
            self.flow,
            self.cosine,
            self.num_workers,
        )
        if self.force_undirected:
            edge_index = to_undirected(edge_index, num_nodes=data.num_nodes)
        data.edge_index, data.edge_attr = edge_index, None
        return data


class RadiusGraph(transforms.RadiusGraph):
    r"""Links all positions at most ``r`` apart:
    :class:`torch_geometric.transforms.RadiusGraph` on :func:`graphkit.nn.radius_graph`.

    Args:
        r (float): The distance.
        loop (bool, optional): Adds self loops. (default: :obj:`False`)
        max_num_neighbors (int, optional): Most neighbours of a node, the nearest ones.
            (default: :obj:`32`)
        flow (str, optional): Direction of the edges. (default: ``"source_to_target"``)
        num_workers (int, optional): Threads. (default: :obj:`1`)

    Shapes:
        - **input:** a graph with ``pos`` :math:`(N, D)` and perhaps ``batch``
        - **output:** the same with ``edge_index`` :math:`(2, E)`, and without ``edge_attr``

    Raises:
        ValueError: If the graph has no positions, or they are not finite.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> RadiusGraph(2.0)(Data(pos=torch.tensor([[0.0], [1.0], [5.0]]))).edge_index
        tensor([[1, 0],
                [0, 1]])
    """

    def forward(self, data: Any) -> Any:
        data.edge_index = radius_graph(
            positions(data),
            self.r,
            data.batch,
            self.loop,
            self.max_num_neighbors,
            self.flow,
            self.num_workers,
        )
        data.edge_attr = None
        return data


def positions(data: Any) -> Any:
    """The positions of a graph's nodes."""
    if data.pos is None:
        raise ValueError("the graph has no 'pos' to find neighbours by")
    return data.pos
