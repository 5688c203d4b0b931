"""The cheapest paths from every node, by number of nodes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from graphkit.ops.backends import active_backend
from graphkit.ops.checks import as_edge_index, check_tensors
from graphkit.ops.paths.path_graph import PathGraph
from graphkit.ops.paths.searches import exact, portable
from graphkit.ops.situation import outside_torch_func, without_transform

CHUNK = 1 << 14


class PathIndex(PathGraph):
    r"""A weighted graph made ready for :func:`shortest_paths`, for many queries.

    Rows are in CSR form and sorted by (cost, target); loops are dropped and of parallel
    edges the cheapest stays.  Building it sorts the edges, :math:`\mathcal{O}(E \log E)`;
    a query costs no more than its own sources.

    Args:
        edge_index (torch.Tensor): Edges ``[2, E]`` from ``edge_index[0]`` to
            ``edge_index[1]``.
        cost (torch.Tensor, optional): Their costs ``[E]``, finite and not negative; every
            edge costs 1 if not given. (default: :obj:`None`)
        num_nodes (int, optional): Number of nodes. (default: the largest index plus 1)

    Shapes:
        - **input:** edges :math:`(2, E)`, costs :math:`(E)`
        - **output:** see :meth:`query`

    Raises:
        TypeError: If :obj:`edge_index` holds no integers.
        ValueError: If shapes disagree or a cost is negative, infinite or NaN.
        IndexError: If an index lies outside the graph.

    Example:
        >>> import torch
        >>> from graphkit.ops import PathIndex
        >>> index = PathIndex(torch.tensor([[0, 1], [1, 2]]))
        >>> index.query(torch.tensor([0]), ratio=1.0)[3]
        tensor([[0, 1, 2]])
    """

    def __init__(
        self, edge_index: Tensor, cost: Tensor | None = None, num_nodes: int | None = None
    ) -> None:
        edge_index = as_edge_index(edge_index)
        cost = None if cost is None else without_transform(cost, "cost")
        with outside_torch_func():
            super().__init__(*check_graph(edge_index, cost, num_nodes))

    def query(
        self,
        sources: Tensor | None = None,
        max_nodes: int = 3,
        ratio: float = 0.5,
        method: Literal["hop", "exact"] = "hop",
        self_paths: bool = False,
    ) -> dict[int, Tensor]:
        """The paths of :func:`shortest_paths` from :obj:`sources`, grouped in their order."""
        check_query(max_nodes, ratio, method)
        sources = None if sources is None else without_transform(sources, "sources")
        with outside_torch_func():
            sources = self.check_sources(sources)
            quota = (self.degree[sources] * min(ratio, float(self.num_nodes))).floor().long()
            groups = [self.edges_of(sources)]
            if max_nodes > 2:
                search = search_by_hops if method == "hop" else exact.search_sources
                groups += search(self, sources, quota, max_nodes)
            if self_paths:
                rows = sources.view(-1, 1)
                groups = [torch.cat([paths, rows.expand(-1, paths.size(1))]) for paths in groups]
            return {paths.size(1): paths for paths in groups}

    def edges_of(self, sources: Tensor) -> Tensor:
        """Paths of two nodes: all edges of the sources, cheapest first."""
        degree = self.degree[sources]
        owner = torch.repeat_interleave(degree)
        skipped = (self.rowptr[sources] - degree.cumsum(0) + degree)[owner]
        edge = torch.arange(owner.numel(), device=owner.device) + skipped
        return torch.stack([sources[owner], self.col[edge]], dim=1)

    def check_sources(self, sources: Tensor | None) -> Tensor:
        """The sources as an int64 tensor on the graph's device."""
        if sources is None:
            return torch.arange(self.num_nodes, device=self.col.device)
        if sources.dtype != torch.long or sources.dim() != 1:
            raise TypeError(
                f"'sources' must be a one-dimensional int64 tensor, got {sources.dtype} "
                f"of shape {list(sources.shape)}"
            )
        check_range("sources", sources, self.num_nodes)
        return sources.to(self.col.device)


