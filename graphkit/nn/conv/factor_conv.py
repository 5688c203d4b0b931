"""Several soft graphs inside one edge set."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch_geometric.nn import Linear, MessagePassing

from graphkit import ops
from graphkit.catalog import method
from graphkit.ops.autograd import sums
from graphkit.ops.backends import active_backend
from graphkit.ops.checks import as_edge_index
from graphkit.ops.layout.rows import Rows

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
)
class FactorConv(MessagePassing):
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

    All factors run at once: memory beside the features is the :math:`\mathcal{O}(E K)` of the
    gates, never :math:`E \cdot K \cdot F`; time grows with :math:`E \cdot F_{out}`, as in
    graph attention with :math:`K` heads.

    Args:
        in_channels (int): Size of each input; :obj:`-1` takes it from the first input.
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
        **kwargs (optional): Arguments of :class:`torch_geometric.nn.MessagePassing`.

    Shapes:
        - **input:** features :math:`(N, F_{in})` or a static batch :math:`(B, N, F_{in})`;
          edges :math:`(2, E)`
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
        in_channels: int,
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
        self.lin = Linear(in_channels, self.factor_channels, bias=bias)
        self.att = nn.Parameter(torch.empty(2 * num_factors, self.factor_channels))
        self.gate_bias = nn.Parameter(torch.empty(num_factors)) if gate_bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew, as two :class:`torch.nn.Linear` per factor would."""
        super().reset_parameters()
        self.lin.reset_parameters()
        bound = 1 / math.sqrt(max(self.factor_channels, 1))
        nn.init.uniform_(self.att, -bound, bound)
        if self.gate_bias is not None:
            with torch.no_grad():
                self.gate_bias.uniform_(-bound, bound).add_(
                    torch.empty_like(self.gate_bias).uniform_(-bound, bound)
                )

    def forward(
        self, x: Tensor, edge_index: Tensor, return_attention_weights: bool | None = None
    ) -> Tensor | tuple[Tensor, Tensor] | tuple[Tensor, tuple[Tensor, Tensor]]:
        """Sums each factor's neighbours.

        Args:
            x (torch.Tensor): Node features.
            edge_index (torch.Tensor): Edges, from source to target.
            return_attention_weights (bool, optional): Returns ``(out, (edge_index, gate))``.
                (default: :obj:`None`)
        """
        edges = as_edge_index(edge_index)
        h = self.project(x)
        gate = self.score(h, edges).sigmoid()
        out = self.sum_factors(h, edges, gate)
        out = out.flatten(-2) if self.concat else out.mean(dim=-2)
        if return_attention_weights:
            return out, (edges, gate)
        return (out, gate) if self.return_factors else out

    def project(self, x: Tensor) -> Tensor:
        """The features :math:`\\mathbf{h}` that all factors share, ``[N, F]``."""
        if x.dim() not in (2, 3) or not x.is_floating_point():
            raise ValueError(
                f"'x' must hold floats in 2 or 3 dimensions, got {x.dtype} {list(x.shape)}"
            )
        if self.lin.in_channels not in (-1, x.size(-1)):
            raise ValueError(f"'x' must have {self.lin.in_channels} channels, got {list(x.shape)}")
        return self.lin(x)

    def score(self, h: Tensor, edge_index: Tensor) -> Tensor:
        """The gates before the sigmoid, ``[E, K]``, from the features of :meth:`project`."""
        edges = as_edge_index(edge_index)
        ends = self.slope * (h @ self.att.t())
        ends = ends if h.dim() == 3 else ends.unsqueeze(0)
        source, target = ends.split(self.num_factors, dim=-1)
        if self.gate_bias is not None:
            target = target + self.slope * self.gate_bias
        score = sums.gather(edges, 0, source, active_backend())
        score = score + sums.gather(edges, 1, target, active_backend())
        return score if h.dim() == 3 else score.squeeze(0)

    def sum_factors(self, h: Tensor, edge_index: Tensor, gate: Tensor) -> Tensor:
        """The normalised sums over the factor graphs, ``[N, K, F]``.

        While PyG explains the layer they go through :meth:`message`.
        """
        edges, scale = as_edge_index(edge_index), None
        if self.norm != "none":
            scale = inverse_root_degree(edges, h, self.single)
            h = h * scale
        if self.explain:
            out = self.propagate(edges, x=h.unsqueeze(-2), alpha=gate)
        else:
            shared = h.unsqueeze(-2).expand(*h.shape[:-1], self.num_factors, h.size(-1))
            out = ops.spmm(edges, gate, shared)
        return out * scale.unsqueeze(-1) if scale is not None and self.norm == "sym" else out

    def message(self, x_j: Tensor, alpha: Tensor) -> Tensor:
        """The shared features of the source, once per factor, times the factor's gate."""
        return alpha.unsqueeze(-1) * x_j

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.lin.in_channels}, {self.out_channels}, "
            f"num_factors={self.num_factors}, concat={self.concat}, slope={self.slope}, "
            f"norm={self.norm})"
        )


def inverse_root_degree(edge_index: Tensor, like: Tensor, single: bool = False) -> Tensor:
    r""":math:`d^{-1/2}` of the in-degrees :math:`d \geq 1`, ``[N, 1]``, in the type of ``like``.

    ``single`` rounds it to float32 first, as the released code does also in float64.
    """
    degree = in_degree(edge_index, like.size(-2)).clamp(min=1)
    if not single:
        degree = degree.to(torch.promote_types(like.dtype, degree.dtype))
    return degree.pow(-0.5).to(like.dtype).unsqueeze(-1)


def in_degree(edge_index: Tensor, num_nodes: int) -> Tensor:
    """The number of edges into each node, float32, kept with ``edge_index``."""

    def count() -> Tensor:
        ones = torch.ones(1, edge_index.size(1), 1, device=edge_index.device)
        return sums.segment_sum(edge_index, 1, ones, num_nodes, active_backend()).view(-1)

    if torch.compiler.is_compiling():
        return count()
    return Rows(edge_index, 1, num_nodes, "edge_index[1]").remember("in_degree", count)
