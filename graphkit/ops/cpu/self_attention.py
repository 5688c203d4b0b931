"""Attention of a set of nodes to itself, of the CPU backend: small graphs in one call."""

from __future__ import annotations

from typing import Any, NamedTuple

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


class Plan(NamedTuple):
    """What the kernels are told of a graph, the same in every call."""

    work: int
    """About the number of multiplications."""
    forward: tuple[tuple[int, ...], tuple[int, ...]]
    """Addresses of row bounds, other ends and edges, sorted by target; and sizes."""
    backward: tuple[tuple[int, ...], tuple[int, ...]]
    """The same, sorted by source."""
    tables: int
    """One for each share of the work: of any number of threads, so that sums are the same."""
    kept: tuple[Tensor, ...]
    """What lies at the addresses: the plan may outlive the graph."""


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
    batch, nodes, heads, _ = x.shape
    x, att_src, att_dst = _packed(x), _packed(att_src), _packed(att_dst)
    out, statistics = torch.empty_like(x), x.new_empty(batch, nodes, 2, heads)
    score_src, score_dst = x.new_empty(batch, nodes, heads), x.new_empty(batch, nodes, heads)
    results = (out, statistics, score_src, score_dst)
    plan = _plan_of(graph, x)
    kernels.attend(
        team(plan.work),
        *plan.forward,
        *_scalars(x.dtype, seed, negative_slope, dropout),
        x.data_ptr(),
        att_src.data_ptr(),
        att_dst.data_ptr(),
        0,
        (*[value.data_ptr() for value in results], 0),
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
    given = (x, att_src, att_dst, score_src, score_dst, out, statistics, grad)
    values = [_packed(value) for value in given]
    grad_x, grad_src, grad_dst = (torch.empty_like(value) for value in values[:3])
    addresses = [value.data_ptr() for value in values]
    plan = _plan_of(graph, x)
    kernels.attend_back_all(
        team(plan.work),
        *plan.backward,
        *_scalars(x.dtype, seed, negative_slope, dropout),
        plan.tables,
        *addresses[:3],
        tuple(addresses[3:]),
        (x.size(2) * x.size(3), 1),
        (grad_x.data_ptr(), grad_src.data_ptr(), grad_dst.data_ptr(), 0),
    )
    return grad_x, grad_src, grad_dst


def gat_layer(
    graph: Graph,
    x: Tensor,
    att_src: Tensor,
    att_dst: Tensor,
    bias: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
) -> tuple[Tensor, Tensor]:
    """The sums with the bias ``[N, H C]``, and what :func:`gat_layer_backward` needs to know.

    Args:
        graph (Graph): A small one.
        x (torch.Tensor): Features ``[1, N, H, C]``, packed.
        att_src (torch.Tensor): What scores a source, ``[1, H, C]``.
        att_dst (torch.Tensor): What scores a target.
        bias (torch.Tensor): ``[H C]``.
        seed (torch.Tensor): The seed of dropout.
        negative_slope (float): The slope of the LeakyReLU.
        dropout (float): The probability to drop a weight.
    """
    _, nodes, heads, width = x.shape
    att_src, att_dst, bias = _packed(att_src), _packed(att_dst), _packed(bias)
    out = x.new_empty(nodes, heads * width)
    # One piece of memory for all that is kept: PyTorch is asked for each piece, and keeps it.
    state = x.new_empty(nodes * heads * (width + 4))
    sums, *values = _parts(state, nodes, heads, width)
    plan = _plan_of(graph, x)
    kernels.attend(
        team(plan.work),
        *plan.forward,
        *_scalars(x.dtype, seed, negative_slope, dropout),
        x.data_ptr(),
        att_src.data_ptr(),
        att_dst.data_ptr(),
        bias.data_ptr(),
        (sums, *values, out.data_ptr()),
    )
    return out, state


def gat_layer_backward(
    graph: Graph,
    x: Tensor,
    att_src: Tensor,
    att_dst: Tensor,
    state: Tensor,
    grad: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of ``x``, of both vectors and of the bias; ``grad [N, H C]`` may be strided."""
    _, nodes, heads, width = x.shape
    att_src, att_dst = _packed(att_src), _packed(att_dst)
    grad_x, grad_src, grad_dst = (torch.empty_like(value) for value in (x, att_src, att_dst))
    grad_bias = x.new_empty(heads * width)
    sums, statistics, *scores = _parts(state, nodes, heads, width)
    plan = _plan_of(graph, x)
    kernels.attend_back_all(
        team(plan.work),
        *plan.backward,
        *_scalars(x.dtype, seed, negative_slope, dropout),
        plan.tables,
        x.data_ptr(),
        att_src.data_ptr(),
        att_dst.data_ptr(),
        (*scores, sums, statistics, grad.data_ptr()),
        grad.stride(),
        (grad_x.data_ptr(), grad_src.data_ptr(), grad_dst.data_ptr(), grad_bias.data_ptr()),
    )
    return grad_x, grad_src, grad_dst, grad_bias


def parts_of_state(state: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The sums, the statistics of their softmax, and the scores of both ends in what
    :func:`gat_layer` keeps of ``x [1, N, H, C]``."""
    _, nodes, heads, width = x.shape
    count = nodes * heads
    sums, statistics, *scores = state.split([count * width, 2 * count, count, count])
    first, second = (score.view(1, nodes, heads) for score in scores)
    return sums.view(x.shape), statistics.view(1, nodes, 2, heads), first, second


def _parts(state: Tensor, nodes: int, heads: int, width: int) -> tuple[int, int, int, int]:
    """The addresses of :func:`parts_of_state`."""
    start, size = state.data_ptr(), nodes * heads * state.element_size()
    end = start + width * size
    return start, end, end + 2 * size, end + 3 * size


def _packed(value: Tensor) -> Tensor:
    """The values in the order of their indices, where a kernel may walk their memory."""
    return value if value.is_contiguous() else value.contiguous()


def _plan_of(graph: Graph, x: Tensor) -> Plan:
    """What the kernels are told, kept with the targets."""
    shape = x.shape
    return graph.target.derive(("plan", id(graph), shape), lambda: _plan(graph, *shape))


def _plan(graph: Graph, batch: int, nodes: int, heads: int, width: int) -> Plan:
    edges, ways = graph.num_edges, []
    kept: list[Tensor] = []
    for transposed, rows in ((False, graph.target), (True, graph.source)):
        order, others = graph.sorted_by(transposed)
        found = (order.indptr, others, order.perm)
        kept += [each for each in found if each is not None]
        # An address of 0 says that the order of rows is that of the edges.
        places = tuple(0 if each is None else each.data_ptr() for each in found)
        ways.append((places, (batch, nodes, edges, heads, width, parts_of(rows, batch))))
    work = batch * edges * heads * width
    return Plan(work, ways[0], ways[1], min(batch * ways[1][1][-1], MOST_TABLES), tuple(kept))


def _scalars(
    dtype: torch.dtype, seed: Tensor, negative_slope: float, dropout: float
) -> tuple[Any, ...]:
    """What decides about dropout, the slope, and the factor of what is kept."""
    kind, words = _KIND[dtype], (0, 0, 0)
    if dropout > 0:
        words = (*dropping.keys(int(seed)), dropping.threshold(dropout))
    return words, kind(negative_slope), kind(1 / (1 - dropout) if dropout < 1 else 0)
