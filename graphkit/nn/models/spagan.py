"""The shortest path graph attention network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit import ops
from graphkit.catalog import method
from graphkit.modes import evaluating
from graphkit.nn.conv.spagan_conv import SPAGANConv
from graphkit.nn.edges import plain_edges
from graphkit.nn.head_linear import feature_dropout


def attention_costs(edge_index: Tensor, alpha: Tensor) -> Tensor:
    r"""Edge costs from attention: :math:`w_{ij} = 1 - \bar{\alpha}_{ij} / \max \bar{\alpha}`.

    The most attended edge costs nothing.  Self loops cost 0 and do not count in the maximum.

    Args:
        edge_index (torch.Tensor): Edges.
        alpha (torch.Tensor): Attention weights of all heads.

    Shapes:
        - **input:** edges :math:`(2, E)`, weights :math:`(E, H)`
        - **output:** costs :math:`(E)`

    Example:
        >>> import torch
        >>> edge_index = torch.tensor([[0, 1], [1, 2]])
        >>> attention_costs(edge_index, torch.tensor([[0.2], [0.8]]))
        tensor([0.7500, 0.0000], dtype=torch.float64)
    """
    mean = alpha.detach().double().mean(dim=1)
    mean = mean.masked_fill(edge_index[0] == edge_index[1], 0.0)
    largest = mean.max() if mean.numel() else mean.sum()
    cost = 1.0 - mean / largest.clamp(min=torch.finfo(mean.dtype).tiny)
    return cost.masked_fill(edge_index[0] == edge_index[1], 0.0)


@method(
    paper="arXiv:2101.03464",
    title="SPAGAN: Shortest Path Graph Attention Network",
    authors="Yiding Yang, Xinchao Wang, Mingli Song, Junsong Yuan, Dacheng Tao",
    venue="IJCAI 2019",
    year=2019,
    code="https://github.com/ihollywhy/SPAGAN",
    licence="none",
    takes="node features and edges",
    gives="class scores per node",
    deviations=[
        "paths are compared with paths of at most max(lengths) nodes, not of any length",
        "every edge is a path of two nodes, also where a detour is cheaper",
        "biases start at zero; init='authors' draws them like weights, which makes runs collapse",
        "variant='paper' leaves out the ELU behind the last layer; 'released' has it",
    ],
    limits=[
        "small citation graphs where a GAT is at hand: over 20 seeds it is 0.23 points behind the "
        "GAT that gives it its paths on Cora and level on CiteSeer, at several times the cost; on "
        "DBLP it is 1.3 points ahead",
    ],
)
class SPAGAN(nn.Module):
    r"""The node classifier of the `"SPAGAN: Shortest Path Graph Attention Network"
    <https://arxiv.org/abs/2101.03464>`_ paper.

    .. math::
        \mathbf{Z} = \mathrm{GAT}\left( \operatorname{ELU}\left( \mathrm{SPA}(\mathbf{X},
        \mathcal{P}) \right) \right), \qquad
        \mathcal{P} = \mathrm{ShortestPaths}\left( 1 - \bar{\alpha} / \max \bar{\alpha} \right)

    Training alternates.  A first stage trains without paths; :meth:`next_round` turns the
    attention :math:`\bar{\alpha}` of the first layer, averaged over heads, into edge costs
    and finds the paths :math:`\mathcal{P}`; another stage trains with them, and so on.
    :class:`graphkit.train.PathRounds` does this inside :class:`graphkit.train.Trainer`.

    Args:
        in_channels (int): Size of each input; :obj:`-1` takes it from the first input.
        hidden_channels (int): Size of each head of the first layer.
        out_channels (int): Number of classes.
        heads (int, optional): Heads of the first layer. (default: :obj:`8`)
        out_heads (int, optional): Heads of the last layer, averaged. (default: :obj:`1`)
        lengths (tuple, optional): Numbers of nodes of the paths. (default: :obj:`(2, 3)`)
        ratio (float, optional): Paths per node and length :math:`\geq 3`, as a share of
            its degree. (default: :obj:`0.5`)
        pool (str, optional): :obj:`"mean"` or :obj:`"max"`; by default what
            :obj:`variant` says. (default: :obj:`None`)
        dropout (float, optional): Dropout of layer inputs and attention.
            (default: :obj:`0.6`)
        source (str, optional): Whose attention gives the first paths: :obj:`"gat"`, a
            graph attention network with parameters of its own, or :obj:`"self"`, this
            network without paths. (default: :obj:`"gat"`)
        costs (str, optional): :obj:`"attention"`, or for comparison :obj:`"uniform"`
            (breadth-first search) or :obj:`"random"`. (default: :obj:`"attention"`)
        init (str, optional): See :class:`~graphkit.nn.SPAGANConv`.
            (default: :obj:`"zero_bias"`)
        variant (str, optional): :obj:`"paper"` or :obj:`"released"`: maximum pooling and
            an ELU behind the last layer. (default: :obj:`"paper"`)

    Shapes:
        - **input:** features :math:`(N, F_{in})`, dense or sparse CSR; edges :math:`(2, E)`
        - **output:** :math:`(N, F_{out})`

    Raises:
        ValueError: If an option is unknown.

    Example:
        >>> import torch
        >>> from graphkit.nn import SPAGAN
        >>> model = SPAGAN(4, 8, 3)
        >>> x, edge_index = torch.rand(3, 4), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> model.next_round(x, edge_index)
        >>> sorted(model.paths), model(x, edge_index).shape
        ([3], torch.Size([3, 3]))
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        heads: int = 8,
        out_heads: int = 1,
        lengths: Sequence[int] = (2, 3),
        ratio: float = 0.5,
        pool: Literal["mean", "max"] | None = None,
        dropout: float = 0.6,
        source: Literal["gat", "self"] = "gat",
        costs: Literal["attention", "uniform", "random"] = "attention",
        init: Literal["zero_bias", "authors"] = "zero_bias",
        variant: Literal["paper", "released"] = "paper",
    ) -> None:
        super().__init__()
        if source not in ("gat", "self"):
            raise ValueError(f"'source' must be 'gat' or 'self', got {source!r}")
        if costs not in ("attention", "uniform", "random"):
            raise ValueError(f"'costs' must be 'attention', 'uniform' or 'random', got {costs!r}")
        self.lengths, self.ratio, self.dropout = tuple(lengths), ratio, dropout
        self.costs, self.final_elu = costs, variant == "released"

        def network(lengths: Sequence[int]) -> nn.ModuleList:
            options: dict[str, Any] = {"dropout": dropout, "init": init, "variant": variant}
            wide = heads * hidden_channels
            first = SPAGANConv(in_channels, hidden_channels, heads, lengths, pool, **options)
            last = SPAGANConv(wide, out_channels, out_heads, (2,), concat=False, **options)
            return nn.ModuleList([first, last])

        self.gat = network((2,)) if source == "gat" and self.longer else None
        self.convs = network(self.lengths)
        for length in self.longer:
            self.register_buffer(f"paths_{length}", None, persistent=False)

    @property
    def longer(self) -> tuple[int, ...]:
        """The lengths that need paths beside the edges."""
        return tuple(length for length in self.lengths if length > 2)

    @property
    def paths(self) -> dict[int, Tensor]:
        """The paths in use, by number of nodes; empty before the first round."""
        buffers = {length: getattr(self, f"paths_{length}") for length in self.longer}
        return {length: paths for length, paths in buffers.items() if paths is not None}

    @paths.setter
    def paths(self, paths: Mapping[int, Tensor]) -> None:
        for length in self.longer:
            setattr(self, f"paths_{length}", paths.get(length))

    def reset_parameters(self) -> None:
        """Draws all parameters anew and forgets the paths."""
        for conv in [*(self.gat or []), *self.convs]:
            conv.reset_parameters()
        self.paths = {}

    def forward(
        self, x: Tensor, edge_index: Tensor, paths: Mapping[int, Tensor] | None = None
    ) -> Tensor:
        """Scores all nodes, along :obj:`paths` or else those of the last round."""
        (first, last), paths = self.network(x, paths)
        x = feature_dropout(x, self.dropout, self.training)
        x = F.elu(first(x, edge_index, paths))
        x = F.dropout(x, self.dropout, self.training)
        x = last(x, edge_index)
        return F.elu(x) if self.final_elu else x

    def network(
        self, x: Tensor, paths: Mapping[int, Tensor] | None
    ) -> tuple[nn.ModuleList, Mapping[int, Tensor]]:
        """The layers in use and their paths; without any yet, the first stage's layers."""
        paths = paths or self.paths
        if paths or not self.longer:
            return self.convs, paths
        if self.gat is not None:
            return self.gat, paths
        none = torch.empty(0, 0, dtype=torch.long, device=x.device)
        return self.convs, {length: none.view(0, length) for length in self.longer}

    @torch.no_grad()
    def next_round(self, x: Tensor, edge_index: Tensor) -> None:
        """Finds the paths of the next stage from the attention of the present one."""
        edge_index = plain_edges(edge_index)
        if self.costs == "attention":
            (first, _), paths = self.network(x, None)
            with evaluating(first):
                _, (edge_index, alpha) = first(x, edge_index, paths, True)
            cost = attention_costs(edge_index, alpha)
        elif self.costs == "random":
            cost = torch.rand(edge_index.size(1), device=edge_index.device)
        else:
            cost = torch.ones(edge_index.size(1), device=edge_index.device)
        self.paths = ops.shortest_paths(
            edge_index.flip(0), cost, max(self.lengths), self.ratio, num_nodes=x.size(0)
        )
