"""Small graphs that break things, and dense views of a graph for writing oracles."""

from __future__ import annotations

import torch
from torch import Tensor

_EDGES: dict[str, tuple[int, list[tuple[int, int]]]] = {
    "plain": (6, [(4, 0), (0, 1), (2, 1), (3, 1), (1, 2), (4, 2), (0, 3), (2, 4), (5, 3)]),
    "isolated": (7, [(2, 0), (4, 2), (0, 2), (2, 4), (0, 4)]),
    "self_loops": (4, [(0, 1), (1, 1), (2, 1), (3, 3), (1, 0), (1, 2)]),
    "duplicates": (4, [(0, 1), (2, 1), (0, 1), (1, 3), (0, 1), (3, 2), (1, 3)]),
    "no_edges": (3, []),
    "no_nodes": (0, []),
    "single_node": (1, []),
    "single_loop": (1, [(0, 0)]),
    "chain": (6, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]),
    "other": (4, [(3, 0), (0, 2), (1, 2), (2, 3)]),
}


def example_graph(name: str) -> tuple[Tensor, int]:
    """A small directed graph by name, as ``(edge_index, num_nodes)``.

    Names: ``plain`` (irregular, no loops, no duplicates), ``isolated``, ``self_loops`` (in
    the middle of the edge list), ``duplicates``, ``no_edges``, ``no_nodes``,
    ``single_node``, ``single_loop``, ``chain`` and ``other`` (a second graph for batches).

    Args:
        name (str): One of the names above.

    Shapes:
        - **output:** edge indices :math:`(2, |\\mathcal{E}|)` and the number of nodes

    Raises:
        ValueError: If the name is unknown.

    Example:
        >>> example_graph("no_edges")[0].shape
        torch.Size([2, 0])
    """
    if name not in _EDGES:
        raise ValueError(f"no example graph is called {name!r}; there are {sorted(_EDGES)}")
    num_nodes, edges = _EDGES[name]
    return torch.tensor(edges, dtype=torch.long).reshape(-1, 2).t().contiguous(), num_nodes


def dense_adjacency(
    edge_index: Tensor,
    num_nodes: int,
    edge_weight: Tensor | None = None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    r"""The dense adjacency :math:`A_{ij}`: the summed weight of edges from :math:`j` to :math:`i`.

    Rows are targets, so :math:`A X` sums over incoming messages as PyG does. Duplicate edges
    add up. Memory grows with the square of the number of nodes: for oracles only.

    Args:
        edge_index (torch.Tensor): The edge indices, sources first.
        num_nodes (int): The number of nodes.
        edge_weight (torch.Tensor, optional): One weight per edge. (default: :obj:`None`)
        dtype (torch.dtype, optional): The type without weights. (default: ``torch.float64``)

    Shapes:
        - **input:** edge indices :math:`(2, |\mathcal{E}|)`, weights :math:`(|\mathcal{E}|)`
        - **output:** :math:`(|\mathcal{V}|, |\mathcal{V}|)`

    Example:
        >>> import torch
        >>> dense_adjacency(torch.tensor([[0, 0], [1, 1]]), 2)
        tensor([[0., 0.],
                [2., 0.]], dtype=torch.float64)
    """
    if edge_weight is None:
        edge_weight = torch.ones(edge_index.size(1), dtype=dtype, device=edge_index.device)
    flat = edge_weight.new_zeros(num_nodes * num_nodes)
    key = edge_index[1] * num_nodes + edge_index[0]
    return flat.index_add(0, key, edge_weight).view(num_nodes, num_nodes)


def disjoint_union(
    graphs: list[tuple[Tensor, Tensor]],
) -> tuple[Tensor, Tensor, Tensor]:
    """Joins graphs into one without edges between them, as PyG's batches do.

    Args:
        graphs (list): Pairs of node features and edge indices.

    Shapes:
        - **output:** node features, edge indices and the graph number of each node

    Example:
        >>> import torch
        >>> one = (torch.zeros(2, 3), torch.tensor([[0], [1]]))
        >>> x, edge_index, batch = disjoint_union([one, one])
        >>> edge_index.tolist(), batch.tolist()
        ([[0, 2], [1, 3]], [0, 0, 1, 1])
    """
    sizes = torch.tensor([0] + [x.size(0) for x, _ in graphs])
    starts = sizes.cumsum(0)
    x = torch.cat([x for x, _ in graphs])
    edge_index = torch.cat(
        [edges + int(start) for (_, edges), start in zip(graphs, starts, strict=False)], 1
    )
    batch = torch.repeat_interleave(torch.arange(len(graphs)), sizes[1:])
    return x, edge_index, batch
