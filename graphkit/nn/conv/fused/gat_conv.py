"""``GATConv`` on the fused attention kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import GATConv

from graphkit import ops
from graphkit.catalog import method
from graphkit.nn.conv.fused.inputs import combined, ends_of
from graphkit.nn.edges import (
    by_flow,
    count_targets,
    is_adjacency,
    void_scores,
    with_loop_features,
    with_self_loops,
    without_void,
)
from graphkit.nn.fast_path import FastPath
from graphkit.nn.gat_step import gat_step
from graphkit.nn.head_linear import head_products
from graphkit.nn.one_step import may_be_one_step
from graphkit.nn.sparse_features import projected
from graphkit.ops.attention import self_attention
from graphkit.ops.checks import as_edge_index


@method(
    paper="arXiv:1710.10903",
    title="Graph Attention Networks",
    authors="Petar Veličković, Guillem Cucurull, Arantxa Casanova, Adriana Romero, Pietro Liò, "
    "Yoshua Bengio",
    venue="ICLR 2018",
    year=2018,
    code="https://github.com/PetarV-/GAT",
    licence="MIT",
    takes="node features, edges and, if wanted, edge features",
    gives="node features, and attention weights if asked for",
    deviations=["self loops, residuals and edge features are those of PyG's GATConv"],
    verified_by="tests/nn/conv/fused/test_gat_conv.py",
)
class FusedGATConv(FastPath, GATConv, fast=True):
    r"""The operator of the `"Graph Attention Networks" <https://arxiv.org/abs/1710.10903>`_
    paper: :class:`torch_geometric.nn.GATConv` in less time and memory.

    .. math::
        \mathbf{x}^{\prime}_i = \sum_{j \in \mathcal{N}(i) \cup \{ i \}}
        \alpha_{i,j} \mathbf{\Theta} \mathbf{x}_j, \qquad
        \alpha_{i,j} = \mathrm{softmax}_j \left( \mathrm{LeakyReLU} \left(
        \mathbf{a}_{src}^{\top} \mathbf{\Theta} \mathbf{x}_j +
        \mathbf{a}_{dst}^{\top} \mathbf{\Theta} \mathbf{x}_i \right) \right)

    It has the parameters of ``GATConv``, under the same names: weights load from one into the
    other. Attention runs in :func:`graphkit.ops.gat_attention`, so memory beside the features
    grows with :math:`|\mathcal{E}| H`, never :math:`|\mathcal{E}| H F_{out}`. Static batches
    of features on one graph are taken, too. Dropout draws other masks than ``GATConv`` does.
    Sparse adjacencies, another aggregation than the sum, and whatever
    :class:`~graphkit.nn.fast_path.FastPath` lists (explainers, hooks, a subclass's own
    ``message``) go through ``GATConv`` itself, which is the definition.

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
        ValueError: If shapes do not fit.

    Example:
        >>> conv = FusedGATConv(16, 8, heads=4)
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
            residual,
            **kwargs,
        )

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor | None],
        edge_index: Any,
        edge_attr: Tensor | None = None,
        size: tuple[int, int] | None = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        """Runs the layer; arguments as those of :class:`torch_geometric.nn.GATConv`."""
        if not self.can_fuse(x, edge_index):
            return super().forward(x, edge_index, edge_attr, size, return_attention_weights)
        index, void = as_edge_index(edge_index), None
        usual = edge_attr is None and not return_attention_weights
        # Features of edges and weights that somebody asks for take the steps one by one.
        if usual and size is None and self.is_one_step(x):
            return self.in_one_step(x, index)
        residual, x_src, x_dst = self.project(x)
        num_src, num_dst = self.count_nodes(x_src, x_dst, size)
        if self.add_self_loops:
            loops = min(num_src, num_dst)
            if edge_attr is not None:
                edge_attr = with_loop_features(index, edge_attr, self.fill_value, loops)
            index, void = with_self_loops(index, loops)
        # Where both ends are one set of nodes, one op scores them and sums.
        if usual and void is None and x_src is x_dst and self.flow == "source_to_target":
            return self.combine(self.attend_to_itself(index, x_src), residual)
        score_src, score_dst = self.end_scores(x_src, x_dst, num_dst)
        attend: Any = ops.gat_attention
        result = attend(
            by_flow(index, self.flow),
            x_src,
            score_src,
            score_dst,
            self.negative_slope,
            self.dropout,
            self.training,
            bool(return_attention_weights),
            self.edge_scores(edge_attr, x_src, void),
        )
        if not return_attention_weights:
            return self.combine(result, residual)
        return self.combine(result[0], residual), without_void(index, result[1], void)

    def is_one_step(self, x: Any) -> bool:
        """Whether the layer is a linear map, attention and a bias, with nothing in between."""
        # From where PyTorch keeps them: its way to an attribute that is a module or a parameter
        # takes longer than all else here. What is not kept there is not told by its value.
        parameters, lin = self._parameters, self._modules.get("lin")
        bias = parameters.get("bias")
        source, target = parameters.get("att_src"), parameters.get("att_dst")
        if lin is None or bias is None or source is None or target is None or not self.concat:
            return False
        nothing = parameters.get("res", lin) is None and lin._parameters.get("bias", lin) is None
        if not nothing or self.flow != "source_to_target":
            return False
        return may_be_one_step(x, (lin,), source, target, bias)

    def in_one_step(self, x: Any, index: Tensor) -> Tensor:
        """All of the layer as one step that PyTorch differentiates."""
        if self.add_self_loops:
            index, _ = with_self_loops(index, x.size(0))
        parameters: Any = self._parameters
        weight: Any = self._modules["lin"]._parameters["weight"]
        ends = (parameters["att_src"], parameters["att_dst"])
        dropout = self.dropout if self.training else 0.0
        return gat_step(index, x, weight, parameters["bias"], ends, self.negative_slope, dropout)

    def attend_to_itself(self, index: Tensor, x: Tensor) -> Tensor:
        """The sums of one set of nodes, where nothing but its ends decides an edge's score."""
        dropout = self.dropout if self.training else 0.0
        vectors = (self.att_src, self.att_dst)
        return self_attention(index, x, *vectors, self.negative_slope, dropout)

    def combine(self, out: Tensor, residual: Tensor | None) -> Tensor:
        """The heads as one, with the residual and the bias."""
        return combined(out, self.concat, residual, self.bias)

    def can_fuse(self, x: Tensor | tuple[Tensor, Tensor | None], edge_index: Any) -> bool:
        """Whether the kernel serves this call; else ``GATConv`` does."""
        # Against the flow PyG counts the targets of a pair as if they were the sources.
        usual = self.flow == "source_to_target" or isinstance(x, Tensor)
        return usual and not is_adjacency(edge_index) and self.may_be_fast()

    def project(
        self, x: Tensor | tuple[Tensor, Tensor | None]
    ) -> tuple[Tensor | None, Tensor, Tensor | None]:
        """The residual of the targets, and both ends' features, head by head."""
        x_src, x_dst = ends_of(x)
        shape = (self.heads, self.out_channels)
        residual = None if self.res is None or x_dst is None else projected(self.res, x_dst)
        to_src = self.lin_src if self.lin is None else self.lin
        to_dst = self.lin_dst if self.lin is None else self.lin
        source = projected(to_src, x_src).unflatten(-1, shape)
        if x_dst is None or (x_dst is x_src and to_dst is to_src):
            return residual, source, None if x_dst is None else source
        return residual, source, projected(to_dst, x_dst).unflatten(-1, shape)

    def count_nodes(self, x_src: Tensor, x_dst: Tensor | None, size: Any) -> tuple[int, int]:
        """The numbers of sources and targets, checked against ``size``."""
        targets = None if x_dst is None else x_dst.size(-3)
        return x_src.size(-3), count_targets(x_src.size(-3), targets, size, self.flow)

    def end_scores(
        self, x_src: Tensor, x_dst: Tensor | None, num_dst: int
    ) -> tuple[Tensor, Tensor]:
        """What the two ends of an edge add to its score; targets without features add nothing."""
        if x_src is x_dst:
            source, target = head_products(x_src, torch.cat([self.att_src, self.att_dst]))
            return source, target
        (source,) = head_products(x_src, self.att_src)
        if x_dst is None:
            return source, source.new_zeros(*source.shape[:-2], num_dst, source.size(-1))
        return source, head_products(x_dst, self.att_dst)[0]

    def edge_scores(
        self, edge_attr: Tensor | None, x_src: Tensor, void: Tensor | None
    ) -> Tensor | None:
        """What edge features add to the scores, ``[E, H]``, spread over a static batch."""
        if edge_attr is None or self.lin_edge is None:
            if void is None:
                return None
            score = x_src.new_zeros(void.size(0), self.heads)
        else:
            edge_attr = edge_attr.view(-1, 1) if edge_attr.dim() == 1 else edge_attr
            features = self.lin_edge(edge_attr).unflatten(-1, (self.heads, self.out_channels))
            score = (features * self.att_edge).sum(-1)
        score = void_scores(score, void)
        return score if x_src.dim() == 3 else score.expand(x_src.size(0), -1, -1)
