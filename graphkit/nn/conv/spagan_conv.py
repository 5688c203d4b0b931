"""Attention over shortest paths."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import add_self_loops, remove_self_loops

from graphkit import ops
from graphkit.catalog import method
from graphkit.nn.head_linear import HeadLinear, draw
from graphkit.ops.checks import as_edge_index
from graphkit.ops.layout.memo import remember

Paths = Mapping[int, Tensor]


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
class SPAGANConv(MessagePassing):
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
    :func:`graphkit.ops.shortest_paths` on the flipped edges.

    Mean pooling splits into sums over the nodes of the paths and costs
    :math:`\mathcal{O}(P c H)` memory beside the node features for :math:`P` paths of
    :math:`c` nodes.  Maximum pooling needs each path's feature,
    :math:`\mathcal{O}(P H C)`, for :math:`c \geq 3`.

    Args:
        in_channels (int): Size of each input; :obj:`-1` takes it from the first input.
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
        **kwargs (optional): Arguments of :class:`torch_geometric.nn.MessagePassing`.

    Shapes:
        - **input:** features :math:`(N, F_{in})`, dense or sparse CSR, or a static batch
          :math:`(B, N, F_{in})`; edges :math:`(2, E)`; paths :math:`c \mapsto (P_c, c)`
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
        in_channels: int,
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
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(node_dim=-3, **kwargs)
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
        self.lin = HeadLinear(in_channels, out_channels, heads, bias, init)
        many = len(self.lengths)
        self.att = nn.Parameter(torch.empty(many, heads, 2 * out_channels))
        self.length_att = nn.Parameter(torch.empty(heads, 2 * out_channels)) if many > 1 else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        super().reset_parameters()
        self.lin.reset_parameters()
        draw(*self.att.view(-1, 1, self.att.size(-1)))
        if self.length_att is not None:
            draw(*self.length_att.unsqueeze(1))

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        paths: Paths | None = None,
        return_attention_weights: bool | None = None,
    ) -> Tensor | tuple[Tensor, tuple[Tensor, Tensor]]:
        """Attends to edges and paths.

        Args:
            x (torch.Tensor): Node features.
            edge_index (torch.Tensor): Edges, from neighbour to centre.
            paths (dict, optional): Paths of three or more nodes under their number of nodes,
                centre first; other lengths are ignored. (default: :obj:`None`)
            return_attention_weights (bool, optional): Also returns ``(edge_index, alpha)``:
                the edges, with the self loops behind them, and their weights ``[E, H]``.
                (default: :obj:`None`)
        """
        if x.dim() not in (2, 3) or not x.is_floating_point():
            raise ValueError(
                f"'x' must hold floats in 2 or 3 dimensions, got {x.dtype} {list(x.shape)}"
            )
        if return_attention_weights and 2 not in self.lengths:
            raise ValueError(f"edges have no weights when 'lengths' is {self.lengths}")
        edges = self.with_loops(as_edge_index(edge_index), x.size(-2))
        alpha = edges.new_empty(0)
        h = self.lin(x).unflatten(-1, (self.heads, self.out_channels))
        scores = per_head(h, self.att.unflatten(-1, (2, -1)).movedim(2, 1).flatten(0, 1))
        gathered = []
        for length, att, score, own in zip(
            self.lengths, self.att, scores[::2], scores[1::2], strict=True
        ):
            if length == 2:
                out, alpha = self.attend_to_edges(
                    edges, h, score, own, bool(return_attention_weights)
                )
            elif self.pool == "mean":
                out = self.attend_to_means(self.path_rows(paths, length, x.size(-2)), h, score, own)
            else:
                rows = self.path_rows(paths, length, x.size(-2))
                out = self.attend_to_maxima(rows, h, att[..., : self.out_channels], own)
            gathered.append(out)
        out = self.merge(gathered, h)
        out = out.flatten(-2) if self.concat else out.mean(dim=-2)
        return (out, (edges, alpha)) if return_attention_weights else out

    @property
    def options(self) -> tuple[float, float, bool]:
        """How path weights come about: slope of the leaky ReLU, dropout, and whether it acts."""
        return self.negative_slope, self.dropout, self.training

    def attend_to_edges(
        self, edges: Tensor, h: Tensor, score: Tensor, own: Tensor, weights: bool
    ) -> tuple[Tensor, Tensor]:
        """Graph attention over paths of two nodes, and its weights if they are wanted."""
        if self.explain:
            alpha = self.path_weights(edges[1], edges, score.index_select(-2, edges[0]), own)
            return self.propagate(edges, x=h, alpha=alpha), alpha
        if weights:
            return ops.gat_attention(edges, h, score, own, *self.options, return_weights=True)
        return ops.gat_attention(edges, h, score, own, *self.options), score

    def message(self, x_j: Tensor, alpha: Tensor) -> Tensor:
        """A path of two nodes sends the feature of its end, weighted."""
        return alpha.unsqueeze(-1) * x_j

    def attend_to_means(self, rows: Tensor, h: Tensor, score: Tensor, own: Tensor) -> Tensor:
        r"""Mean-pooled paths: :math:`\sum_p \frac{\alpha_p}{c - 1} \sum_m \mathbf{h}_{v_m}`."""
        members = rows.size(0) - 1
        raw = score.index_select(-2, rows[1:].flatten()).unflatten(-2, (members, -1)).mean(-3)
        alpha = self.path_weights(rows[0], known(rows, "pairs", numbered), raw, own) / members
        incidence = known(rows, "incidence", members_to_centre)
        return ops.spmm(incidence, torch.cat([alpha] * members, dim=-2), h, h.size(-3))

    def attend_to_maxima(self, rows: Tensor, h: Tensor, att: Tensor, own: Tensor) -> Tensor:
        """Max-pooled paths, whose features have to be written out."""
        members = h.index_select(-3, rows[1:].flatten()).unflatten(-3, (rows.size(0) - 1, -1))
        feature = members.amax(dim=-4)
        score = (feature * att).sum(-1)
        return ops.gat_attention(known(rows, "pairs", numbered), feature, score, own, *self.options)

    def path_weights(self, centre: Tensor, pairs: Tensor, raw: Tensor, own: Tensor) -> Tensor:
        """Softmax over the paths of each centre, with dropout."""
        raw = F.leaky_relu(raw + own.index_select(-2, centre), self.negative_slope)
        alpha = ops.edge_softmax(pairs, raw, own.size(-2))
        return F.dropout(alpha, self.dropout, self.training)

    def merge(self, gathered: list[Tensor], h: Tensor) -> Tensor:
        """Attention over the lengths."""
        if self.length_att is None:
            return gathered[0]
        att_length, att_centre = self.length_att.unsqueeze(0).split(self.out_channels, dim=-1)
        (own,) = per_head(h, att_centre)
        raw = torch.stack([per_head(part, att_length)[0] + own for part in gathered])
        beta = F.leaky_relu(raw, self.negative_slope).softmax(dim=0).unsqueeze(-1)
        return sum(weight * part for weight, part in zip(beta, gathered, strict=True))

    def with_loops(self, edge_index: Tensor, num_nodes: int) -> Tensor:
        """The edges and, behind them, one self loop per node."""
        if not self.add_self_loops:
            return edge_index
        build = functools.partial(looped, num_nodes=num_nodes)
        return known(edge_index, ("loops", num_nodes), build)

    def path_rows(self, paths: Paths | None, length: int, num_nodes: int) -> Tensor:
        """The paths ``[length, P]`` sorted by centre, self paths among them if wanted."""
        found = None if paths is None else paths.get(length)
        if found is None:
            raise ValueError(
                f"'paths' has no paths of {length} nodes; graphkit.ops.shortest_paths finds them"
            )
        if found.dim() != 2 or found.size(1) != length or found.is_floating_point():
            raise ValueError(
                f"'paths' must hold integers [P, {length}] under {length}, "
                f"got {found.dtype} {list(found.shape)}"
            )
        loops = self.add_self_loops
        build = functools.partial(sorted_rows, num_nodes=num_nodes, self_paths=loops)
        return known(found, ("rows", num_nodes, loops), build)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.lin.in_channels}, {self.out_channels}, "
            f"heads={self.heads}, lengths={self.lengths}, pool={self.pool})"
        )


def per_head(h: Tensor, att: Tensor) -> tuple[Tensor, ...]:
    """Products of features ``[*, H, C]`` with vectors ``[K, H, C]``, as ``K`` times ``[*, H]``.

    One matrix product with a block-diagonal matrix, several times faster than products and
    sums head by head while heads are few.
    """
    heads = att.size(1)
    blocks = torch.einsum("khc,hg->hckg", att, torch.eye(heads, dtype=att.dtype, device=h.device))
    return (h.flatten(-2) @ blocks.reshape(-1, att.size(0) * heads)).chunk(att.size(0), dim=-1)


def known(index: Tensor, key: Hashable, build: Callable[[Tensor], Tensor]) -> Tensor:
    """``build(index)``, kept with the index tensor (as it is viewed) outside of compiled code."""
    if torch.compiler.is_compiling():
        return build(index)
    view = (index.storage_offset(), index.shape, index.stride())
    return remember(index, (key, view), lambda: build(index))


def looped(edge_index: Tensor, num_nodes: int) -> Tensor:
    """Replaces all self loops by one per node, at the end."""
    return add_self_loops(remove_self_loops(edge_index)[0], num_nodes=num_nodes)[0]


def sorted_rows(paths: Tensor, num_nodes: int, self_paths: bool) -> Tensor:
    """Paths as columns, sorted by centre; checks that their nodes are there."""
    if self_paths:
        every = torch.arange(num_nodes, device=paths.device)
        paths = torch.cat([paths, every.view(-1, 1).expand(-1, paths.size(1))])
    if not torch.compiler.is_compiling() and ((paths < 0) | (paths >= num_nodes)).any():
        raise IndexError(
            f"'paths' names nodes {int(paths.min())} to {int(paths.max())}, "
            f"but x has {num_nodes} rows"
        )
    return paths[paths[:, 0].argsort(stable=True)].t().contiguous()


def members_to_centre(rows: Tensor) -> Tensor:
    """Edges from every node of a path but the first to the first."""
    return torch.stack([rows[1:].flatten(), rows[0].repeat(rows.size(0) - 1)])


def numbered(rows: Tensor) -> Tensor:
    """Edges from every path, by its number, to its first node."""
    return torch.stack([torch.arange(rows.size(1), device=rows.device), rows[0]])
