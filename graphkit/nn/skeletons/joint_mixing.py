"""The sum over joints inside every skeleton network, dense or by messages."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit import ops
from graphkit.nn.fast_path import FastPath

__all__ = ["JointMixing"]


class JointMixing(FastPath, fast=True):
    r"""Adds up the features of joints, in each of :math:`K` graphs on the same joints.

    .. math::
        \mathbf{x}^{\prime}_{n,k,w} = \sum_v \mathbf{A}_{n,k,v,w} \, \mathbf{x}_{n,k,v}

    A skeleton is small and its learned graphs are full, so that one batched matrix product is
    fastest: :math:`\mathcal{O}(N K V^2 F)`. With ``dense = False`` the same sum goes over the
    edges of :obj:`support`, through :func:`graphkit.ops.spmm`; and through :meth:`message` when
    :class:`~graphkit.nn.fast_path.FastPath` says so, as while PyG explains the layer.

    Args:
        support (torch.Tensor): Which joint (row) may be heard by which (column).

    Shapes:
        - **input:** features :math:`(N, K, V, F)`, weights :math:`(N, K, V, V)` or
          :math:`(K, V, V)`; :obj:`support` is boolean :math:`(V, V)`
        - **output:** :math:`(N, K, V, F)`

    Example:
        >>> import torch
        >>> mixing = JointMixing(torch.ones(3, 3, dtype=torch.bool))
        >>> x, adjacency = torch.rand(2, 4, 3, 5), torch.rand(4, 3, 3)
        >>> dense = mixing(x, adjacency)
        >>> mixing.dense = False
        >>> torch.allclose(mixing(x, adjacency), dense)
        True
    """

    edge_index: Tensor

    def __init__(self, support: Tensor) -> None:
        super().__init__(aggr="add", node_dim=-3)
        self.dense = True
        self.register_buffer("edge_index", support.nonzero().t().contiguous(), persistent=False)

    def forward(self, x: Tensor, adjacency: Tensor, total: bool = False) -> Tensor:
        """The features that each joint hears, in each graph or in ``total``, ``[N, V, F]``."""
        fast = self.may_be_fast()
        if self.dense and fast:
            if total:
                return torch.matmul(adjacency.movedim(-1, -3).flatten(-2), x.flatten(1, 2))
            return torch.matmul(adjacency.transpose(-1, -2), x)
        source, target = self.edge_index
        weight = adjacency[..., source, target].transpose(-1, -2)
        weight = weight.expand(x.size(0), *weight.shape[-2:])
        nodes = x.transpose(1, 2)
        if fast:
            out = ops.spmm(self.edge_index, weight, nodes)
        else:
            out = self.propagate(self.edge_index, x=nodes, weight=weight)
        return out.sum(2) if total else out.transpose(1, 2)

    def message(self, x_j: Tensor, weight: Tensor) -> Tensor:
        """The source's features times the weight of the edge, in each graph."""
        return weight.unsqueeze(-1) * x_j
