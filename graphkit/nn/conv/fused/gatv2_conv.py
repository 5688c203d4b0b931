"""``GATv2Conv`` on the fused attention kernel."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor
from torch.nn import functional as F
from torch_geometric.nn import GATv2Conv

from graphkit import ops
from graphkit.catalog import method
from graphkit.nn.conv.fused.inputs import (
    check_features,
    checked_edges,
    combined,
    ends_of,
    is_plain_linear,
    with_loops,
)
from graphkit.nn.edges import is_adjacency, without_void
from graphkit.nn.fast_path import FastPath
from graphkit.nn.sparse_features import projected
from graphkit.ops.checks import check_tensors


@method(
    paper="arXiv:2105.14491",
    title="How Attentive are Graph Attention Networks?",
    authors="Shaked Brody, Uri Alon, Eran Yahav",
    venue="ICLR 2022",
    year=2022,
    code="https://github.com/tech-srl/how_attentive_are_gats",
    licence="none",
    takes="node features, edges and, if wanted, edge features",
    gives="node features, and attention weights if asked for",
    deviations=["self loops, residuals and edge features are those of PyG's GATv2Conv"],
    verified_by="tests/nn/conv/fused/test_gatv2_conv.py",
)
class FusedGATv2Conv(FastPath, GATv2Conv, fast=True):
    r"""The operator of the `"How Attentive are Graph Attention Networks?"
    <https://arxiv.org/abs/2105.14491>`_ paper: :class:`torch_geometric.nn.GATv2Conv` in less
    time and memory.

    .. math::
        \mathbf{x}^{\prime}_i = \sum_{j \in \mathcal{N}(i) \cup \{ i \}}
        \alpha_{i,j} \mathbf{\Theta}_{l} \mathbf{x}_j, \qquad
        \alpha_{i,j} = \mathrm{softmax}_j \left( \mathbf{a}^{\top} \mathrm{LeakyReLU} \left(
        \mathbf{\Theta}_{r} \mathbf{x}_i + \mathbf{\Theta}_{l} \mathbf{x}_j +
        \mathbf{\Theta}_{e} \mathbf{e}_{i,j} \right) \right)

    It has the parameters of ``GATv2Conv``, under the same names: weights load from one into the
    other. Attention runs in :func:`graphkit.ops.gatv2_attention`: no tensor of the size
    :math:`|\mathcal{E}| H F_{out}` is made, neither of messages nor of projected edge features.
    The backward pass needs :math:`|\mathcal{E}| D` for the gradient of edge features. Static
    batches of features on one graph are taken, too. Dropout draws other
    masks than ``GATv2Conv`` does. Sparse tensors, :obj:`flow="target_to_source"`, another
    aggregation than the sum, a changed :obj:`lin_edge`, and whatever
    :class:`~graphkit.nn.fast_path.FastPath` lists (explainers, hooks, a subclass's own
    ``message``) go through ``GATv2Conv`` itself, which is the definition.

    Args:
        in_channels (int or tuple): Size of each input, or sizes of sources and targets;
            :obj:`-1` takes it from the first input.
        out_channels (int): Size of each head's output.
        heads (int, optional): Number of heads. (default: :obj:`1`)
        concat (bool, optional): Concatenates the heads, else averages them.
            (default: :obj:`True`)
        negative_slope (float, optional): Slope of the LeakyReLU. (default: :obj:`0.2`)
        dropout (float, optional): Probability to drop a weight. (default: :obj:`0.0`)
        add_self_loops (bool, optional): Adds a loop to every node; kept with the edges, so it
            costs nothing from the second call on. (default: :obj:`True`)
        edge_dim (int, optional): Size of the edge features, if there are any.
            (default: :obj:`None`)
        fill_value (float or torch.Tensor or str, optional): The edge features of added loops:
            the value itself, or how to reduce the features of the edges into the node
            (:obj:`"add"`, :obj:`"mean"`, :obj:`"min"`, :obj:`"max"`, :obj:`"mul"`).
            (default: :obj:`"mean"`)
        bias (bool, optional): Adds a learned bias. (default: :obj:`True`)
        share_weights (bool, optional): Projects sources and targets by one matrix.
            (default: :obj:`False`)
        residual (bool, optional): Adds a learned map of the targets' features.
            (default: :obj:`False`)
        **kwargs (optional): Arguments of :class:`torch_geometric.nn.MessagePassing`.

    Shapes:
        - **input:** features :math:`(N, F_{in})`, a pair of them for bipartite graphs, or a
          static batch :math:`(B, N, F_{in})`; edges :math:`(2, |\mathcal{E}|)`; edge features
          :math:`(|\mathcal{E}|, D)` *(optional)*
        - **output:** :math:`(N, H F_{out})`, with a leading :math:`B` for a batch; with
          :obj:`return_attention_weights` also the edges that were used and their weights
          :math:`(|\mathcal{E}|, H)`

    Raises:
        IndexError: If an index is negative or not below the number of nodes.
        ValueError: If shapes do not fit, edge features come without :obj:`edge_dim`, or with a
            sparse adjacency to which loops are to be added.

    Example:
        >>> import torch
        >>> conv = FusedGATv2Conv(16, 8, heads=4)
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> conv(torch.randn(3, 16), edge_index).shape
        torch.Size([3, 32])
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 1,
        concat: bool = True,
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        add_self_loops: bool = True,
        edge_dim: int | None = None,
        fill_value: float | Tensor | str = "mean",
        bias: bool = True,
        share_weights: bool = False,
        residual: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            heads,
            concat,
            negative_slope,
            dropout,
            add_self_loops,
            edge_dim,
            fill_value,
            bias,
            share_weights,
            residual,
            **kwargs,
        )

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor | None],
        edge_index: Any,
        edge_attr: Tensor | None = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        """Runs the layer; arguments as those of :class:`torch_geometric.nn.GATv2Conv`."""
        check_tensors(edge_attr=edge_attr)
        if edge_attr is not None and self.lin_edge is None:
            raise ValueError("edge_attr was given, but the layer was made with edge_dim=None")
        if edge_attr is not None and self.add_self_loops and is_adjacency(edge_index):
            raise ValueError(
                "edge_index must be a tensor [2, E] where edge_attr comes and loops are added: "
                "hand in plain edges, or make the layer with add_self_loops=False"
            )
        if not self.can_fuse(edge_index):
            return super().forward(x, edge_index, edge_attr, return_attention_weights)
        residual, x_src, x_dst = self.project(x)
        # Indices are looked at before loops are added, where a wrong one has another name.
        index, void = checked_edges(edge_index, x_src, x_dst), None
        if edge_attr is not None and edge_attr.dim() == 1:
            edge_attr = edge_attr.view(-1, 1)
        if self.add_self_loops:
            sizes = x_src.size(-3), x_dst.size(-3)
            index, edge_attr, void = with_loops(index, edge_attr, self.fill_value, *sizes)
        # In compiled code loops that came in lead to one more target, which is cut off again.
        if void is not None:
            x_dst = F.pad(x_dst, (0, 0, 0, 0, 0, 1))
        attend: Any = ops.gatv2_attention
        result = attend(
            index,
            x_src,
            x_dst,
            self.att[0],
            self.negative_slope,
            self.dropout,
            self.training,
            bool(return_attention_weights),
            edge_attr,
            None if edge_attr is None else self.lin_edge.weight,
        )
        out, weight = result if return_attention_weights else (result, None)
        if void is not None:
            out = out.narrow(-3, 0, x_dst.size(-3) - 1)
        out = combined(out, self.concat, residual, self.bias)
        return out if weight is None else (out, without_void(index, weight, void))

    def can_fuse(self, edge_index: Any) -> bool:
        """Whether the kernel serves this call; else ``GATv2Conv`` does."""
        usual = self.flow == "source_to_target" and is_plain_linear(self.lin_edge)
        return not is_adjacency(edge_index) and usual and self.may_be_fast()

    def project(
        self, x: Tensor | tuple[Tensor, Tensor | None]
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """The residual of the targets, and both ends' features, head by head."""
        x_src, given = ends_of(x)
        check_features(x_src, self.lin_l.in_channels)
        check_features(given, self.lin_r.in_channels)
        x_dst = cast("Tensor", given)
        residual = None if self.res is None else projected(self.res, x_dst)
        shape = (self.heads, self.out_channels)
        source = projected(self.lin_l, x_src).unflatten(-1, shape)
        if self.share_weights and x_dst is x_src:
            return residual, source, source
        return residual, source, projected(self.lin_r, x_dst).unflatten(-1, shape)
