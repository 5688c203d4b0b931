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
    batch, nodes, heads, _ = x.shape
    x, att_src, att_dst = (_packed(value) for value in (x, att_src, att_dst))
    out = torch.empty_like(x)
    statistics = x.new_empty(batch, nodes, 2, heads)
    score_src, score_dst = x.new_empty(batch, nodes, heads), x.new_empty(batch, nodes, heads)
    results = (out, statistics, score_src, score_dst)
    places = (*[value.data_ptr() for value in results], 0)
    settings = _scalars(x, seed, negative_slope, dropout)
    _attend(graph, x, (att_src.data_ptr(), att_dst.data_ptr(), 0), settings, places)
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
    given = (att_src, att_dst, score_src, score_dst, out, statistics, grad)
    x, *values = (_packed(value) for value in (x, *given))
    results = (torch.empty_like(x), *(torch.empty_like(value) for value in values[:2]))
    first, second, *saved = (value.data_ptr() for value in values)
    steps, places = (x.size(2) * x.size(3), 1), (*[value.data_ptr() for value in results], 0)
    settings = _scalars(x, seed, negative_slope, dropout)
    _go_back(graph, x, (first, second), settings, tuple(saved), steps, places)
    return results


def gat_layer(
    graph: Graph,
    x: Tensor,
    att_src: Tensor,
    att_dst: Tensor,
    bias: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The sums with the bias; the sums, and the rest of what :func:`gat_layer_backward` needs.

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
    vectors = [_packed(value) for value in (att_src, att_dst, bias)]
    biased, out = x.new_empty(nodes, heads * width), torch.empty_like(x)
    # One piece of memory for all of the small values: PyTorch is asked for each piece.
    state = x.new_empty(4, nodes, heads)
    places = (out.data_ptr(), *_parts(state), biased.data_ptr())
    settings = _scalars(x, seed, negative_slope, dropout)
    _attend(graph, x, tuple(value.data_ptr() for value in vectors), settings, places)
    return biased, out, state


def gat_layer_backward(
    graph: Graph,
    x: Tensor,
    att_src: Tensor,
    att_dst: Tensor,
    bias: Tensor,
    out: Tensor,
    state: Tensor,
    grad: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of ``x``, of both vectors and of the bias; ``grad [N, H C]`` may be strided."""
    vectors = [_packed(att_src), _packed(att_dst)]
    grads = (torch.empty_like(x), *map(torch.empty_like, vectors), torch.empty_like(bias))
    statistics, *scores = _parts(state)
    saved = (*scores, out.data_ptr(), statistics, grad.data_ptr())
    first, second = (value.data_ptr() for value in vectors)
    settings = _scalars(x, seed, negative_slope, dropout)
    places = tuple(value.data_ptr() for value in grads)
    _go_back(graph, x, (first, second), settings, saved, grad.stride(), places)
    return grads


def _parts(state: Tensor) -> tuple[int, int, int]:
    """The addresses of the statistics and of the scores of both ends."""
    start = state.data_ptr()
    size = state.stride(0) * state.element_size()
    return start, start + 2 * size, start + 3 * size


def _attend(
    graph: Graph,
    x: Tensor,
    vectors: tuple[int, ...],
    settings: tuple[Any, ...],
    places: tuple[int, ...],
) -> None:
    """The kernel forward; ``vectors`` and ``places`` are addresses, 0 where there is no bias."""
    batch, nodes, heads, width = x.shape
    kernels.attend(
        team(batch * graph.num_edges * heads * width),
        _order(graph, transposed=False),
        (batch, nodes, graph.num_edges, heads, width, parts_of(graph.target, batch)),
        *settings,
        x.data_ptr(),
        *vectors,
        places,
    )


def _go_back(
    graph: Graph,
    x: Tensor,
    vectors: tuple[int, int],
    settings: tuple[Any, ...],
    saved: tuple[int, ...],
    steps: tuple[int, ...],
    places: tuple[int, ...],
) -> None:
    """The kernel backward; what is not a setting is an address, or how far apart values are."""
    batch, nodes, heads, width = x.shape
    parts = parts_of(graph.source, batch)
    kernels.attend_back_all(
        team(batch * graph.num_edges * heads * width),
        _order(graph, transposed=True),
        (batch, nodes, graph.num_edges, heads, width, parts),
        *settings,
        # One for each share of the work: of any number of threads, so that sums are the same.
        min(batch * parts, MOST_TABLES),
        x.data_ptr(),
        *vectors,
        saved,
        steps,
        places,
    )


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
