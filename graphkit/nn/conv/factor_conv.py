"""Several soft graphs inside one edge set."""

from __future__ import annotations

import math
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn
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
from graphkit.ops.autograd import sums
from graphkit.ops.backends import active_backend
from graphkit.ops.layout.memo import remember

Norm = Literal["sym", "source", "none"]


@method(
    paper="arXiv:2010.05421",
    title="Factorizable Graph Convolutional Networks",
    authors="Yiding Yang, Zunlei Feng, Mingli Song, Xinchao Wang",
    venue="NeurIPS 2020",
    year=2020,
    code="https://github.com/ihollywhy/FactorGCN.PyTorch",
    licence="MIT",
    takes="node features and edges",
    gives="node features in one block per factor, and a gate per edge and factor",
    deviations=[
        "the paper's nonlinearity behind the sum is left to the caller",
        "the two biases of a factor's gate, which only ever act together, are one parameter",
    ],
    verified_by="tests/golden_checks/factor_conv.py",
    limits=[
        "features that hold the graph's adjacency: an MLP scores 99.7 on the synthetic "
        "graphs, so they are no test of factors",
        "citation graphs with few labels: as the first of two layers it is 4.8 points behind a "
        "GCNConv of the same width on CS, 2.8 on CiteSeer, 6.8 ahead on Photo "
        "(python -m benchmarks run 'defaults-models-*')",
    ],
)
class FactorConv(FastPath, fast=True):
    r"""The disentangling layer of the `"Factorizable Graph Convolutional Networks"
    <https://arxiv.org/abs/2010.05421>`_ paper.

    .. math::
        \mathbf{x}^{\prime}_i = \Big\Vert_{k=1}^{K} \sum_{j \in \mathcal{N}(i)}
        \frac{w^k_{ji}}{c_{ij}} \mathbf{h}_j, \qquad
        w^k_{ji} = \sigma\left( s \left( \mathbf{a}_k^{\top} \mathbf{h}_j +
        \mathbf{b}_k^{\top} \mathbf{h}_i + c_k \right) \right)

    with :math:`\mathbf{h} = \mathbf{x} \mathbf{W} + \mathbf{w}`, the same for all factors.
    The gates :math:`w^k` split one edge set into :math:`K` soft graphs; they are normalised
    neither over neighbours nor over factors.  The :math:`k`-th block of the output belongs to
    the :math:`k`-th factor.  A node hears itself only if it has a self loop.

    Two sets of nodes come as a pair of features, sources first.  A source then has no
    in-degree, and :math:`d_j` is the number of edges that leave it, which is the same
    number in an undirected graph.  A sparse adjacency stands for its edges; its values are not
    read.  Explainers, hooks, a subclass's own :meth:`message` and other aggregations than the
    sum run :meth:`edge_update` and :meth:`message`, see
    :class:`~graphkit.nn.fast_path.FastPath`, and cost :math:`E \cdot K \cdot F` memory.

    All factors run at once: memory beside the features is the :math:`\mathcal{O}(E K)` of the
    gates, never :math:`E \cdot K \cdot F`; time grows with :math:`E \cdot F_{out}`, as in
    graph attention with :math:`K` heads.

    Args:
        in_channels (int or tuple): Size of each input, or sizes for two sets of nodes, which
            then have two matrices; :obj:`-1` takes it from the first input.
        out_channels (int): Size of each output. With :obj:`concat` a multiple of
            :obj:`num_factors`.
        num_factors (int): Number of factors :math:`K`.
        concat (bool, optional): Concatenates factors of width :obj:`out_channels /
            num_factors`, or averages factors of width :obj:`out_channels`.
            (default: :obj:`True`)
        slope (float, optional): The slope :math:`s` of the gates; by default what
            :obj:`variant` says. (default: :obj:`None`)
        norm (str, optional): :obj:`"sym"`: :math:`c_{ij} = \sqrt{d_i d_j}`, :obj:`"source"`:
            :math:`\sqrt{d_j}`, or :obj:`"none"`: 1, with the in-degrees :math:`d`, at least 1;
            by default what :obj:`variant` says. (default: :obj:`None`)
        gate_bias (bool, optional): Learns :math:`c_k`. (default: :obj:`True`)
        bias (bool, optional): Learns :math:`\mathbf{w}`. (default: :obj:`True`)
        return_factors (bool, optional): Makes calls return the gates, too.
            (default: :obj:`False`)
        variant (str, optional): :obj:`"paper"` is :obj:`slope=1` and :obj:`norm="sym"`,
            :obj:`"released"` is :obj:`slope=6` and :obj:`norm="source"`, with the degrees'
            roots rounded to float32. (default: :obj:`"paper"`)
        **kwargs (optional): :obj:`aggr`, :obj:`aggr_kwargs` and :obj:`flow` of
            :class:`torch_geometric.nn.MessagePassing`.

    Shapes:
        - **input:** features :math:`(N, F_{in})`, a pair of them, or a static batch
          :math:`(B, N, F_{in})`; edges :math:`(2, E)` or a sparse adjacency, targets first
        - **output:** features :math:`(N, F_{out})`; gates :math:`(E, K)` if asked for

    Raises:
        ValueError: If an option or a shape is wrong.
        TypeError: If the edges are not integers.
        IndexError: If an edge names a node that is not there.

    Example:
        >>> import torch
        >>> from graphkit.nn import FactorConv
        >>> edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> conv = FactorConv(4, 8, num_factors=2, return_factors=True)
        >>> out, gate = conv(torch.rand(3, 4), edge_index)
        >>> out.shape, gate.shape
        (torch.Size([3, 8]), torch.Size([4, 2]))
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        num_factors: int,
        concat: bool = True,
        slope: float | None = None,
        norm: Norm | None = None,
        gate_bias: bool = True,
        bias: bool = True,
        return_factors: bool = False,
        variant: Literal["paper", "released"] = "paper",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(node_dim=-3, **kwargs)
        self.refuse_keywords()
        if variant not in ("paper", "released"):
            raise ValueError(f"'variant' must be 'paper' or 'released', got {variant!r}")
        paper = variant == "paper"
        self.single = not paper
        self.slope = (1.0 if paper else 6.0) if slope is None else float(slope)
        self.norm = ("sym" if paper else "source") if norm is None else norm
        if self.norm not in ("sym", "source", "none"):
            raise ValueError(f"'norm' must be 'sym', 'source' or 'none', got {norm!r}")
        if num_factors < 1:
            raise ValueError(f"'num_factors' must be at least 1, got {num_factors}")
        if concat and out_channels % num_factors:
            raise ValueError(
                f"'out_channels' must be a multiple of 'num_factors' to concatenate factors, "
                f"got {out_channels} and {num_factors}; or set concat=False"
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.num_factors, self.concat = num_factors, concat
        self.return_factors = return_factors
        self.factor_channels = out_channels // num_factors if concat else out_channels
        first, second = (in_channels, None) if isinstance(in_channels, int) else in_channels
        self.lin = Linear(first, self.factor_channels, bias=bias)
        self.lin_dst = None if second is None else Linear(second, self.factor_channels, bias=bias)
        self.att = nn.Parameter(torch.empty(2 * num_factors, self.factor_channels))
        self.gate_bias = nn.Parameter(torch.empty(num_factors)) if gate_bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew, as two :class:`torch.nn.Linear` per factor would."""
        super().reset_parameters()
        for lin in (self.lin, self.lin_dst):
            if lin is not None:
                lin.reset_parameters()
        bound = 1 / math.sqrt(max(self.factor_channels, 1))
        nn.init.uniform_(self.att, -bound, bound)
        if self.gate_bias is not None:
            with torch.no_grad():
                self.gate_bias.uniform_(-bound, bound).add_(
                    torch.empty_like(self.gate_bias).uniform_(-bound, bound)
                )

    def forward(
        self,
        x: Tensor | Pair,
        edge_index: Adj,
        return_attention_weights: bool | None = None,
        size: Size | None = None,
    ) -> Tensor | tuple[Tensor, Tensor] | tuple[Tensor, tuple[Tensor, Tensor]]:
        """Sums each factor's neighbours.

        Args:
            x (torch.Tensor or (torch.Tensor, torch.Tensor)): Node features.
            edge_index (torch.Tensor or SparseTensor): Edges, from source to target.
            return_attention_weights (bool, optional): Returns ``(out, (edge_index, gate))``.
                (default: :obj:`None`)
            size ((int, int), optional): The numbers of nodes, checked. (default: :obj:`None`)
        """
        edges = plain_edges(edge_index, self.flow)
        source, target = as_pair(x)
        check_size(given_size(edge_index, size), source.size(-2), target.size(-2), self.flow)
        h = self.project(x)
        gate = self.gates(h, edges)
        out = self.sum_factors(h, edges, gate)
        out = out.flatten(-2) if self.concat else out.mean(dim=-2)
        if return_attention_weights:
            return out, (edges, gate)
        return (out, gate) if self.return_factors else out

    @overload
    def project(self, x: Tensor) -> Tensor: ...
    @overload
    def project(self, x: Tensor | Pair) -> Tensor | Pair: ...
    def project(self, x: Tensor | Pair) -> Tensor | Pair:
        r"""The features :math:`\mathbf{h}` that all factors share, ``[N, F]``, or a pair."""
        first, second = as_pair(x)
        check_width(first, self.lin.in_channels)
        if second is first and self.lin_dst is None:
            return self.lin(first)
        lin = self.lin if self.lin_dst is None else self.lin_dst
        check_width(second, lin.in_channels)
        return self.lin(first), lin(second)

    def end_scores(self, h: Tensor | Pair) -> Pair:
        """What sources and targets add to the scores, ``[N, K]`` each."""
        sources, targets = (h, h) if isinstance(h, Tensor) else h
        if sources is targets:
            scores = self.slope * (sources @ self.att.t())
            sent, received = scores.split(self.num_factors, dim=-1)
        else:
            att_source, att_target = self.att.split(self.num_factors)
            sent = self.slope * (sources @ att_source.t())
            received = self.slope * (targets @ att_target.t())
        if self.gate_bias is not None:
            received = received + self.slope * self.gate_bias
        return sent, received

    def score(self, h: Tensor | Pair, edge_index: Adj) -> Tensor:
        """The gates before the sigmoid, ``[E, K]``, from the features of :meth:`project`."""
        return self.add_ends(h, by_flow(plain_edges(edge_index, self.flow), self.flow))

    def add_ends(self, h: Tensor | Pair, edges: Tensor) -> Tensor:
        """The sums of what both ends add, for plain edges with the sources first."""
        sent, received = self.end_scores(h)
        batched = sent.dim() == 3
        ends = [end if batched else end.unsqueeze(0) for end in (sent, received)]
        score = sums.gather(edges, 0, ends[0], active_backend())
        score = score + sums.gather(edges, 1, ends[1], active_backend())
        return score if batched else score.squeeze(0)

    def gates(self, h: Tensor | Pair, edges: Tensor) -> Tensor:
        """The gates ``[E, K]``, by the kernel or by :meth:`edge_update`."""
        if self.may_be_fast():
            return self.add_ends(h, by_flow(edges, self.flow)).sigmoid()
        # Scores get a dimension more, since PyG finds the nodes of all inputs in one place.
        sent, received = (end.unsqueeze(-1) for end in self.end_scores(h))
        return self.edge_updater(edges.long(), sent=sent, received=received)

    def edge_update(self, sent_j: Tensor, received_i: Tensor) -> Tensor:
        """The gate of each factor, from what both ends add to its score."""
        return (sent_j + received_i).squeeze(-1).sigmoid()

    def sum_factors(self, h: Tensor | Pair, edge_index: Adj, gate: Tensor) -> Tensor:
        """The normalised sums over the factor graphs, ``[N, K, F]``.

        They go through :meth:`message` when :meth:`may_be_fast` says no.
        """
        edges = plain_edges(edge_index, self.flow)
        turned = by_flow(edges, self.flow)
        sources, targets = (h, h) if isinstance(h, Tensor) else h
        counts = sources.size(-2), targets.size(-2)
        scale = None
        if self.norm != "none":
            scale = sent = inverse_root_degree(turned, targets, self.single)
            if sources is not targets:
                # A source of another set has no in-degree: its edges are those that leave it.
                sent = inverse_root_degree(turned, sources, self.single, row=0)
            sources = sources * sent
        if self.may_be_fast():
            shape = (*sources.shape[:-1], self.num_factors, sources.size(-1))
            shared = sources.unsqueeze(-2).expand(shape)
            out = ops.spmm(turned, gate, shared, counts[1])
        else:
            size = counts if self.flow == "source_to_target" else counts[::-1]
            out = self.propagate(edges.long(), size=size, x=sources.unsqueeze(-2), alpha=gate)
        return out * scale.unsqueeze(-1) if scale is not None and self.norm == "sym" else out

    def message(self, x_j: Tensor, alpha: Tensor) -> Tensor:
        """The shared features of the source, once per factor, times the factor's gate."""
        return alpha.unsqueeze(-1) * x_j

    def __repr__(self) -> str:
        width: Any = self.lin.in_channels
        width = width if self.lin_dst is None else (width, self.lin_dst.in_channels)
        return (
            f"{type(self).__name__}({width}, {self.out_channels}, "
            f"num_factors={self.num_factors}, concat={self.concat}, slope={self.slope}, "
            f"norm={self.norm})"
        )


def inverse_root_degree(
    edge_index: Tensor, like: Tensor, single: bool = False, row: int = 1
) -> Tensor:
    r""":math:`d^{-1/2}` of the degrees :math:`d \geq 1`, ``[N, 1]``, in the type of ``like``.

    Degrees count the edges that name a node in ``row``. ``single`` rounds to float32 first, as
    the released code does also in float64.
    """
    degree = in_degree(edge_index, like.size(-2), row).clamp(min=1)
    if not single:
        degree = degree.to(torch.promote_types(like.dtype, degree.dtype))
    return degree.pow(-0.5).to(like.dtype).unsqueeze(-1)


def in_degree(edge_index: Tensor, num_nodes: int, row: int = 1) -> Tensor:
    """The number of edges into each node (out of it, with row 0), kept with ``edge_index``."""

    def count() -> Tensor:
        shape = (1, edge_index.size(1), 1)
        ones = torch.ones(shape, dtype=torch.float32, device=edge_index.device)
        return sums.segment_sum(edge_index, row, ones, num_nodes, active_backend()).view(-1)

    return remember(edge_index, ("in_degree", num_nodes, row), count)
