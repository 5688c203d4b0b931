"""Instance normalisation of graphs and a convolution that another graph makes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import InstanceNorm
from torch_geometric.typing import Adj

from graphkit import ops
from graphkit.catalog import method
from graphkit.nn.edges import by_flow, check_size, given_size, plain_edges
from graphkit.nn.fast_path import FastPath
from graphkit.ops.checks import check_tensors
from graphkit.precision import wide


@method(
    paper="arXiv:1911.06953",
    title="Dynamic Instance Normalization for Arbitrary Style Transfer",
    authors="Yongcheng Jing, Xiao Liu, Yukang Ding, Xinchao Wang, Errui Ding, Mingli Song, "
    "Shilei Wen",
    venue="AAAI 2020",
    year=2020,
    code=None,
    licence="none",
    takes="node features, edges, a style vector per graph",
    gives="node features in that style",
    deviations=[
        "Graphs are ours: the paper has images, which are grids; on a grid with its offsets as "
        "edge attributes this is the paper's depthwise layer.",
    ],
    verified_by="tests/nn/conv/test_graph_din.py",
)
class GraphDIN(FastPath, fast=True):
    r"""The layer of the `"Dynamic Instance Normalization for Arbitrary Style Transfer"
    <https://arxiv.org/abs/1911.06953>`_ paper on graphs, which is ours: features are normalised
    per graph and channel, then convolved with what a small network makes of a style, such as the
    readout of another graph.

    .. math::
        \hat{x}_i = \frac{x_i - \mu_g}{\sigma_g}, \qquad
        x'_i = w_0(s_g) \odot \hat{x}_i
        + \sum_{j \in \mathcal{N}(i)} \sum_d e_{ji,d}\, w_d(s_g) \odot \hat{x}_j + b(s_g)

    It is an edge-conditioned convolution with diagonal matrices, summed without a matrix per
    edge: time grows with :math:`E D F + N D F`, memory with :math:`N D F + E D`. An untrained
    layer is close to instance normalisation.

    Args:
        in_channels (int): Width of the nodes, in and out.
        style_channels (int): Width of the style.
        edge_dim (int, optional): Width :math:`D` of the edge attributes. (default: :obj:`1`)
        hidden_channels (int, optional): Of the network. (default: :obj:`64`)
        eps (float, optional): Added to variances. (default: :obj:`1e-5`)
        **kwargs (optional): :obj:`flow` of :class:`torch_geometric.nn.MessagePassing`.

    Shapes:
        - **input:** nodes :math:`(N, F)`, edges :math:`(2, E)`, style
          :math:`(G \text{ or } 1, S)`, edge attributes :math:`(E, D)` (default: ones), graphs
          :math:`(N)` (default: one)
        - **output:** nodes :math:`(N, F)`

    Raises:
        ValueError: If an option or a shape is wrong.
        TypeError: If the edges are not integers.
        IndexError: If an edge names a node, or a node a graph, that is not there.

    Example:
        >>> import torch
        >>> from graphkit.nn import GraphDIN
        >>> conv = GraphDIN(4, style_channels=6)
        >>> edge_index = torch.tensor([[0, 1], [1, 0]])
        >>> conv(torch.rand(3, 4), edge_index, style=torch.rand(1, 6)).shape
        torch.Size([3, 4])
    """

    def __init__(
        self,
        in_channels: int,
        style_channels: int,
        edge_dim: int = 1,
        hidden_channels: int = 64,
        eps: float = 1e-5,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(node_dim=-3, **kwargs)
        self.refuse_keywords("the layer sums what its neighbours send")
        for name, value in (
            ("in_channels", in_channels),
            ("style_channels", style_channels),
            ("edge_dim", edge_dim),
            ("hidden_channels", hidden_channels),
        ):
            if value < 1:
                raise ValueError(f"'{name}' must be at least 1, got {value}")
        self.in_channels, self.style_channels, self.edge_dim = in_channels, style_channels, edge_dim
        self.norm = InstanceNorm(in_channels, eps)
        self.hidden = nn.Linear(style_channels, hidden_channels)
        self.kernel = nn.Linear(hidden_channels, (edge_dim + 2) * in_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew; the last layer is small."""
        super().reset_parameters()
        self.hidden.reset_parameters()
        self.kernel.reset_parameters()
        with torch.no_grad():
            self.kernel.weight.mul_(0.1)
            self.kernel.bias.mul_(0.1)

    def kernels(self, style: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What styles stand for: weights of the node itself ``[G, F]`` and of its neighbours
        ``[G, D, F]``, and what is added ``[G, F]``.
        """
        if style.dim() != 2 or style.size(1) != self.style_channels:
            raise ValueError(f"'style' must be [G, {self.style_channels}], got {list(style.shape)}")
        made = self.kernel(self.hidden(style).relu()).unflatten(1, (-1, self.in_channels))
        return 1 + made[:, 0], made[:, 1:-1], made[:, -1]

    def forward(
        self,
        x: Tensor,
        edge_index: Adj,
        style: Tensor,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        """Restyles the nodes.

        Args:
            x (torch.Tensor): Node features.
            edge_index (torch.Tensor or SparseTensor): Edges, from source to target.
            style (torch.Tensor): A row per graph, or one for all.
            edge_attr (torch.Tensor, optional): Edge attributes. (default: ones)
            batch (torch.Tensor, optional): The graph of each node. (default: one graph)
        """
        check_tensors(style=style, edge_attr=edge_attr, batch=batch)
        edges = plain_edges(edge_index, self.flow)
        self.check(x, edges, edge_attr, batch)
        check_size(given_size(edge_index, None), x.size(0), x.size(0), self.flow)
        own, near, added = self.kernels(style)
        graphs, count = self.graphs(x, style, batch)
        h = self.norm(wide(x), graphs, count).to(x.dtype)
        if edge_attr is None:
            edge_attr = x.new_ones(edges.size(1), self.edge_dim)
        summed = self.sums(h, edges, edge_attr)
        if len(style) == 1:
            return own * h + (near * summed).sum(1) + added
        return own[graphs] * h + (near[graphs] * summed).sum(1) + added[graphs]

    def graphs(self, x: Tensor, style: Tensor, batch: Tensor | None) -> tuple[Tensor, int]:
        """The graph of each node, and how many there are."""
        if batch is None:
            if len(style) != 1:
                raise ValueError(f"'style' has {len(style)} rows; without 'batch' it must have one")
            return torch.zeros(x.size(0), dtype=torch.long, device=x.device), 1
        if torch.compiler.is_compiling():
            # No size may depend on values there: as many graphs as nodes, most of them empty.
            return batch, x.size(0) if len(style) == 1 else len(style)
        low, high = (int(batch.min()), int(batch.max())) if len(batch) else (0, 0)
        # One style serves any number of graphs; their statistics are still their own.
        count = high + 1 if len(style) == 1 else len(style)
        if low < 0 or high >= count:
            raise IndexError(f"'batch' names graphs {low} to {high}, 'style' has {count} rows")
        return batch, count

    def sums(self, h: Tensor, edges: Tensor, edge_attr: Tensor) -> Tensor:
        """What neighbours send, by edge attribute ``[N, D, F]``; by :meth:`message` unless fast."""
        if self.may_be_fast():
            shared = h.unsqueeze(1).expand(-1, self.edge_dim, -1)
            return ops.spmm(by_flow(edges, self.flow), edge_attr, shared, h.size(0))
        size = (h.size(0), h.size(0))
        return self.propagate(edges.long(), size=size, x=h.unsqueeze(1), edge_attr=edge_attr)

    def message(self, x_j: Tensor, edge_attr: Tensor) -> Tensor:
        """The features of the source, once per edge attribute, times the attribute."""
        return edge_attr.unsqueeze(-1) * x_j

    def check(
        self, x: Tensor, edges: Tensor, edge_attr: Tensor | None, batch: Tensor | None
    ) -> None:
        """Refuses wrong shapes by name."""
        if not isinstance(x, Tensor):
            raise TypeError(
                f"'x' must be one tensor, got a {type(x).__name__}: statistics are of one graph"
            )
        if x.dim() != 2 or x.size(1) != self.in_channels or not x.is_floating_point():
            raise ValueError(
                f"'x' must hold floats [N, {self.in_channels}], got {x.dtype} {list(x.shape)}"
            )
        shape = (edges.size(1), self.edge_dim)
        if edge_attr is not None and edge_attr.shape != shape:
            raise ValueError(f"'edge_attr' must be {list(shape)}, got {list(edge_attr.shape)}")
        if batch is not None and batch.shape != x.shape[:1]:
            raise ValueError(f"'batch' has shape {list(batch.shape)} for {len(x)} nodes")

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.style_channels}, "
            f"edge_dim={self.edge_dim})"
        )
