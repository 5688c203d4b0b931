"""Hypothesis strategies for graphs, with everything that breaks code left in.

Isolated nodes, self loops, duplicate edges, empty edge sets and graphs without nodes occur
unless they are switched off, and failing examples shrink to few nodes and edges.

>>> from hypothesis import given
>>> @given(data=datas(num_features=3))
... def test_no_crash(data):
...     assert data.x.size(0) == data.num_nodes
>>> test_no_crash()
"""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from torch import Tensor
from torch_geometric.data import Data, HeteroData

__all__ = ["datas", "edge_indices", "features", "hetero_datas", "node_counts"]


def node_counts(min_nodes: int = 0, max_nodes: int = 8) -> SearchStrategy[int]:
    """Numbers of nodes.

    Args:
        min_nodes (int, optional): The fewest. (default: :obj:`0`)
        max_nodes (int, optional): The most. (default: :obj:`8`)

    Example:
        >>> node_counts(2, 5)
        integers(min_value=2, max_value=5)
    """
    return st.integers(min_nodes, max_nodes)


@st.composite
def edge_indices(
    draw: DrawFn,
    num_nodes: int | tuple[int, int],
    max_edges: int = 16,
    self_loops: bool = True,
    duplicates: bool = True,
    undirected: bool = False,
) -> Tensor:
    r"""Edge indices on a given number of nodes, in no particular order.

    Args:
        num_nodes (int or tuple): The number of nodes, or of sources and targets.
        max_edges (int, optional): The most edges, before reverses are added.
            (default: :obj:`16`)
        self_loops (bool, optional): Whether they may occur. (default: :obj:`True`)
        duplicates (bool, optional): Whether they may occur. (default: :obj:`True`)
        undirected (bool, optional): Whether each edge comes with its reverse.
            (default: :obj:`False`)

    Shapes:
        - **output:** :math:`(2, |\mathcal{E}|)`, int64
    """
    sources, targets = num_nodes if isinstance(num_nodes, tuple) else (num_nodes, num_nodes)
    if min(sources, targets) == 0:
        return torch.empty(2, 0, dtype=torch.long)
    pair = st.tuples(st.integers(0, sources - 1), st.integers(0, targets - 1))
    if not self_loops:
        pair = pair.filter(lambda edge: edge[0] != edge[1])
        max_edges = max_edges if max(sources, targets) > 1 else 0
    pairs = draw(st.lists(pair, max_size=max_edges, unique=not duplicates))
    if undirected:
        pairs = pairs + [(v, u) for u, v in pairs if u != v]
        pairs = pairs if duplicates else list(dict.fromkeys(pairs))
    return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).t().contiguous()


@st.composite
def features(draw: DrawFn, rows: int, channels: int, dtype: torch.dtype = torch.float32) -> Tensor:
    r"""Standard normal features from a drawn seed.

    Args:
        rows (int): The number of rows.
        channels (int): The number of columns.
        dtype (torch.dtype, optional): Their type. (default: ``torch.float32``)

    Shapes:
        - **output:** :math:`(rows, channels)`
    """
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    return torch.randn(rows, channels, generator=generator, dtype=torch.float64).to(dtype)


@st.composite
def datas(
    draw: DrawFn,
    num_features: int = 4,
    min_nodes: int = 0,
    max_nodes: int = 8,
    max_edges: int = 16,
    edge_channels: int = 0,
    self_loops: bool = True,
    duplicates: bool = True,
    undirected: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Data:
    r"""Homogeneous graphs with ``x``, ``edge_index``, ``num_nodes`` and perhaps ``edge_attr``.

    Args:
        num_features (int, optional): Width of ``x``. (default: :obj:`4`)
        min_nodes (int, optional): The fewest nodes. (default: :obj:`0`)
        max_nodes (int, optional): The most nodes. (default: :obj:`8`)
        max_edges (int, optional): The most edges. (default: :obj:`16`)
        edge_channels (int, optional): Width of ``edge_attr``; none at zero.
            (default: :obj:`0`)
        self_loops (bool, optional): Whether they may occur. (default: :obj:`True`)
        duplicates (bool, optional): Whether they may occur. (default: :obj:`True`)
        undirected (bool, optional): Whether each edge comes with its reverse.
            (default: :obj:`False`)
        dtype (torch.dtype, optional): Type of the features. (default: ``torch.float32``)
    """
    num_nodes = draw(node_counts(min_nodes, max_nodes))
    edges = draw(edge_indices(num_nodes, max_edges, self_loops, duplicates, undirected))
    x = draw(features(num_nodes, num_features, dtype))
    data = Data(x=x, edge_index=edges, num_nodes=num_nodes)
    if edge_channels:
        data.edge_attr = draw(features(edges.size(1), edge_channels, dtype))
    return data


@st.composite
def hetero_datas(
    draw: DrawFn,
    node_types: tuple[str, ...] = ("a", "b"),
    edge_types: tuple[tuple[str, str, str], ...] = (("a", "to", "b"), ("b", "of", "a")),
    num_features: int = 4,
    max_nodes: int = 6,
    max_edges: int = 12,
) -> HeteroData:
    """Heterogeneous graphs with every node and edge type present, some of them empty.

    Args:
        node_types (tuple, optional): Names of node types. (default: ``("a", "b")``)
        edge_types (tuple, optional): Triples of source, relation and target.
        num_features (int, optional): Width of every ``x``. (default: :obj:`4`)
        max_nodes (int, optional): The most nodes of a type. (default: :obj:`6`)
        max_edges (int, optional): The most edges of a type. (default: :obj:`12`)
    """
    data = HeteroData()
    for kind in node_types:
        data[kind].num_nodes = draw(node_counts(0, max_nodes))
        data[kind].x = draw(features(data[kind].num_nodes, num_features))
    for relation in edge_types:
        sizes = (data[relation[0]].num_nodes, data[relation[2]].num_nodes)
        data[relation].edge_index = draw(edge_indices(sizes, max_edges))
    return data
