"""Dot products along edges."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.ops import checks
from graphkit.ops.autograd import sums
from graphkit.ops.backends import active_backend


def sddmm(edge_index: Tensor, x_src: Tensor, x_dst: Tensor) -> Tensor:
    r"""The dot product of both ends of every edge, head by head.

    The sampled dense-dense matrix product, as in the `"FeatGraph: A Flexible and Efficient
    Backend for Graph Neural Network Systems" <https://arxiv.org/abs/2008.11359>`_ paper:

    .. math::
        s_{e,h} = \langle x^{src}_{j,h}, x^{dst}_{i,h} \rangle, \quad e = (j \to i)

    Memory grows with :math:`(N + M) H C + |\mathcal{E}| H`, time with
    :math:`|\mathcal{E}| H C`. It is the gradient of :func:`spmm` with respect to the weights.

    Args:
        edge_index (torch.Tensor or EdgeIndex): The edges, ``edge_index[0]`` the sources.
        x_src (torch.Tensor): Features of the sources.
        x_dst (torch.Tensor): Features of the targets.

    Shapes:
        - **input:**
          edges :math:`(2, |\mathcal{E}|)`, features :math:`(N, C)` and :math:`(M, C)`,
          :math:`(N, H, C)` and :math:`(M, H, C)`, or with a leading :math:`B`
        - **output:** :math:`(|\mathcal{E}|)`, :math:`(|\mathcal{E}|, H)` or
          :math:`(B, |\mathcal{E}|, H)`

    Raises:
        IndexError: If an index is negative or not below the number of nodes.
        ValueError: If shapes or devices do not fit.
        TypeError: If dtypes do not fit.

    Example:
        >>> edge_index = torch.tensor([[0, 1], [1, 0]])
        >>> sddmm(edge_index, torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.ones(2, 2))
        tensor([3., 7.])
    """
    index = checks.as_edge_index(edge_index)
    checks.check_floating(x_src, "x_src", (2, 3, 4))
    checks.check_floating(x_dst, "x_dst", (2, 3, 4))
    checks.check_device(index, x_src=x_src, x_dst=x_dst)
    nodes = -2 if x_src.dim() == 2 else -3
    left, right = list(x_src.shape), list(x_dst.shape)
    if len(left) != len(right) or left[:nodes] + left[nodes + 1 :] != (
        right[:nodes] + right[nodes + 1 :]
    ):
        raise ValueError(f"x_src {left} and x_dst {right} must agree but for the nodes")
    dtype = torch.promote_types(x_src.dtype, x_dst.dtype)
    ends = [_canonical(value.to(dtype)) for value in (x_src, x_dst)]
    out = sums.sddmm(index, *ends, active_backend())
    return out.view(-1) if len(left) == 2 else out.view(*left[:-3], index.size(1), left[-2])


def _canonical(x: Tensor) -> Tensor:
    """``[B, N, H, C]``."""
    x = x.unsqueeze(-2) if x.dim() == 2 else x
    return x if x.dim() == 4 else x.unsqueeze(0)
