"""Neighbourhood routing: every edge chooses among several channels."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import Linear, MessagePassing

from graphkit import ops
from graphkit.catalog import method
from graphkit.ops.checks import as_edge_index


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
)
class DisenConv(MessagePassing):
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

    Args:
        in_channels (int): Size of each input; :obj:`-1` takes it from the first input.
        out_channels (int): Size of each output, a multiple of :obj:`num_factors`.
        num_factors (int): Number of factors :math:`K`.
        num_routings (int, optional): Number of rounds :math:`T`. (default: :obj:`6`)
        temperature (float, optional): The temperature :math:`\tau`. (default: :obj:`1.0`)
        bias (bool, optional): Learns :math:`\mathbf{w}`. (default: :obj:`True`)
        **kwargs (optional): Arguments of :class:`torch_geometric.nn.MessagePassing`.

    Shapes:
        - **input:** features :math:`(N, F_{in})` or a static batch :math:`(B, N, F_{in})`;
          edges :math:`(2, E)`
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
        in_channels: int,
        out_channels: int,
        num_factors: int,
        num_routings: int = 6,
        temperature: float = 1.0,
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(node_dim=-3, **kwargs)
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
        self.lin = Linear(in_channels, out_channels, bias=bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        super().reset_parameters()
        self.lin.reset_parameters()

    def forward(
        self, x: Tensor, edge_index: Tensor, return_attention_weights: bool | None = None
    ) -> Tensor | tuple[Tensor, tuple[Tensor, Tensor]]:
        """Routes every neighbour to the factors it fits.

        Args:
            x (torch.Tensor): Node features.
            edge_index (torch.Tensor): Edges, from source to target.
            return_attention_weights (bool, optional): Returns ``(out, (edge_index, share))``,
                with the shares of the last round. (default: :obj:`None`)
        """
        if x.dim() not in (2, 3) or not x.is_floating_point():
            raise ValueError(
                f"'x' must hold floats in 2 or 3 dimensions, got {x.dtype} {list(x.shape)}"
            )
        if self.lin.in_channels not in (-1, x.size(-1)):
            raise ValueError(f"'x' must have {self.lin.in_channels} channels, got {list(x.shape)}")
        edges = as_edge_index(edge_index)
        z = self.lin(x).relu().unflatten(-1, (self.num_factors, -1))
        z = centre = F.normalize(z, dim=-1)
        share = z
        for _ in range(self.num_routings):
            share = (ops.sddmm(edges, z, centre) / self.temperature).softmax(dim=-1)
            centre = F.normalize(z + self.gather_neighbours(edges, share, z), dim=-1)
        out = centre.flatten(-2)
        return (out, (edges, share)) if return_attention_weights else out

    def gather_neighbours(self, edges: Tensor, share: Tensor, z: Tensor) -> Tensor:
        """The weighted sum, by the kernel or, while PyG explains, by :meth:`message`."""
        if self.explain:
            return self.propagate(edges, x=z, alpha=share)
        return ops.spmm(edges, share, z)

    def message(self, x_j: Tensor, alpha: Tensor) -> Tensor:
        """The channels of the source, weighted by what the edge gives to each."""
        return alpha.unsqueeze(-1) * x_j

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.lin.in_channels}, {self.out_channels}, "
            f"num_factors={self.num_factors}, num_routings={self.num_routings})"
        )
