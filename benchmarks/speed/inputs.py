"""What is timed: graphkit's op and its rival on the same tensors, and the bytes they move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import GATConv
from torch_geometric.utils import scatter, softmax

from benchmarks.speed.graphs import random_edges
from graphkit import ops
from graphkit.nn import FusedGATConv

FLOAT = 4
INDEX = 4
Call = Callable[..., Tensor]


@dataclass(frozen=True)
class Problem:
    """One op on one graph."""

    op: str = "gat"
    nodes: int = 20_000
    edges: int = 400_000
    heads: int = 8
    channels: int = 8
    skew: str = "uniform"
    backward: bool = True

    @property
    def label(self) -> str:
        """A short name for tables."""
        passes = "forward+backward" if self.backward else "forward"
        size = f"{self.nodes:.0e}/{self.edges:.0e}".replace("e+0", "e")
        return f"{self.op} {size} {self.heads}x{self.channels} {self.skew} {passes}"

    def describe(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def _gather_and_scatter(edge_index: Tensor, weight: Tensor, x: Tensor) -> Tensor:
    message = x[edge_index[0]] * weight.unsqueeze(-1)
    return scatter(message, edge_index[1], 0, x.size(0), "sum")


def _gather_and_dot(edge_index: Tensor, left: Tensor, right: Tensor) -> Tensor:
    return (left[edge_index[0]] * right[edge_index[1]]).sum(-1)


def build(problem: Problem) -> tuple[Call, Call, list[Tensor], float]:
    """Our call, the rival's, the differentiable inputs, and the bytes the forward pass moves.

    Bytes count every gathered row once per edge, as if no cache kept it, plus weights, indices
    and results.
    """
    n, e, h, c = problem.nodes, problem.edges, problem.heads, problem.channels
    edge_index = random_edges(n, e, problem.skew)
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).requires_grad_()

    # Bytes of one node's features, of one edge's weights, and of its two indices.
    row, weights, per_edge = h * c * FLOAT, h * FLOAT, 2 * INDEX
    if problem.op == "gat":
        conv, x = GATConv(h * c, c, heads=h, add_self_loops=False), normal(n, h * c)
        ours = FusedGATConv(h * c, c, heads=h, add_self_loops=False)
        ours.load_state_dict(conv.state_dict())
        # Both layers have parameters of their own, which backward must reach in both.
        values = [x, *conv.parameters(), *ours.parameters()]
        moved = e * (row + weights + INDEX) + 2 * n * row
        return (lambda: ours(x, edge_index)), (lambda: conv(x, edge_index)), values, moved
    if problem.op == "spmm":
        w, x = normal(e, h), normal(n, h, c)
        moved = e * (row + weights + per_edge) + n * row
        return (
            (lambda: ops.spmm(edge_index, w, x)),
            (lambda: _gather_and_scatter(edge_index, w, x)),
            [w, x],
            moved,
        )
    if problem.op == "sum":
        x = normal(n, h, c)
        moved = e * (row + INDEX) + n * row
        return (
            (lambda: ops.spmm(edge_index, None, x)),
            (lambda: scatter(x[edge_index[0]], edge_index[1], 0, n, "sum")),
            [x],
            moved,
        )
    if problem.op == "sddmm":
        a, b = normal(n, h, c), normal(n, h, c)
        moved = e * (row + weights + per_edge) + n * row
        return (
            (lambda: ops.sddmm(edge_index, a, b)),
            (lambda: _gather_and_dot(edge_index, a, b)),
            [a, b],
            moved,
        )
    if problem.op == "softmax":
        s = normal(e, h)
        moved = e * (3 * weights + per_edge) + 4 * n * weights
        return (
            (lambda: ops.edge_softmax(edge_index, s, n)),
            (lambda: softmax(s, edge_index[1], num_nodes=n)),
            [s],
            moved,
        )
    if problem.op == "max":
        s = normal(e, h)
        moved = e * (weights + INDEX) + 3 * n * weights
        return (
            (lambda: ops.segment_reduce(s, edge_index[1], n, "max")),
            (lambda: scatter(s, edge_index[1], 0, n, "max")),
            [s],
            moved,
        )
    raise ValueError(f"op must be gat, spmm, sum, sddmm, softmax or max, got {problem.op!r}")
