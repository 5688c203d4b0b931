"""Edges that adapters are built of, as vectorised functions.

All give a coalesced ``edge_index`` (sorted by source, no duplicates) on the input's device, and
an empty one of shape ``[2, 0]`` where there is nothing to link.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.utils import coalesce, to_undirected

from graphkit.ops.points.graphs import knn_graph
from graphkit.refusals import refuse_infinite

__all__ = [
    "bipartite_edges",
    "chain_edges",
    "channel_responses",
    "complete_edges",
    "correlation_edges",
    "grid_edges",
    "knn_edges",
    "lattice_edges",
]


def knn_edges(
    x: Tensor,
    k: int,
    batch: Tensor | None = None,
    metric: str = "euclidean",
    undirected: bool = True,
) -> Tensor:
    r"""Edges from the :math:`k` nearest points of its set to every point.

    A set of :math:`n \le k` points becomes complete. The search, its cost and its ties are those
    of :func:`graphkit.nn.knn_graph`.

    Args:
        x (torch.Tensor): Points.
        k (int): Neighbours per point.
        batch (torch.Tensor, optional): The set of each point, in any order. (default: one set)
        metric (str, optional): ``"euclidean"`` or ``"cosine"``. (default: ``"euclidean"``)
        undirected (bool, optional): Adds the reverse of every edge. (default: :obj:`True`)

    Shapes:
        - **input:** points :math:`(N, C)`, sets :math:`(N)`
        - **output:** :math:`(2, E)`, :math:`E \le 2 N k`

    Raises:
        ValueError: If shapes or options are wrong, or values are not finite.

    Example:
        >>> import torch
        >>> knn_edges(torch.tensor([[0.0], [1.0], [5.0]]), 1, undirected=False)
        tensor([[0, 1, 1],
                [1, 0, 2]])
    """
    if metric not in ("euclidean", "cosine"):
        raise ValueError(f"'metric' must be 'euclidean' or 'cosine', got {metric!r}")
    if x.dim() != 2:
        raise ValueError(f"'x' must have shape [N, C], got {list(x.shape)}")
    edges = knn_graph(x, k, batch, cosine=metric == "cosine")
    return _tidy(edges, len(x), undirected)


def grid_edges(
    height: int, width: int, diagonals: bool = False, device: torch.device | None = None
) -> Tensor:
    """Undirected edges between neighbouring cells of an image, numbered row by row.

    Args:
        height (int): Rows.
        width (int): Columns.
        diagonals (bool, optional): Eight neighbours in place of four. (default: :obj:`False`)
        device (torch.device, optional): Where. (default: the CPU)

    Shapes:
        - **output:** :math:`(2, E)`, :math:`E \\le 8 H W`

    Example:
        >>> grid_edges(2, 2)
        tensor([[0, 0, 1, 1, 2, 2, 3, 3],
                [1, 2, 0, 3, 0, 3, 1, 2]])
    """
    cells = _cells((height, width), device)
    pairs = [(cells[:, :-1], cells[:, 1:]), (cells[:-1], cells[1:])]
    if diagonals:
        pairs += [(cells[:-1, :-1], cells[1:, 1:]), (cells[:-1, 1:], cells[1:, :-1])]
    edges = torch.cat([torch.stack([a.flatten(), b.flatten()]) for a, b in pairs], 1)
    return _tidy(edges, height * width, undirected=True)


def lattice_edges(sizes: Sequence[int], device: torch.device | None = None) -> Tensor:
    """Directed edges from each cell of a lattice to the next one along every axis.

    The last axis runs fastest, as in :meth:`torch.Tensor.flatten`; the graph has no cycle.

    Args:
        sizes (sequence of int): Cells along each axis.
        device (torch.device, optional): Where. (default: the CPU)

    Shapes:
        - **output:** :math:`(2, E)`

    Example:
        >>> lattice_edges([2, 2])
        tensor([[0, 0, 1, 2],
                [1, 2, 3, 3]])
    """
    cells = _cells(tuple(sizes), device)
    along = [cells.new_empty(2, 0)]
    for axis in range(cells.dim()):
        length = max(cells.size(axis) - 1, 0)
        start, end = (
            cells.narrow(axis, 0, length),
            cells.narrow(axis, min(1, cells.size(axis)), length),
        )
        along.append(torch.stack([start.flatten(), end.flatten()]))
    return _tidy(torch.cat(along, 1), cells.numel())


def bipartite_edges(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Edges from rows to columns wherever a matrix is not zero, and their entries.

    Args:
        weights (torch.Tensor): A matrix, or a boolean mask.

    Shapes:
        - **input:** :math:`(A, B)`
        - **output:** edges :math:`(2, E)`, entries :math:`(E)`

    Raises:
        ValueError: If it is no matrix, or holds NaN.

    Example:
        >>> import torch
        >>> edges, weight = bipartite_edges(torch.tensor([[0.0, 0.5], [2.0, 0.0]]))
        >>> edges, weight
        (tensor([[0, 1],
                [1, 0]]), tensor([0.5000, 2.0000]))
    """
    if weights.dim() != 2:
        raise ValueError(f"'weights' must be a matrix, got shape {list(weights.shape)}")
    if weights.is_floating_point() and weights.isnan().any():
        raise ValueError("'weights' holds NaN")
    edges = (weights != 0).nonzero().t().contiguous()
    return edges, weights[edges[0], edges[1]]


