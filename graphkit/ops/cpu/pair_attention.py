"""Attention whose scores both ends' features decide, on the CPU: GATv2 and dot products."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.ops import dropout as dropping
from graphkit.ops.cpu.arrays import Array, Walk, empty, flat, walk_of
from graphkit.ops.cpu.kernels import pair_attention, pair_attention_back, source_sums, sums
from graphkit.ops.cpu.kernels.dot_attention import Product
from graphkit.ops.cpu.kernels.gatv2 import Additive
from graphkit.ops.cpu.kernels.pairs import Chunks
from graphkit.ops.cpu.threads import run
from graphkit.ops.dtypes import widened
from graphkit.ops.layout.rows import Graph


def gatv2_forward(
    graph: Graph,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_attr: Tensor,
    lin: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
) -> tuple[Tensor, Tensor]:
    """See :func:`graphkit.ops.pairwise.gatv2_forward`."""
    none = np.empty(0, flat(x_src).dtype)
    pair = _additive(x_dst, x_src, att, edge_attr, lin, negative_slope, none, none, none)
    out, statistics = _forward(graph, pair, x_src, x_src.size(3), 0, dropout, seed)
    return out.view(*out.shape[:2], *x_src.shape[2:]).to(x_src.dtype), statistics


def gatv2_backward(
    graph: Graph,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_attr: Tensor,
    lin: Tensor,
    out: Tensor,
    statistics: Tensor,
    grad: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """See :func:`graphkit.ops.pairwise.gatv2_backward`."""
    (batch, _, heads, width), num_attr = x_src.shape, edge_attr.size(2)
    units = walk_of(graph.target, batch).units
    grad_att = empty(x_src, units, heads, width).zero_()
    grad_lin = empty(x_src, units, num_attr, heads, width).zero_()
    grad_attr = empty(x_src, batch, graph.num_edges, num_attr)
    softmax = _softmax(statistics, grad, out, out[..., :0], out[..., :0])
    shape = (heads, width, width, 0)
    taken = [flat(value) for value in (grad_att, grad_attr, grad_lin)]
    nothing = [np.empty(0, taken[0].dtype)] * 3
    edges = (att, edge_attr, lin, negative_slope)
    rest = (x_src, grad, softmax, shape, dropout, seed)
    grad_dst, _ = _backward(graph, _additive(x_dst, x_src, *edges, *taken), True, *rest)
    grad_src, _ = _backward(graph, _additive(x_src, x_dst, *edges, *nothing), False, *rest)
    return (
        grad_src.view(x_src.shape).to(x_src.dtype),
        grad_dst.view(x_dst.shape).to(x_src.dtype),
        grad_att.sum(0).to(att.dtype),
        grad_attr.to(edge_attr.dtype),
        (grad_lin.sum(0) * widened(att)).to(lin.dtype),
    )


def dot_forward(
    graph: Graph,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    edge_attr: Tensor,
    edge_query: Tensor,
    seed: Tensor,
    scale: float,
    dropout: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`graphkit.ops.pairwise.dot_forward`."""
    none = np.empty(0, flat(query).dtype)
    pair = _product(query, key, edge_attr, edge_query, scale, none, none, none)
    num_attr = edge_attr.size(2)
    both, statistics = _forward(graph, pair, value, query.size(3), num_attr, dropout, seed)
    out, edge_out = _split(both, query.size(2), value.size(3), num_attr)
    return out.to(value.dtype), edge_out.to(value.dtype), statistics


