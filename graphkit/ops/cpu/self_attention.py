"""Attention of a set of nodes to itself, of the CPU backend: small graphs in one call."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.ops import dropout as dropping
from graphkit.ops.cpu.arrays import EXACT, parts_of
from graphkit.ops.cpu.kernels import self_attention as kernels
from graphkit.ops.cpu.threads import team
from graphkit.ops.layout.rows import Graph

SMALL = 1 << 20
MOST_TABLES = 4
_KIND = {torch.float32: np.float32, torch.float64: np.float64}


def is_small(graph: Graph, x: Tensor) -> bool:
    """Whether calls cost as much as arithmetic."""
    batch, nodes, heads, width = x.shape
    rows = max(graph.num_edges, 2 * nodes)
    return x.dtype in EXACT and batch * rows * heads * width <= SMALL


def self_attention(
    graph: Graph,
    x: Tensor,
    att_src: Tensor,
    att_dst: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The sums, the statistics of their softmax, and the scores of both ends."""
    batch, nodes, heads, width = x.shape
    x, att_src, att_dst = (_packed(value) for value in (x, att_src, att_dst))
    out = torch.empty_like(x)
    statistics = x.new_empty(batch, nodes, 2, heads)
    score_src, score_dst = x.new_empty(batch, nodes, heads), x.new_empty(batch, nodes, heads)
    results = (out, statistics, score_src, score_dst)
    kernels.attend(
        team(batch * graph.num_edges * heads * width),
        _order(graph, transposed=False),
        (batch, nodes, graph.num_edges, heads, width, parts_of(graph.target, batch)),
        *_scalars(x, seed, negative_slope, dropout),
        x.data_ptr(),
        att_src.data_ptr(),
        att_dst.data_ptr(),
        tuple(value.data_ptr() for value in results),
    )
    return results


def self_attention_backward(
    graph: Graph,
    x: Tensor,
    att_src: Tensor,
    att_dst: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    out: Tensor,
    statistics: Tensor,
    grad: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``x`` and of both vectors."""
    batch, nodes, heads, width = x.shape
    given = (x, att_src, att_dst, score_src, score_dst, out, statistics, grad)
    values = [_packed(value) for value in given]
    grad_x, grad_att_src, grad_att_dst = (torch.empty_like(value) for value in values[:3])
    results = (grad_x, grad_att_src, grad_att_dst)
    addresses = [value.data_ptr() for value in values]
    parts = parts_of(graph.source, batch)
    kernels.attend_back_all(
        team(batch * graph.num_edges * heads * width),
        _order(graph, transposed=True),
        (batch, nodes, graph.num_edges, heads, width, parts),
        *_scalars(x, seed, negative_slope, dropout),
        # One for each share of the work: of any number of threads, so that sums are the same.
        min(batch * parts, MOST_TABLES),
        *addresses[:3],
        tuple(addresses[3:]),
        tuple(value.data_ptr() for value in results),
    )
    return results


def _packed(value: Tensor) -> Tensor:
    """The values in the order of their indices, where a kernel may walk their memory."""
    return value if value.is_contiguous() else value.contiguous()


def _order(graph: Graph, transposed: bool) -> tuple[int, int, int]:
    """Addresses of row bounds, other ends and edges; the graph keeps what lies there alive."""

    def build() -> tuple[int, int, int]:
        order, others = graph.sorted_by(transposed)
        perm = 0 if order.perm is None else order.perm.data_ptr()
        return order.indptr.data_ptr(), others.data_ptr(), perm

    rows = graph.source if transposed else graph.target
    return rows.derive(("addresses", id(graph)), build)


def _scalars(x: Tensor, seed: Tensor, negative_slope: float, dropout: float) -> tuple[Any, ...]:
    """What decides about dropout, the slope, and the factor of what is kept."""
    kind = _KIND[x.dtype]
    words = (0, 0, 0)
    if dropout > 0:
        words = (*dropping.keys(int(seed)), dropping.threshold(dropout))
    return words, kind(negative_slope), kind(1 / (1 - dropout) if dropout < 1 else 0)
