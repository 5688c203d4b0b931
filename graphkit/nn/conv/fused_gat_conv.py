"""``GATConv`` on the fused attention kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import GATConv
from torch_geometric.utils import add_self_loops, is_torch_sparse_tensor, remove_self_loops

from graphkit import ops
from graphkit.catalog import method
from graphkit.nn.fast_path import FastPath
from graphkit.ops.checks import as_edge_index
from graphkit.ops.layout.memo import remember


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
    verified_by="tests/nn/conv/test_fused_gat_conv.py",
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
    Sparse tensors, :obj:`flow="target_to_source"`, a ``size``, another aggregation than the
    sum, and whatever :class:`~graphkit.nn.fast_path.FastPath` lists (explainers, hooks, a
    subclass's own ``message``) go through ``GATConv`` itself, which is the definition.

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
        if size is not None or not self.can_fuse(x, edge_index):
            return super().forward(x, edge_index, edge_attr, size, return_attention_weights)
        index = as_edge_index(edge_index)
        residual, x_src, x_dst = self.project(x)
        if self.add_self_loops:
            index, edge_attr = self.with_loops(index, edge_attr, x_src, x_dst)
        if x_src is x_dst:
            score_src, score_dst = head_scores(x_src, self.att_src, self.att_dst)
        else:
            (score_src,) = head_scores(x_src, self.att_src)
            (score_dst,) = head_scores(x_dst, self.att_dst)
        attend: Any = ops.gat_attention
        result = attend(
            index,
            x_src,
            score_src,
            score_dst,
            self.negative_slope,
            self.dropout,
            self.training,
            bool(return_attention_weights),
            self.edge_scores(edge_attr, x_src),
        )
        out, weight = result if return_attention_weights else (result, None)
        out = out.flatten(-2) if self.concat else out.mean(-2)
        for term in (residual, self.bias):
            out = out if term is None else out + term
        return (out, (index, weight)) if return_attention_weights else out

    def can_fuse(self, x: Tensor | tuple[Tensor, Tensor | None], edge_index: Any) -> bool:
        """Whether the kernel serves this call; else ``GATConv`` does."""
        plain = isinstance(edge_index, Tensor) and not is_torch_sparse_tensor(edge_index)
        paired = isinstance(x, Tensor) or x[1] is not None
        return plain and paired and self.flow == "source_to_target" and self.may_be_fast()

    def project(
        self, x: Tensor | tuple[Tensor, Tensor | None]
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """The residual of the targets, and both ends' features, head by head."""
        x_src, x_dst = (x, x) if isinstance(x, Tensor) else x
        shape = (self.heads, self.out_channels)
        residual = None if self.res is None else self.res(x_dst)
        if self.lin is not None:
            source = self.lin(x_src).unflatten(-1, shape)
            shared = x_dst is x_src
            return residual, source, source if shared else self.lin(x_dst).unflatten(-1, shape)
        source, target = self.lin_src(x_src), self.lin_dst(x_dst)
        return residual, source.unflatten(-1, shape), target.unflatten(-1, shape)

    def with_loops(
        self, index: Tensor, edge_attr: Tensor | None, x_src: Tensor, x_dst: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The edges with one loop per node, kept with the edges, and their features."""
        num_nodes = min(x_src.size(-3), x_dst.size(-3))

        def build() -> Tensor:
            return add_self_loops(remove_self_loops(index)[0], num_nodes=num_nodes)[0]

        if edge_attr is not None:
            kept, edge_attr = remove_self_loops(index, edge_attr)
            _, edge_attr = add_self_loops(kept, edge_attr, self.fill_value, num_nodes)
        if torch.compiler.is_compiling():
            return build(), edge_attr
        key = ("loops", index.storage_offset(), tuple(index.shape), index.stride(), num_nodes)
        return remember(index, key, build), edge_attr

    def edge_scores(self, edge_attr: Tensor | None, x_src: Tensor) -> Tensor | None:
        """What edge features add to the scores, ``[E, H]``, spread over a static batch."""
        if edge_attr is None or self.lin_edge is None:
            return None
        edge_attr = edge_attr.view(-1, 1) if edge_attr.dim() == 1 else edge_attr
        features = self.lin_edge(edge_attr).unflatten(-1, (self.heads, self.out_channels))
        score = (features * self.att_edge).sum(-1)
        return score if x_src.dim() == 3 else score.expand(x_src.size(0), -1, -1)


def head_scores(x: Tensor, *attention: Tensor) -> tuple[Tensor, ...]:
    """``(x * a).sum(-1)`` for each vector ``a [1, H, C]``, as one product of matrices.

    The vectors form a block-diagonal matrix, so that no tensor of the size of ``x`` is made.
    """
    heads = x.size(-2)
    eye = torch.eye(heads, dtype=x.dtype, device=x.device)
    blocks = [torch.einsum("hc,hk->hck", a[0].to(x.dtype), eye).flatten(0, 1) for a in attention]
    return (x.flatten(-2) @ torch.cat(blocks, 1)).split(heads, -1)
