"""Neighbourhood routing: every edge chooses among several channels."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch_geometric.nn import Linear
from torch_geometric.typing import Adj

from graphkit import ops
from graphkit.catalog import method
from graphkit.nn.edges import (
    Pair,
    Size,
    as_pair,
    by_flow,
    check_size,
    check_width,
    given_size,
    plain_edges,
)
from graphkit.nn.fast_path import FastPath
from graphkit.precision import normalize


@method(
    paper="https://proceedings.mlr.press/v97/ma19a.html",
    title="Disentangled Graph Convolutional Networks",
    authors="Jianxin Ma, Peng Cui, Kun Kuang, Xin Wang, Wenwu Zhu",
    venue="ICML 2019",
    year=2019,
    code="https://jianxinma.github.io/assets/DisenGCN-py3.zip",
    licence="none",
    takes="node features and edges",
    gives="node features in one block per factor, and a share per edge and factor",
    deviations=["no neighbours are sampled: each node routes over all of its edges"],
    verified_by="tests/nn/conv/test_disen_conv.py",
    limits=[
        "citation graphs with few labels: as the first of two layers it is 4.5 points behind a "
        "GCNConv of the same width on CiteSeer, level on CS, 25.6 ahead on Photo "
        "(python -m benchmarks run 'defaults-models-*')",
    ],
)
class DisenConv(FastPath, fast=True):
    r"""The layer of the `"Disentangled Graph Convolutional Networks"
    <https://proceedings.mlr.press/v97/ma19a.html>`_ paper, a baseline of
    :class:`~graphkit.nn.FactorConv`.

    .. math::
        \mathbf{z}_{i,k} &= \operatorname{normalize} \operatorname{ReLU} (\mathbf{W}_k
        \mathbf{x}_i + \mathbf{w}_k), \qquad \mathbf{c}^{(0)}_{i,k} = \mathbf{z}_{i,k}

        p^{(t)}_{ji,k} &= \operatorname{softmax}_k \left( \mathbf{z}_{j,k}^{\top}
        \mathbf{c}^{(t)}_{i,k} / \tau \right), \qquad
        \mathbf{c}^{(t+1)}_{i,k} = \operatorname{normalize} \Big( \mathbf{z}_{i,k} +
        \sum_{j \in \mathcal{N}(i)} p^{(t)}_{ji,k} \, \mathbf{z}_{j,k} \Big)

    and the output is :math:`\Vert_k \, \mathbf{c}^{(T)}_{i,k}`.  Unlike the gates of
    FactorConv, the shares of an edge add up to one.  Memory is :math:`\mathcal{O}(T (N F +
    E K))`, time :math:`\mathcal{O}(T E F)`.

    Two sets of nodes come as a pair of features, sources first.  A sparse adjacency stands for
    its edges; its values are not read.  Explainers, hooks, a subclass's own :meth:`message` and
    other aggregations than the sum run :meth:`edge_update` and :meth:`message` in each round,
    see :class:`~graphkit.nn.fast_path.FastPath`.

    Args:
        in_channels (int or tuple): Size of each input, or sizes for two sets of nodes, which
            then have two matrices; :obj:`-1` takes it from the first input.
        out_channels (int): Size of each output, a multiple of :obj:`num_factors`.
        num_factors (int): Number of factors :math:`K`.
        num_routings (int, optional): Number of rounds :math:`T`. (default: :obj:`6`)
        temperature (float, optional): The temperature :math:`\tau`. (default: :obj:`1.0`)
        bias (bool, optional): Learns :math:`\mathbf{w}`. (default: :obj:`True`)
        **kwargs (optional): :obj:`aggr`, :obj:`aggr_kwargs` and :obj:`flow` of
            :class:`torch_geometric.nn.MessagePassing`.

    Shapes:
        - **input:** features :math:`(N, F_{in})`, a pair of them, or a static batch
          :math:`(B, N, F_{in})`; edges :math:`(2, E)` or a sparse adjacency, targets first
        - **output:** features :math:`(N, F_{out})`; shares :math:`(E, K)` if asked for

    Raises:
        ValueError: If an option or a shape is wrong.
        TypeError: If the edges are not integers.
        IndexError: If an edge names a node that is not there.

    Example:
        >>> import torch
        >>> from graphkit.nn import DisenConv
        >>> edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> DisenConv(4, 8, num_factors=2)(torch.rand(3, 4), edge_index).shape
        torch.Size([3, 8])
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        num_factors: int,
        num_routings: int = 6,
        temperature: float = 1.0,
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(node_dim=-3, **kwargs)
        self.refuse_keywords()
        for name, value in (("num_factors", num_factors), ("num_routings", num_routings)):
            if value < 1:
                raise ValueError(f"'{name}' must be at least 1, got {value}")
        if out_channels % num_factors:
            raise ValueError(
                f"'out_channels' must be a multiple of 'num_factors', "
                f"got {out_channels} and {num_factors}"
            )
        if temperature <= 0:
            raise ValueError(f"'temperature' must be positive, got {temperature}")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.num_factors, self.num_routings = num_factors, num_routings
        self.temperature = temperature
        first, second = (in_channels, None) if isinstance(in_channels, int) else in_channels
        self.lin = Linear(first, out_channels, bias=bias)
        self.lin_dst = None if second is None else Linear(second, out_channels, bias=bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        super().reset_parameters()
        for lin in (self.lin, self.lin_dst):
            if lin is not None:
                lin.reset_parameters()

    def forward(
        self,
        x: Tensor | Pair,
        edge_index: Adj,
        return_attention_weights: bool | None = None,
        size: Size | None = None,
    ) -> Tensor | tuple[Tensor, tuple[Tensor, Tensor]]:
        """Routes every neighbour to the factors it fits.

        Args:
            x (torch.Tensor or (torch.Tensor, torch.Tensor)): Node features.
            edge_index (torch.Tensor or SparseTensor): Edges, from source to target.
            return_attention_weights (bool, optional): Returns ``(out, (edge_index, share))``,
                with the shares of the last round. (default: :obj:`None`)
            size ((int, int), optional): The numbers of nodes, checked. (default: :obj:`None`)
        """
        edges = plain_edges(edge_index, self.flow)
        z, start = self.project(x)
        check_size(given_size(edge_index, size), z.size(-3), start.size(-3), self.flow)
        share = centre = start
        for _ in range(self.num_routings):
            share, gathered = self.gather_neighbours(edges, z, centre)
            centre = normalize(start + gathered)
        out = centre.flatten(-2)
        return (out, (edges, share)) if return_attention_weights else out

    def project(self, x: Tensor | Pair) -> Pair:
        """The normalised channels ``[N, K, F]`` of sources and targets."""
        first, second = as_pair(x)
        check_width(first, self.lin.in_channels)
        if second is first and self.lin_dst is None:
            z = self.channels(self.lin(first))
            return z, z
        lin = self.lin if self.lin_dst is None else self.lin_dst
        check_width(second, lin.in_channels)
        return self.channels(self.lin(first)), self.channels(lin(second))

    def channels(self, h: Tensor) -> Tensor:
        """One direction per factor."""
        return normalize(h.relu().unflatten(-1, (self.num_factors, -1)))

    def gather_neighbours(self, edges: Tensor, z: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
        """The shares ``[E, K]`` of one round and the weighted sums, by kernel or by messages."""
        if self.may_be_fast():
            turned = by_flow(edges, self.flow)
            share = (ops.sddmm(turned, z, centre) / self.temperature).softmax(dim=-1)
            return share, ops.spmm(turned, share, z, centre.size(-3))
        edges, counts = edges.long(), (z.size(-3), centre.size(-3))
        size = counts if self.flow == "source_to_target" else counts[::-1]
        share = self.edge_updater(edges, z=z, centre=centre)
        return share, self.propagate(edges, size=size, x=z, alpha=share)

    def edge_update(self, z_j: Tensor, centre_i: Tensor) -> Tensor:
        """The share of each factor in an edge, from how well both ends agree in it."""
        return ((z_j * centre_i).sum(-1) / self.temperature).softmax(dim=-1)

    def message(self, x_j: Tensor, alpha: Tensor) -> Tensor:
        """The channels of the source, weighted by what the edge gives to each."""
        return alpha.unsqueeze(-1) * x_j

    def __repr__(self) -> str:
        width: Any = self.lin.in_channels
        width = width if self.lin_dst is None else (width, self.lin_dst.in_channels)
        return (
            f"{type(self).__name__}({width}, {self.out_channels}, "
            f"num_factors={self.num_factors}, num_routings={self.num_routings})"
        )
