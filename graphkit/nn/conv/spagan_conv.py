"""Attention over shortest paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.typing import Adj
from torch_geometric.utils import softmax

from graphkit import ops
from graphkit.catalog import method
from graphkit.nn.edges import (
    Pair,
    Size,
    as_pair,
    by_flow,
    check_size,
    given_size,
    known,
    looped,
    plain_edges,
    void_scores,
    with_self_loops,
    without_void,
)
from graphkit.nn.fast_path import FastPath
from graphkit.nn.head_linear import HeadLinear, draw, head_products
from graphkit.nn.path_rows import Paths, found_paths, members_to_centre, numbered, path_rows


@method(
    paper="arXiv:2101.03464",
    title="SPAGAN: Shortest Path Graph Attention Network",
    authors="Yiding Yang, Xinchao Wang, Mingli Song, Junsong Yuan, Dacheng Tao",
    venue="IJCAI 2019",
    year=2019,
    code="https://github.com/ihollywhy/SPAGAN",
    licence="none",
    takes="node features, edges, and paths of three or more nodes",
    gives="node features that attended to whole paths",
    deviations=[
        "a path's feature leaves out its centre, as in the released code, so that paths of "
        "two nodes are plain graph attention",
        "biases start at zero; init='authors' draws them like weights, which makes runs collapse",
    ],
)
class SPAGANConv(FastPath, fast=True):
    r"""The path attention layer of the `"SPAGAN: Shortest Path Graph Attention Network"
    <https://arxiv.org/abs/2101.03464>`_ paper.

    .. math::
        \alpha_p &= \operatorname{softmax}_{p \in \mathcal{P}^c_i}
        \operatorname{LeakyReLU}\left( \mathbf{a}_c^{\top}
        [\phi(p) \, \Vert \, \mathbf{h}_i] \right), \qquad
        \boldsymbol{\ell}^c_i = \sum_{p \in \mathcal{P}^c_i} \alpha_p \, \phi(p)

        \mathbf{x}^{\prime}_i &= \sum_c \beta^c_i \boldsymbol{\ell}^c_i, \qquad
        \beta^c_i = \operatorname{softmax}_c \operatorname{LeakyReLU}\left(
        \mathbf{b}^{\top} [\boldsymbol{\ell}^c_i \, \Vert \, \mathbf{h}_i] \right)

    with :math:`\mathbf{h} = \mathbf{x} \mathbf{W} + \mathbf{w}` and :math:`\phi(p)` the pooled
    :math:`\mathbf{h}` of the nodes of the path :math:`p = (i, v_2, \ldots, v_c)` behind its
    centre :math:`i`.  Paths of two nodes are the edges, so :obj:`lengths=(2,)` is graph
    attention; longer ones are given as :obj:`paths`, from
    :class:`~graphkit.transforms.AddShortestPaths` or
    :func:`graphkit.ops.shortest_paths` on the flipped edges.  With :obj:`paths="auto"` the
    layer finds those of the transform's defaults itself, once per graph: they are kept with
    :obj:`edge_index` as long as it lives unchanged.

    Only paths of two nodes are messages along edges: explainers, hooks and a subclass's own
    :meth:`message` concern them alone, by :meth:`edge_update` and :meth:`message`, see
    :class:`~graphkit.nn.fast_path.FastPath`.  Two sets of nodes come as a pair of features,
    sources first, and have no longer paths.  A sparse adjacency stands for its
    edges; its values are not read.

    Mean pooling splits into sums over the nodes of the paths and costs
    :math:`\mathcal{O}(P c H)` memory beside the node features for :math:`P` paths of
    :math:`c` nodes.  Maximum pooling needs each path's feature,
    :math:`\mathcal{O}(P H C)`, for :math:`c \geq 3`.

    Args:
        in_channels (int or tuple): Size of each input, or sizes for two sets of nodes, which
            then have two matrices; :obj:`-1` takes it from the first input.
        out_channels (int): Size of each head's output.
        heads (int, optional): Number of heads. (default: :obj:`1`)
        lengths (tuple, optional): Numbers of nodes of the paths attended to.
            (default: :obj:`(2, 3)`)
        pool (str, optional): :obj:`"mean"` or :obj:`"max"`; by default what
            :obj:`variant` says. (default: :obj:`None`)
        concat (bool, optional): Concatenates heads, or averages them.
            (default: :obj:`True`)
        negative_slope (float, optional): Slope of the leaky ReLU. (default: :obj:`0.2`)
        dropout (float, optional): Dropout of the path weights :math:`\alpha`.
            (default: :obj:`0.0`)
        add_self_loops (bool, optional): Adds the path :math:`(i, \ldots, i)` of every node
            to every length; loops among the edges are replaced. (default: :obj:`True`)
        bias (bool, optional): Learns :math:`\mathbf{w}`. (default: :obj:`True`)
        init (str, optional): :obj:`"zero_bias"` or :obj:`"authors"`, see
            :class:`~graphkit.nn.head_linear.HeadLinear`. (default: :obj:`"zero_bias"`)
        variant (str, optional): :obj:`"paper"` pools by the mean, :obj:`"released"` by the
            maximum. (default: :obj:`"paper"`)
        paths (str, optional): :obj:`"auto"` finds paths that a call does not hand in.
            (default: :obj:`None`)
        **kwargs (optional): :obj:`flow` of :class:`torch_geometric.nn.MessagePassing`; paths
            begin with the receiving node whatever the flow.

    Shapes:
        - **input:** features :math:`(N, F_{in})`, dense or sparse CSR, a pair of them, or a
          static batch :math:`(B, N, F_{in})`; edges :math:`(2, E)` or a sparse adjacency,
          targets first; paths :math:`c \mapsto (P_c, c)`
        - **output:** :math:`(N, H \cdot F_{out})`, or :math:`(N, F_{out})` without
          :obj:`concat`

    Raises:
        ValueError: If an option or a shape is wrong, or paths of a length are missing.
        TypeError: If edges or paths are not integers.
        IndexError: If a path or an edge names a node that is not there.

    Example:
        >>> import torch
        >>> from graphkit.nn import SPAGANConv
        >>> from graphkit.ops import shortest_paths
        >>> edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> paths = shortest_paths(edge_index.flip(0), ratio=1.0)
        >>> conv = SPAGANConv(4, 8, heads=2)
        >>> conv(torch.rand(3, 4), edge_index, paths).shape
        torch.Size([3, 16])
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 1,
        lengths: Sequence[int] = (2, 3),
        pool: Literal["mean", "max"] | None = None,
        concat: bool = True,
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        add_self_loops: bool = True,
        bias: bool = True,
        init: Literal["zero_bias", "authors"] = "zero_bias",
        variant: Literal["paper", "released"] = "paper",
        paths: Literal["auto"] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(node_dim=-3, **kwargs)
        self.refuse_keywords("the weights of the paths of a node are shares of a sum")
        if paths not in ("auto", None):
            raise ValueError(f"'paths' must be 'auto' or None here, got {paths!r}")
        self.paths = paths
        if variant not in ("paper", "released"):
            raise ValueError(f"'variant' must be 'paper' or 'released', got {variant!r}")
        self.pool = pool or ("mean" if variant == "paper" else "max")
        if self.pool not in ("mean", "max"):
            raise ValueError(f"'pool' must be 'mean' or 'max', got {pool!r}")
        self.lengths = tuple(lengths)
        if not self.lengths or min(self.lengths) < 2 or len({*self.lengths}) < len(self.lengths):
            raise ValueError(f"'lengths' must be distinct numbers from 2 up, got {lengths!r}")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.heads, self.concat, self.add_self_loops = heads, concat, add_self_loops
        self.negative_slope, self.dropout = negative_slope, dropout
        first, second = (in_channels, None) if isinstance(in_channels, int) else in_channels
        self.lin = HeadLinear(first, out_channels, heads, bias, init)
        self.lin_dst = (
            None if second is None else HeadLinear(second, out_channels, heads, bias, init)
        )
        many = len(self.lengths)
        self.att = nn.Parameter(torch.empty(many, heads, 2 * out_channels))
        self.length_att = nn.Parameter(torch.empty(heads, 2 * out_channels)) if many > 1 else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        super().reset_parameters()
        for lin in (self.lin, self.lin_dst):
            if lin is not None:
                lin.reset_parameters()
        draw(*self.att.view(-1, 1, self.att.size(-1)))
        if self.length_att is not None:
            draw(*self.length_att.unsqueeze(1))

    def forward(
        self,
        x: Tensor | Pair,
        edge_index: Adj,
        paths: Paths | Literal["auto"] | None = None,
        return_attention_weights: bool | None = None,
        size: Size | None = None,
    ) -> Tensor | tuple[Tensor, tuple[Tensor, Tensor]]:
        """Attends to edges and paths.

        Args:
            x (torch.Tensor or (torch.Tensor, torch.Tensor)): Node features.
            edge_index (torch.Tensor or SparseTensor): Edges, from neighbour to centre.
            paths (dict or str, optional): Paths of three or more nodes under their number of
                nodes, centre first (other lengths are ignored), or :obj:`"auto"`.
                (default: what the layer was made with)
            return_attention_weights (bool, optional): Also returns ``(edge_index, alpha)``:
                the edges, with the self loops behind them, and their weights ``[E, H]``.
                (default: :obj:`None`)
            size ((int, int), optional): The numbers of nodes, checked. (default: :obj:`None`)
        """
        if return_attention_weights and 2 not in self.lengths:
            raise ValueError(f"edges have no weights when 'lengths' is {self.lengths}")
        edges = plain_edges(edge_index, self.flow)
        h, centre = self.project(x)
        check_size(given_size(edge_index, size), h.size(-3), centre.size(-3), self.flow)
        paths = self.paths if paths is None else paths
        if isinstance(paths, str):
            paths = found_paths(edges, paths, max(self.lengths), h.size(-3), self.flow)
        weighted: tuple[Tensor, Tensor] | None = None
        gathered = []
        for length, att, (score, centre_score) in zip(
            self.lengths, self.att, self.end_scores(h, centre), strict=True
        ):
            # Edges alone have loops, weights to give away and a message; longer paths are rows.
            if length == 2:
                out, weighted = self.attend_to_edges(
                    edges, (h, centre), (score, centre_score), bool(return_attention_weights)
                )
            else:
                rows = path_rows(paths, length, h.size(-3), self.add_self_loops)
                if self.pool == "mean":
                    out = self.attend_to_means(rows, h, score, centre_score)
                else:
                    out = self.attend_to_maxima(
                        rows, h, att[..., : self.out_channels], centre_score
                    )
            gathered.append(out)
        # Each length has an output of its own; the centre says how much of which it wants.
        out = self.merge(gathered, centre)
        out = out.flatten(-2) if self.concat else out.mean(dim=-2)
        if return_attention_weights and weighted is not None:
            return out, weighted
        return out

    def project(self, x: Tensor | Pair) -> Pair:
        """The heads ``[N, H, C]`` of sources and targets."""
        first, second = as_pair(x)
        heads = (self.heads, self.out_channels)
        if second is first and self.lin_dst is None:
            h = self.lin(first).unflatten(-1, heads)
            return h, h
        longer = [length for length in self.lengths if length > 2]
        if longer:
            raise ValueError(
                f"'x' is a pair of two sets of nodes, but paths of {longer} nodes stay inside one "
                "set; lengths=(2,) attends to the edges between them"
            )
        lin = self.lin if self.lin_dst is None else self.lin_dst
        return self.lin(first).unflatten(-1, heads), lin(second).unflatten(-1, heads)

    def end_scores(self, h: Tensor, centre: Tensor) -> list[Pair]:
        """What the end of a path and its centre add to its score, ``[N, H]``, per length."""
        att = self.att.unflatten(-1, (2, -1)).movedim(2, 1)
        if h is centre:
            scores = head_products(h, att.flatten(0, 1))
            return list(zip(scores[::2], scores[1::2], strict=True))
        return list(zip(head_products(h, att[:, 0]), head_products(centre, att[:, 1]), strict=True))

    @property
    def options(self) -> tuple[float, float, bool]:
        """How path weights come about: slope of the leaky ReLU, dropout, and whether it acts."""
        return self.negative_slope, self.dropout, self.training

    def attend_to_edges(
        self, edges: Tensor, ends: Pair, scores: Pair, weights: bool
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Graph attention over paths of two nodes; edges with loops and, if wanted, weights."""
        h, centre = ends
        score, centre_score = scores
        loops = min(h.size(-3), centre.size(-3))
        if not self.may_be_fast():
            edges = looped(edges, loops) if self.add_self_loops else edges
            # Scores get a dimension more, since PyG finds the nodes of all inputs in one place.
            alpha = self.edge_updater(
                edges.long(), sent=score.unsqueeze(-1), received=centre_score.unsqueeze(-1)
            )
            counts = h.size(-3), centre.size(-3)
            size = counts if self.flow == "source_to_target" else counts[::-1]
            return self.propagate(edges.long(), size=size, x=h, alpha=alpha), (edges, alpha)
        void = None
        if self.add_self_loops:
            edges, void = with_self_loops(edges, loops)
        nothing = None
        if void is not None:
            nothing = void_scores(score.new_zeros(*score.shape[:-2], *void.shape, self.heads), void)
        attend: Any = ops.gat_attention
        out = attend(by_flow(edges, self.flow), h, *scores, *self.options, weights, nothing)
        return (out[0], without_void(edges, out[1], void)) if weights else (out, (edges, score))

    def edge_update(
        self,
        sent_j: Tensor,
        received_i: Tensor,
        index: Tensor,
        ptr: Tensor | None,
        dim_size: int | None,
    ) -> Tensor:
        """The weight of every edge among those of its centre."""
        raw = F.leaky_relu((sent_j + received_i).squeeze(-1), self.negative_slope)
        alpha = softmax(raw, index, ptr, dim_size, dim=-2)
        return F.dropout(alpha, self.dropout, self.training)

    def message(self, x_j: Tensor, alpha: Tensor) -> Tensor:
        """A path of two nodes sends the feature of its end, weighted."""
        return alpha.unsqueeze(-1) * x_j

    def attend_to_means(
        self, rows: Tensor, h: Tensor, score: Tensor, centre_score: Tensor
    ) -> Tensor:
        r"""Mean-pooled paths: :math:`\sum_p \frac{\alpha_p}{c - 1} \sum_m \mathbf{h}_{v_m}`."""
        members = rows.size(0) - 1
        raw = score.index_select(-2, rows[1:].flatten()).unflatten(-2, (members, -1)).mean(-3)
        alpha = (
            self.path_weights(rows[0], known(rows, "pairs", numbered), raw, centre_score) / members
        )
        incidence = known(rows, "incidence", members_to_centre)
        return ops.spmm(incidence, torch.cat([alpha] * members, dim=-2), h, h.size(-3))

    def attend_to_maxima(
        self, rows: Tensor, h: Tensor, att: Tensor, centre_score: Tensor
    ) -> Tensor:
        """Max-pooled paths, whose features have to be written out."""
        members = h.index_select(-3, rows[1:].flatten()).unflatten(-3, (rows.size(0) - 1, -1))
        feature = members.amax(dim=-4)
        score = (feature * att).sum(-1)
        return ops.gat_attention(
            known(rows, "pairs", numbered), feature, score, centre_score, *self.options
        )

    def path_weights(
        self, centre: Tensor, pairs: Tensor, raw: Tensor, centre_score: Tensor
    ) -> Tensor:
        """Softmax over the paths of each centre, with dropout."""
        raw = F.leaky_relu(raw + centre_score.index_select(-2, centre), self.negative_slope)
        alpha = ops.edge_softmax(pairs, raw, centre_score.size(-2))
        return F.dropout(alpha, self.dropout, self.training)

    def merge(self, gathered: list[Tensor], h: Tensor) -> Tensor:
        """Attention over the lengths."""
        if self.length_att is None:
            return gathered[0]
        att_length, att_centre = self.length_att.unsqueeze(0).split(self.out_channels, dim=-1)
        (centre_score,) = head_products(h, att_centre)
        raw = torch.stack([head_products(part, att_length)[0] + centre_score for part in gathered])
        beta = F.leaky_relu(raw, self.negative_slope).softmax(dim=0).unsqueeze(-1)
        return sum(weight * part for weight, part in zip(beta, gathered, strict=True))

    def __repr__(self) -> str:
        width: Any = self.lin.in_channels
        width = width if self.lin_dst is None else (width, self.lin_dst.in_channels)
        return (
            f"{type(self).__name__}({width}, {self.out_channels}, "
            f"heads={self.heads}, lengths={self.lengths}, pool={self.pool})"
        )
