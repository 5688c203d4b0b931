"""``TransformerConv`` on the fused attention kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import TransformerConv

from graphkit import ops
from graphkit.catalog import method
from graphkit.nn.conv.fused.inputs import (
    check_features,
    checked_edges,
    combined,
    ends_of,
    is_plain_linear,
)
from graphkit.nn.edges import is_adjacency
from graphkit.nn.fast_path import FastPath
from graphkit.nn.hooks import part_of
from graphkit.nn.one_step import may_be_one_step
from graphkit.nn.sparse_features import projected
from graphkit.nn.transformer_step import transformer_step
from graphkit.ops.checks import as_edge_index


@method(
    paper="arXiv:2009.03509",
    title="Masked Label Prediction: Unified Message Passing Model for Semi-Supervised "
    "Classification",
    authors="Yunsheng Shi, Zhengjie Huang, Shikun Feng, Hui Zhong, Wenjin Wang, Yu Sun",
    venue="IJCAI 2021",
    year=2021,
    code="https://github.com/PaddlePaddle/PGL/tree/main/ogb_examples/nodeproppred/unimp",
    licence="Apache-2.0",
    takes="node features, edges and, if wanted, edge features",
    gives="node features, and attention weights if asked for",
    deviations=[
        "the layer alone, as PyG's TransformerConv has it; the masked prediction of labels is "
        "a matter of the training loop"
    ],
    verified_by="tests/nn/conv/fused/test_transformer_conv.py",
)
class FusedTransformerConv(FastPath, TransformerConv, fast=True):
    r"""The operator of the `"Masked Label Prediction: Unified Message Passing Model for
    Semi-Supervised Classification" <https://arxiv.org/abs/2009.03509>`_ paper:
    :class:`torch_geometric.nn.TransformerConv` in less time and memory.

    .. math::
        \mathbf{x}^{\prime}_i = \mathbf{W}_1 \mathbf{x}_i + \sum_{j \in \mathcal{N}(i)}
        \alpha_{i,j} \left( \mathbf{W}_2 \mathbf{x}_j + \mathbf{W}_6 \mathbf{e}_{i,j} \right),
        \qquad \alpha_{i,j} = \mathrm{softmax}_j \left( \frac{(\mathbf{W}_3 \mathbf{x}_i)^{\top}
        (\mathbf{W}_4 \mathbf{x}_j + \mathbf{W}_6 \mathbf{e}_{i,j})}{\sqrt{F_{out}}} \right)

    It has the parameters of ``TransformerConv``, under the same names: weights load from one
    into the other. Attention runs in :func:`graphkit.ops.dot_attention`: no tensor of the size
    :math:`|\mathcal{E}| H F_{out}` is made, neither of messages nor of projected edge features,
    which :math:`\mathbf{W}_6` meets at the targets instead. Static batches of features on one
    graph are taken, too. Dropout draws other masks than ``TransformerConv`` does; returned
    weights are those before dropout, as there. Sparse tensors, :obj:`flow="target_to_source"`,
    another aggregation than the sum, a changed :obj:`lin_edge`, edge features where
    :obj:`edge_dim` says that there are none or the other way round, and whatever
    :class:`~graphkit.nn.fast_path.FastPath` lists (explainers, hooks, a subclass's own
    ``message``) go through ``TransformerConv`` itself, which is the definition.

    Args:
        in_channels (int or tuple): Size of each input, or sizes of sources and targets;
            :obj:`-1` takes it from the first input.
        out_channels (int): Size of each head's output.
        heads (int, optional): Number of heads. (default: :obj:`1`)
        concat (bool, optional): Concatenates the heads, else averages them.
            (default: :obj:`True`)
        beta (bool, optional): Weighs the skip connection by a learned gate instead of adding
            it. (default: :obj:`False`)
        dropout (float, optional): Probability to drop a weight. (default: :obj:`0.0`)
        edge_dim (int, optional): Size of the edge features, if there are any.
            (default: :obj:`None`)
        bias (bool, optional): Adds learned biases. (default: :obj:`True`)
        root_weight (bool, optional): Has a skip connection :math:`\mathbf{W}_1`.
            (default: :obj:`True`)
        **kwargs (optional): Arguments of :class:`torch_geometric.nn.MessagePassing`.

    Shapes:
        - **input:** features :math:`(N, F_{in})`, a pair of them for bipartite graphs, or a
          static batch :math:`(B, N, F_{in})`; edges :math:`(2, |\mathcal{E}|)`; edge features
          :math:`(|\mathcal{E}|, D)` *(optional)*
        - **output:** :math:`(N, H F_{out})`, with a leading :math:`B` for a batch; with
          :obj:`return_attention_weights` also the edges and their weights
          :math:`(|\mathcal{E}|, H)`

    Raises:
        IndexError: If an index is negative or not below the number of nodes.
        ValueError: If shapes do not fit.

    Example:
        >>> conv = FusedTransformerConv(16, 8, heads=4, beta=True)
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
        beta: bool = False,
        dropout: float = 0.0,
        edge_dim: int | None = None,
        bias: bool = True,
        root_weight: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            heads,
            concat,
            beta,
            dropout,
            edge_dim,
            bias,
            root_weight,
            **kwargs,
        )

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor],
        edge_index: Any,
        edge_attr: Tensor | None = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        """Runs the layer; arguments as those of :class:`torch_geometric.nn.TransformerConv`."""
        if edge_attr is None and part_of(self, "lin_edge") is not None:
            raise ValueError(f"edge_attr is missing: the layer has edge_dim={self.edge_dim}")
        if not self.can_fuse(edge_index, edge_attr):
            return super().forward(x, edge_index, edge_attr, return_attention_weights)
        x_src, x_dst = ends_of(x)
        check_features(x_src, part_of(self, "lin_key").in_channels)
        check_features(x_dst, part_of(self, "lin_query").in_channels)
        shape = (self.heads, self.out_channels)
        asked = isinstance(return_attention_weights, bool)
        # Features of edges and weights that somebody asks for take the steps one by one.
        if x_src is x_dst and edge_attr is None and not asked and self.is_one_step(x_src):
            return self.in_one_step(x_src, as_edge_index(edge_index))
        query = projected(self.lin_query, x_dst).unflatten(-1, shape)
        key, value = (
            projected(lin, x_src).unflatten(-1, shape) for lin in (self.lin_key, self.lin_value)
        )
        index = checked_edges(edge_index, key, query)
        attend: Any = ops.dot_attention
        # Edge features meet their map at the targets, so the map goes along and is not called.
        lin = None if edge_attr is None else self.lin_edge.weight
        drop, edges = self.dropout if self.training else 0.0, (asked, edge_attr, lin)
        result = attend(index, query, key, value, None, drop, True, *edges)
        out, weight = result if asked else (result, None)
        out = self.skip(combined(out, self.concat), x_dst)
        return (out, (index, weight)) if asked else out

    def can_fuse(self, edge_index: Any, edge_attr: Tensor | None) -> bool:
        """Whether the kernel serves this call; else ``TransformerConv`` does."""
        lin = part_of(self, "lin_edge")
        usual = (lin is None) == (edge_attr is None) and is_plain_linear(lin)
        usual = usual and self.flow == "source_to_target"
        return usual and not is_adjacency(edge_index) and self.may_be_fast()

    def maps(self) -> list[Any]:
        """The linear maps of features: queries, keys, values, and the skip connection's."""
        names = ("lin_query", "lin_key", "lin_value", "lin_skip")
        return [part_of(self, name) for name in names[: 4 if self.root_weight else 3]]

    def is_one_step(self, x: Any) -> bool:
        """Whether the layer is linear maps, attention and a sum, with nothing in between."""
        usual = self.concat and part_of(self, "lin_beta") is None
        return usual and may_be_one_step(x, self.maps())

    def in_one_step(self, x: Tensor, index: Tensor) -> Tensor:
        """All of the layer as one step that PyTorch differentiates."""
        parameters = [each._parameters for each in self.maps()]
        pairs = [(each["weight"], each["bias"]) for each in parameters]
        dropout = self.dropout if self.training else 0.0
        return transformer_step(index, x, pairs, self.heads, dropout)

    def skip(self, out: Tensor, x_dst: Tensor) -> Tensor:
        """The sums with the skip connection, added or let in by the gate."""
        if not self.root_weight:
            return out
        root = projected(self.lin_skip, x_dst)
        if self.lin_beta is None:
            return out + root
        gate = self.lin_beta(torch.cat([out, root, out - root], dim=-1)).sigmoid()
        return gate * root + (1 - gate) * out
