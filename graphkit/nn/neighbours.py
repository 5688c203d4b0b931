"""Nearest neighbours with as many edges at every point, as networks take them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphkit.catalog import no_method
from graphkit.ops.dtypes import is_half
from graphkit.ops.points.graphs import knn_graph
from graphkit.refusals import refuse_infinite

__all__ = ["NearestNeighbours", "nearest_neighbours"]


def nearest_neighbours(
    x: Tensor, k: int, batch: Tensor | None = None, loop: bool = False
) -> Tensor:
    r"""Edges from the :math:`k` nearest points of its set to every point.

    .. math::
        \mathcal{E} = \{(j, i) : j \in \operatorname{arg\,min}^k_j \lVert x_j - x_i \rVert_2\}

    :func:`knn_graph` with a promise: each target has exactly :math:`k` edges, nearest first, and
    sets that are too small for that are refused. No gradient flows.

    Args:
        x (torch.Tensor): Points.
        k (int): Neighbours per point.
        batch (torch.Tensor, optional): The set of each point, sorted. (default: one set)
        loop (bool, optional): Whether a point is the first of its own neighbours, as in
            :func:`torch_geometric.nn.knn_graph`. (default: :obj:`False`)

    Shapes:
        - **input:** points :math:`(N, C)`, set of each point :math:`(N)`
        - **output:** :math:`(2, N k)`

    Raises:
        ValueError: If a set has too few points, ``batch`` is not sorted, shapes do
            not fit or values are not finite.

    Example:
        >>> import torch
        >>> nearest_neighbours(torch.tensor([[0.0], [1.0], [5.0]]), 1)
        tensor([[1, 0, 1],
                [0, 1, 2]])
    """
    if x.dim() != 2:
        raise ValueError(f"'x' must have shape [N, C], got {list(x.shape)}")
    if k < 1:
        raise ValueError(f"'k' must be at least 1, got {k}")
    if is_half(x):
        refuse_infinite("x", x)
    elif not torch.isfinite(x.sum()):
        raise ValueError("'x' holds NaN or infinite values")
    sizes = set_sizes(x, batch)
    if (sizes < k + (not loop)).any():
        raise ValueError(
            f"a set of {int(sizes.min())} points has no {k} neighbours with loop={loop}; lower 'k'"
        )
    return knn_graph(x, k, batch, loop)


def set_sizes(x: Tensor, batch: Tensor | None) -> Tensor:
    """The number of points in each set, empty ones left out."""
    if batch is None:
        return torch.tensor([x.size(0)] if x.size(0) else [], device=x.device)
    if batch.shape != x.shape[:1]:
        raise ValueError(f"'batch' has shape {list(batch.shape)} for {x.size(0)} points")
    if (batch.diff() < 0).any():
        raise ValueError("'batch' must be sorted, as PyG's loaders make it")
    return torch.unique_consecutive(batch, return_counts=True)[1]


@no_method("the k-NN graph of a point set, no paper of its own")
class NearestNeighbours(nn.Module):
    r"""A module around :func:`nearest_neighbours` with ``loop=True``, so that its edges can be
    tapped.

    Args:
        k (int): Neighbours per point, itself among them. A point of a smaller set comes again
            as its own neighbour, which changes no maximum over the neighbours; what a set gives
            does not depend on the others of its batch.

    Shapes:
        - **input:** points :math:`(N, C)`, set of each point :math:`(N)`
        - **output:** :math:`(2, N k)`

    Example:
        >>> import torch
        >>> NearestNeighbours(3)(torch.tensor([[0.0], [1.0]]))
        tensor([[0, 1, 0, 1, 0, 1],
                [0, 0, 0, 1, 1, 1]])
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"'k' must be at least 1, got {k}")
        self.k = k

    def forward(self, x: Tensor, batch: Tensor | None = None) -> Tensor:
        sizes = set_sizes(x, batch)
        if not len(sizes) or int(sizes.min()) >= self.k:
            return nearest_neighbours(x, self.k, batch, loop=True)
        targets = torch.arange(x.size(0), device=x.device).repeat_interleave(self.k)
        degrees = sizes.clamp(max=self.k).repeat_interleave(sizes).unsqueeze(1)
        sources = targets.clone()
        # Edges come sorted by target, so they fill the first places of each point, row by row.
        filled = torch.arange(self.k, device=x.device) < degrees
        sources[filled.flatten()] = knn_graph(x, self.k, batch, loop=True)[0]
        return torch.stack([sources, targets])

    def extra_repr(self) -> str:
        return f"k={self.k}"