def dot_backward(
    graph: Graph,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    edge_attr: Tensor,
    edge_query: Tensor,
    out: Tensor,
    edge_out: Tensor,
    statistics: Tensor,
    grad: Tensor,
    edge_grad: Tensor,
    seed: Tensor,
    scale: float,
    dropout: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """See :func:`graphkit.ops.pairwise.dot_backward`."""
    (batch, _, heads, width), num_attr = query.shape, edge_attr.size(2)
    grad_attr = empty(query, batch, graph.num_edges, num_attr)
    # Of an edge sources need two numbers per head: writing them down costs less than a second
    # walk with two products and an exponential per edge.
    terms = empty(query, batch, graph.num_edges, 2, heads)
    softmax = _softmax(statistics, grad, out, edge_grad, edge_out)
    taken = flat(edge_grad), flat(grad_attr), flat(terms)
    pair = _product(query, key, edge_attr, edge_query, scale, *taken)
    shape = (heads, width, value.size(3), heads * num_attr)
    rest = (value, grad, softmax, shape, dropout, seed)
    grad_query, grad_edge_query = _backward(graph, pair, True, *rest)
    grad_key, grad_value = _source_sums(graph, terms, query, grad)
    dtype = query.dtype
    return (
        grad_query.view(query.shape).to(dtype),
        grad_key.to(dtype),
        grad_value.to(dtype),
        grad_attr.to(dtype),
        grad_edge_query.view(edge_query.shape).to(dtype),
    )


def _additive(
    near: Tensor,
    far: Tensor,
    att: Tensor,
    edge_attr: Tensor,
    lin: Tensor,
    slope: float,
    *gradients: Array,
) -> Additive:
    """What kernels score with; edges' features are shared unless they come for every graph."""
    ends = flat(near), flat(far)
    counting = np.arange(edge_attr.size(2), dtype=np.int32)
    edges = flat(edge_attr), edge_attr.size(0) < near.size(0), flat(lin), counting
    return Additive(*ends, flat(att), ends[0].dtype.type(slope), *edges, *gradients)


def _product(
    near: Tensor,
    far: Tensor,
    edge_attr: Tensor,
    edge_query: Tensor,
    scale: float,
    *gradients: Array,
) -> Product:
    """What kernels score with."""
    ends = flat(near), flat(far)
    edges = flat(edge_attr), edge_attr.size(0) < near.size(0), edge_attr.size(2)
    return Product(*ends, ends[0].dtype.type(scale), *edges, flat(edge_query), *gradients)


def _chunks(walk: Walk, others: Tensor) -> Chunks:
    parts, rows, entries, indptr = walk.chunks
    return Chunks(parts, rows, entries, indptr, others.numpy(), walk.perm, walk.slots)


def _dropping(like: Array, dropout: float, seed: Tensor) -> tuple[Array, Any]:
    """What decides which entries are dropped, and the factor of those that are kept."""
    scale = like.dtype.type(1 / (1 - dropout) if dropout < 1 else 0)
    if dropout == 0:
        return np.empty(0, np.uint32), scale
    words = [*dropping.keys(int(seed)), dropping.threshold(dropout)]
    return np.array(words, dtype=np.uint32), scale


def _forward(
    graph: Graph,
    pair: Additive | Product,
    value: Tensor,
    width: int,
    num_attr: int,
    dropout: float,
    seed: Tensor,
) -> tuple[Tensor, Tensor]:
    """Rows of sums ``[B, M, H V + H D]``, and the statistics of their softmax."""
    batch, count, heads, wide = value.shape
    walk, length = walk_of(graph.target, batch), heads * (wide + num_attr)
    _, others = graph.sorted_by(False)
    out = empty(value, batch, graph.target.size, length)
    statistics = empty(value, batch, graph.target.size, 2, heads)
    pieces = np.empty(walk.slots.size * length, flat(out).dtype)
    piece_statistics = np.empty(walk.slots.size * 2 * heads, pieces.dtype)
    run(
        pair_attention.attend_rows,
        walk.units,
        batch * graph.num_edges * heads * (width + wide),
        _chunks(walk, others),
        pair,
        count,
        flat(value),
        *_dropping(pieces, dropout, seed),
        heads,
        width,
        wide,
        length,
        flat(out),
        flat(statistics),
        pieces,
        piece_statistics,
    )
    ends = (flat(out), flat(statistics), heads, wide, length)
    pair_attention.attend_pieces(walk.slots, pieces, piece_statistics, *ends)
    return out, statistics


def _backward(
    graph: Graph,
    pair: Additive | Product,
    by_target: bool,
    value: Tensor,
    grad: Tensor,
    softmax: Tensor,
    shape: tuple[int, int, int, int],
    dropout: float,
    seed: Tensor,
) -> tuple[Tensor, Tensor]:
    """Rows of gradients for the targets, or for the sources: of what scores are made of, and
    ``rest`` values more."""
    batch, (heads, width, wide, rest) = value.size(0), shape
    near, far = (graph.target, graph.source) if by_target else (graph.source, graph.target)
    walk = walk_of(near, batch)
    _, others = graph.sorted_by(not by_target)
    both = [empty(value, batch, near.size, length) for length in (heads * width, rest)]
    outs = [flat(out) for out in both]
    pieces = [np.empty(walk.slots.size * length, outs[0].dtype) for length in (heads * width, rest)]
    run(
        pair_attention_back.attend_back,
        walk.units,
        2 * batch * graph.num_edges * heads * (width + wide),
        _chunks(walk, others),
        pair,
        by_target,
        far.size,
        flat(value),
        flat(grad),
        flat(softmax),
        *_dropping(outs[0], dropout, seed),
        heads,
        width,
        wide,
        rest,
        *outs,
        *pieces,
    )
    for out, piece, length in zip(outs, pieces, (heads * width, rest), strict=True):
        sums.add_pieces(walk.slots, piece, out, length)
    return both[0], both[1]


def _source_sums(graph: Graph, terms: Tensor, query: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of keys and values, from what the walk over targets wrote down."""
    batch, count, heads, width = query.shape
    walk = replace(walk_of(graph.source, batch), perm=graph.terms_of_sources.numpy())
    wide, (_, others) = grad.size(3), graph.sorted_by(True)
    both = [empty(query, batch, graph.source.size, heads, size) for size in (width, wide)]
    outs = [flat(out) for out in both]
    pieces = [np.empty(walk.slots.size * heads * size, outs[0].dtype) for size in (width, wide)]
    run(
        source_sums.sum_terms,
        walk.units,
        batch * graph.num_edges * heads * (width + wide),
        _chunks(walk, others),
        flat(terms),
        flat(query),
        flat(grad),
        count,
        heads,
        width,
        wide,
        *outs,
        *pieces,
    )
    for out, piece, size in zip(outs, pieces, (width, wide), strict=True):
        sums.add_pieces(walk.slots, piece, out, heads * size)
    return both[0], both[1]


def _softmax(
    statistics: Tensor, grad: Tensor, out: Tensor, edge_grad: Tensor, edge_out: Tensor
) -> Tensor:
    """``[B, M, 3, H]``: the largest score, one over the sum, products of sums and gradients."""
    batch, size, heads, wide = out.shape
    softmax = empty(out, batch, size, 3, heads)
    num_attr = edge_out.size(3)
    run(
        pair_attention_back.prepare,
        batch * size,
        batch * size * heads * (wide + num_attr),
        *(flat(value) for value in (statistics, grad, out, edge_grad, edge_out)),
        heads,
        wide,
        num_attr,
        flat(softmax),
    )
    return softmax


def _split(both: Tensor, heads: int, first: int, second: int) -> tuple[Tensor, Tensor]:
    """Two tensors ``[B, N, H, …]`` from rows that hold one after the other."""
    parts = both.split([heads * first, heads * second], dim=-1)
    left = parts[0].unflatten(-1, (heads, first))
    right = parts[1].unflatten(-1, (heads, second))
    # A copy of one of them at least: outputs of an op may not share memory.
    return left.contiguous(), right.clone(memory_format=torch.contiguous_format)