def channel_responses(features: Tensor) -> Tensor:
    """What every channel answers to every sample: the mean over places.

    Args:
        features (torch.Tensor): Features of samples, maps or vectors.

    Shapes:
        - **input:** :math:`(N, C, *)`
        - **output:** :math:`(C, N)`

    Raises:
        ValueError: If there are no channels, or values are not finite.

    Example:
        >>> import torch
        >>> channel_responses(torch.ones(5, 3, 2, 2)).shape
        torch.Size([3, 5])
    """
    if features.dim() < 2:
        raise ValueError(f"'features' must have shape [N, C, …], got {list(features.shape)}")
    if not features.isfinite().all():
        raise ValueError("'features' holds NaN or infinite values")
    pooled = features if features.dim() == 2 else features.flatten(2).mean(2)
    return pooled.t()


def correlation_edges(
    a: Tensor, b: Tensor | None = None, threshold: float = 0.5, k: int | None = None
) -> tuple[Tensor, Tensor]:
    r"""Edges between rows whose Pearson correlation is strong, of either sign, and that
    correlation.

    Strong means at least ``threshold``, or, with ``k``, among the ``k`` strongest of its row of
    ``a``; within ``a`` a pair is linked, both ways, if it is so for one of its ends. Of equally
    strong ones the first count.

    A constant row is correlated with none. Time and memory grow with :math:`A (B + D)`.

    Args:
        a (torch.Tensor): Rows.
        b (torch.Tensor, optional): Other rows, of the same length. (default: ``a``, without
            self loops)
        threshold (float, optional): The least absolute correlation. (default: :obj:`0.5`)
        k (int, optional): Edges of a row, in place of ``threshold``; rows that correlate with
            fewer have fewer. (default: :obj:`None`)

    Shapes:
        - **input:** :math:`(A, D)`, :math:`(B, D)`
        - **output:** edges :math:`(2, E)` from ``a`` to ``b``, correlations :math:`(E)`

    Raises:
        ValueError: If shapes do not fit, ``threshold`` is not above 0, or ``k`` is below 1.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0, 1.0], [0.0, 2.0], [1.0, 0.0]])
        >>> edges, r = correlation_edges(x[:2], x[2:])
        >>> edges, r.round()
        (tensor([[0, 1],
                [0, 0]]), tensor([-1., -1.]))
    """
    other = a if b is None else b
    if a.dim() != 2 or other.dim() != 2 or a.size(1) != other.size(1):
        raise ValueError(f"rows of shapes {list(a.shape)} and {list(other.shape)} do not compare")
    if not threshold > 0:
        raise ValueError(f"'threshold' must be above 0, got {threshold}")
    if k is not None and k < 1:
        raise ValueError(f"'k' must be at least 1, got {k}")
    refuse_infinite("a", a)
    refuse_infinite("b", b)
    first, second = (_standard(rows) for rows in (a, other))
    r = (first @ second.t()).clamp(-1, 1)
    size = r.abs()
    if b is None:
        # Both halves of the same product, so that rounding makes no edge one-way.
        size = torch.maximum(size, size.t()).fill_diagonal_(0)
    strong = size >= threshold
    if k is not None:
        order = size.argsort(dim=1, descending=True, stable=True)[:, :k]
        strong = torch.zeros_like(strong).scatter_(1, order, True) & (size > 0)
        strong = strong | strong.t() if b is None else strong
    edges = strong.nonzero().t().contiguous()
    return edges, r[edges[0], edges[1]]