def shortest_paths(
    edge_index: Tensor,
    cost: Tensor | None = None,
    max_nodes: int = 3,
    ratio: float = 0.5,
    method: Literal["hop", "exact"] = "hop",
    num_nodes: int | None = None,
    sources: Tensor | None = None,
    self_paths: bool = False,
) -> dict[int, Tensor]:
    r"""The cheapest paths from every node, by number of nodes, as in the `"SPAGAN: Shortest
    Path Graph Attention Network" <https://arxiv.org/abs/2101.03464>`_ paper.

    .. math::
        P^c_i = \operatorname{top}_{\lfloor r d_i \rfloor} \left\{ \arg\min_{p : i \to j,
        |p| = c} \sum_{(u, v) \in p} w_{uv} \;:\; j \in \mathcal{V} \right\}

    Paths of two nodes are all edges.  For :math:`c \geq 3` there is one path per source
    and end, kept only if it is cheaper than every path with fewer nodes, and of these the
    :math:`\lfloor r d_i \rfloor` cheapest per source, :math:`d_i` being its number of
    out-neighbours.  Paths follow the direction of the edges, never repeat a node, and come
    grouped by source, cheapest first.  Costs are added in float64.

    :obj:`method="hop"` compares paths of at most :obj:`max_nodes` nodes and runs in about
    :math:`\mathcal{O}(E \log d)` for :obj:`max_nodes=3`.  :obj:`method="exact"` compares
    with paths of any length, by Dijkstra from every source (scipy, in chunks of rows):
    :math:`\mathcal{O}(N E \log N)`.

    Paths are integers and have no derivative: inside of ``torch.func`` they are found for the
    plain costs, and a ``vmap`` over graphs is refused.

    Ties are broken alike everywhere: fewer nodes first, then the prefix (the path without
    its end) that comes first by cost and, recursively, by this rule, then the smaller end.
    With unit costs this is lexicographic order.  In :obj:`"exact"` mode scipy picks one of
    several equally cheap paths to the same end.

    Args:
        edge_index (torch.Tensor): Edges from ``edge_index[0]`` to ``edge_index[1]``.  For
            attention paths, whose source is the *receiving* node, pass the flipped edges.
        cost (torch.Tensor, optional): Edge costs, finite and not negative; 1 everywhere if
            not given. (default: :obj:`None`)
        max_nodes (int, optional): Most nodes on a path, ends included.
            (default: :obj:`3`)
        ratio (float, optional): Paths kept per source and length :math:`\geq 3`, as a
            share of its degree; :obj:`math.inf` keeps all. (default: :obj:`0.5`)
        method (str, optional): :obj:`"hop"` or :obj:`"exact"`. (default: :obj:`"hop"`)
        num_nodes (int, optional): Number of nodes. (default: the largest index plus 1)
        sources (torch.Tensor, optional): Only paths from these nodes; for repeated queries
            build a :class:`PathIndex` once. (default: all nodes)
        self_paths (bool, optional): Adds the path :math:`(i, i, \ldots, i)` of every
            source to every length, after all others. (default: :obj:`False`)

    Shapes:
        - **input:** edges :math:`(2, E)`, costs :math:`(E)`, sources :math:`(S)`
        - **output:** a dictionary :math:`c \mapsto (P_c, c)` for
          :math:`c = 2, \ldots` :obj:`max_nodes`

    Raises:
        TypeError: If indices are not integers.
        ValueError: If shapes disagree, a cost is negative, infinite or NaN, an option is
            unknown, or ``torch.func.vmap`` runs over an argument.
        IndexError: If an index lies outside the graph.

    Example:
        >>> import torch
        >>> from graphkit.ops import shortest_paths
        >>> edge_index = torch.tensor([[0, 1, 0], [1, 2, 2]])
        >>> shortest_paths(edge_index, torch.tensor([0.1, 0.1, 1.0]))[3]
        tensor([[0, 1, 2]])
    """
    index = PathIndex(edge_index, cost, num_nodes)
    return index.query(sources, max_nodes, ratio, method, self_paths)


def search_by_hops(
    index: PathIndex, sources: Tensor, quota: Tensor, max_nodes: int
) -> list[Tensor]:
    """Paths of 3, 4, … nodes by the backend in force; threads share the sources on a CPU."""
    if not runs_on_numba(index.col):
        return portable.search_sources(index, sources, quota, max_nodes)
    from graphkit.ops.paths.searches import compiled

    graph = [array.numpy() for array in (index.rowptr, index.col, index.cost)]

    def search(chunk: tuple[Tensor, Tensor]) -> tuple[np.ndarray, np.ndarray]:
        best = np.zeros(index.num_nodes, dtype=np.int32)
        start, kept = (part.numpy() for part in chunk)
        return compiled.search_sources(*graph, start, kept, max_nodes, best)  # type: ignore[call-arg]

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        chunks = pool.map(search, zip(sources.split(CHUNK), quota.split(CHUNK), strict=True))
        nodes, hops = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    return [torch.from_numpy(nodes[hops == c - 1, :c]) for c in range(3, max_nodes + 1)]


def runs_on_numba(tensor: Tensor) -> bool:
    """Whether the compiled search serves this tensor; other backends take the torch one."""
    return tensor.device.type == "cpu" and active_backend() in ("auto", "numba")


def check_graph(
    edge_index: Tensor, cost: Tensor | None, num_nodes: int | None
) -> tuple[Tensor, Tensor, int]:
    """Plain edges, costs and the number of nodes, or an error naming what is wrong."""
    check_tensors(edge_index=edge_index, cost=cost)
    edge_index = edge_index.long()
    if num_nodes is None:
        num_nodes = int(edge_index.max()) + 1 if edge_index.numel() else 0
    check_range("edge_index", edge_index, num_nodes)
    if cost is None:
        cost = torch.ones(edge_index.size(1), device=edge_index.device)
    if cost.shape != edge_index.shape[1:]:
        raise ValueError(f"'cost' must have shape [{edge_index.size(1)}], got {list(cost.shape)}")
    cost = cost.detach()
    if not bool((cost.isfinite() & (cost >= 0)).all()):
        worst = cost[~(cost.isfinite() & (cost >= 0))][0].item()
        raise ValueError(f"'cost' must be finite and not negative, got {worst}")
    return edge_index, cost.abs(), num_nodes


def check_range(name: str, index: Tensor, num_nodes: int) -> None:
    """Refuses indices outside ``0 … num_nodes - 1``."""
    if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < num_nodes:
        raise IndexError(
            f"'{name}' must lie in 0 … {num_nodes - 1}, got {int(index.min())} to "
            f"{int(index.max())}"
        )


def check_query(max_nodes: int, ratio: float, method: str) -> None:
    """Refuses impossible options by name."""
    if max_nodes < 2:
        raise ValueError(f"'max_nodes' must be at least 2, got {max_nodes}")
    if not ratio >= 0:
        raise ValueError(f"'ratio' must not be negative, got {ratio}")
    if method not in ("hop", "exact"):
        raise ValueError(f"'method' must be 'hop' or 'exact', got {method!r}")
