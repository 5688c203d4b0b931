"""Weighted sums over incoming edges."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.ops import checks
from graphkit.ops.autograd import sums
from graphkit.ops.backends import active_backend


def spmm(
    edge_index: Tensor,
    edge_weight: Tensor | None,
    x: Tensor,
    num_nodes: int | None = None,
) -> Tensor:
    r"""Sums the weighted features of sources at the targets, head by head.

    The product of a sparse and a dense matrix, as in the `"FeatGraph: A Flexible and Efficient
    Backend for Graph Neural Network Systems" <https://arxiv.org/abs/2008.11359>`_ paper:

    .. math::
        y_{i,h} = \sum_{e = (j \to i)} w_{e,h} \, x_{j,h}

    No message is stored: memory grows with :math:`(N + M) H C + |\mathcal{E}| H`, time with
    :math:`|\mathcal{E}| H C`. Gradients (of any order) are of the same kind. float16 and
    bfloat16 are summed in float32.

    Args:
        edge_index (torch.Tensor or EdgeIndex): The edges, ``edge_index[0]`` the sources.
        edge_weight (torch.Tensor, optional): One weight per edge, or per edge and head;
            :obj:`None` counts every edge once.
        x (torch.Tensor): Source features. Two-dimensional ones serve every head of a
            two-dimensional ``edge_weight``.
        num_nodes (int, optional): The number of targets, needed if it differs from the
            number of sources. (default: :obj:`None`)

    Shapes:
        - **input:**
          edges :math:`(2, |\mathcal{E}|)`,
          weights :math:`(|\mathcal{E}|)`, :math:`(|\mathcal{E}|, H)` or
          :math:`(B, |\mathcal{E}|, H)`,
          features :math:`(N, C)`, :math:`(N, H, C)` or :math:`(B, N, H, C)`
        - **output:** :math:`(M, C)`, :math:`(M, H, C)` or :math:`(B, M, H, C)`

    Raises:
        IndexError: If an index is negative or not below the number of nodes.
        ValueError: If shapes or devices do not fit.
        TypeError: If dtypes do not fit.

    Example:
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 1, 0]])
        >>> spmm(edge_index, torch.tensor([1.0, 2.0, 3.0]), torch.eye(3))
        tensor([[0., 0., 3.],
                [1., 2., 0.],
                [0., 0., 0.]])
    """
    index = checks.as_edge_index(edge_index)
    checks.check_floating(x, "x", (2, 3, 4))
    checks.check_device(index, x=x, edge_weight=edge_weight)
    count = x.size(-2 if x.dim() == 2 else -3) if num_nodes is None else num_nodes
    checks.check_count(count, "num_nodes")
    if edge_weight is not None:
        x, edge_weight = _matched(index, edge_weight, x)
    shape = x.shape
    batch = x if x.dim() == 4 else x.unsqueeze(0)
    if edge_weight is None or edge_weight.size(-1) == 1:
        nodes = 1 if x.dim() < 4 else 2
        batch = x.flatten(nodes).unsqueeze(-2)
        batch = batch if x.dim() == 4 else batch.unsqueeze(0)
    out = sums.spmm(index, edge_weight, batch, count, False, active_backend())
    return (
        out.view(*shape[:-2], count, shape[-1])
        if len(shape) == 2
        else out.view(*shape[:-3], count, *shape[-2:])
    )


def _matched(index: Tensor, weight: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Features with as many heads as the weights, and weights ``[B or 1, E, H or 1]``."""
    checks.check_floating(weight, "edge_weight", (1, 2, 3))
    edges = -1 if weight.dim() == 1 else -2
    checks.check_size(weight, edges, index.size(1), "edge_weight", "edges")
    if weight.dim() == 3 and (x.dim() != 4 or x.size(0) != weight.size(0)):
        raise ValueError(
            f"edge_weight {list(weight.shape)} is batched, so x must be [B, N, H, C] with the "
            f"same B, got {list(x.shape)}"
        )
    weight = weight.unsqueeze(-1) if weight.dim() == 1 else weight
    heads = weight.size(-1)
    if x.dim() == 2 and heads > 1:
        x = x.unsqueeze(-2).expand(-1, heads, -1)
    if heads > 1 and x.size(-2) not in (1, heads):
        raise ValueError(
            f"edge_weight has {heads} heads {list(weight.shape)}, but x has {x.size(-2)} "
            f"{list(x.shape)}"
        )
    if heads > 1 and x.size(-2) == 1:
        x = x.expand(*x.shape[:-2], heads, x.size(-1))
    dtype = torch.promote_types(weight.dtype, x.dtype)
    weight = weight if weight.dim() == 3 else weight.unsqueeze(0)
    return x.to(dtype), weight.to(dtype)