def _standard(rows: Tensor) -> Tensor:
    """Rows without their mean, of length one; those that do not vary are zero."""
    rows = rows.detach()
    if not rows.size(1):
        return rows
    centred = rows - rows.mean(1, keepdim=True)
    size = centred.norm(dim=1, keepdim=True)
    # What rounding leaves of a constant row is no variation.
    flat = size <= 100 * torch.finfo(rows.dtype).eps * rows.norm(dim=1, keepdim=True)
    return torch.where(flat, 0.0, centred / size.clamp(min=torch.finfo(rows.dtype).tiny))


def complete_edges(group: Tensor) -> Tensor:
    r"""Undirected edges between all members of the same group, without self loops.

    Time and memory grow with the number of edges, the sum of squared group sizes.

    Args:
        group (torch.Tensor): The group of each node, in any order.

    Shapes:
        - **input:** :math:`(N)`
        - **output:** :math:`(2, E)`

    Raises:
        ValueError: If ``group`` does not hold integers in one dimension.

    Example:
        >>> import torch
        >>> complete_edges(torch.tensor([7, 2, 7, 7]))
        tensor([[0, 0, 2, 2, 3, 3],
                [2, 3, 0, 3, 0, 2]])
    """
    group = _groups(group, "group")
    order = group.argsort(stable=True)
    size = torch.unique_consecutive(group[order], return_counts=True)[1]
    first = (size.cumsum(0) - size).repeat_interleave(size)
    width = size.repeat_interleave(size)
    place = torch.arange(len(group), device=group.device)
    source = place.repeat_interleave(width)
    begin = (width.cumsum(0) - width).repeat_interleave(width)
    within = torch.arange(len(source), device=group.device) - begin
    edges = torch.stack([order[source], order[first[source] + within]])
    return _tidy(edges[:, edges[0] != edges[1]], len(group))


def chain_edges(group: Tensor, order: Tensor | None = None, undirected: bool = False) -> Tensor:
    """Edges from each member of a group to the next one.

    Args:
        group (torch.Tensor): The group of each node, in any order; negative ones stay alone.
        order (torch.Tensor, optional): What the members are sorted by. (default: their number)
        undirected (bool, optional): Adds the reverse of every edge. (default: :obj:`False`)

    Shapes:
        - **input:** :math:`(N)`, :math:`(N)`
        - **output:** :math:`(2, E)`

    Raises:
        ValueError: If ``group`` does not hold integers in one dimension, or ``order`` does not fit.

    Example:
        >>> import torch
        >>> chain_edges(torch.tensor([0, 1, 0, -1, -1]), order=torch.tensor([5, 1, 2, 3, 4]))
        tensor([[2],
                [0]])
    """
    group = _groups(group, "group")
    place = torch.arange(len(group), device=group.device)
    if order is not None:
        if order.shape != group.shape:
            raise ValueError(f"'order' has shape {list(order.shape)} for {len(group)} nodes")
        place = order.argsort(stable=True)
    place = place[group[place].argsort(stable=True)]
    start, end = place[:-1], place[1:]
    linked = (group[start] == group[end]) & (group[start] >= 0)
    return _tidy(torch.stack([start[linked], end[linked]]), len(group), undirected)


def _groups(group: Tensor, name: str) -> Tensor:
    if group.dim() != 1 or group.is_floating_point() or group.is_complex():
        raise ValueError(
            f"'{name}' must hold integers in one dimension, got {group.dtype} {list(group.shape)}"
        )
    return group.long()


def _cells(sizes: tuple[int, ...], device: torch.device | None) -> Tensor:
    if min(sizes, default=0) < 0:
        raise ValueError(f"sizes must not be negative, got {list(sizes)}")
    count = int(torch.Size(sizes).numel())
    return torch.arange(count, device=device).view(sizes)


def _tidy(edges: Tensor, num_nodes: int, undirected: bool = False) -> Tensor:
    if undirected:
        return to_undirected(edges, num_nodes=num_nodes)
    return coalesce(edges, num_nodes=num_nodes)
