"""Attention whose scores both ends' features decide, for backends without a kernel of it.

Composed of the backend's own sums, products and largest entries; what lies between them is
PyTorch on a bounded number of edges at a time, as :mod:`graphkit.ops.torch_backend` does it.
Memory: the output and ``E * H``. PyTorch can differentiate all of it, if the backend is
:mod:`graphkit.ops.reference`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from graphkit.ops import reference
from graphkit.ops.dropout import keep_scale
from graphkit.ops.dtypes import widened
from graphkit.ops.layout.rows import Graph, Rows
from graphkit.ops.torch_backend import slices


def of_backend(module: ModuleType, name: str) -> Callable[..., Any]:
    """The backend's own kernel of that name, or the function of this file on its smaller ops."""
    if hasattr(module, name):
        return getattr(module, name)
    function = globals()[name]
    return lambda *arguments: function(module, *arguments)


def parts(graph: Graph, x: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Ranges of edges with their sources and targets; messages are as large as rows of ``x``."""
    for part in ranges(graph.num_edges, x):
        yield part, graph.source.values[part], graph.target.values[part]


def ranges(num_edges: int, x: Tensor) -> Iterator[slice]:
    """Ranges of edges, at least one."""
    size = x.size(0) * math.prod(x.shape[2:])
    return iter(slices(num_edges, size) if num_edges else [slice(0, 0)])


def gatv2_score(
    graph: Graph,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_attr: Tensor,
    lin: Tensor,
    negative_slope: float,
) -> Tensor:
    """See :func:`graphkit.ops.reference.gatv2_score`."""
    scores = [
        reference.gatv2_score(
            source, target, x_src, x_dst, att, edge_attr[:, part], lin, negative_slope
        )
        for part, source, target in parts(graph, x_src)
    ]
    return torch.cat(scores, 1)


def gatv2_score_backward(
    graph: Graph,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_attr: Tensor,
    lin: Tensor,
    grad: Tensor,
    negative_slope: float,
) -> tuple[Tensor, ...]:
    """Gradients of the five tensors a score depends on, from that of the score."""
    x = (x_src, x_dst, att, edge_attr, lin)
    grads = [torch.zeros_like(widened(value)) for value in (x_src, x_dst, att, lin)]
    edges = []
    for part, source, target in parts(graph, x_src):
        found = gatv2_part_backward(
            (source, target), (*x[:3], edge_attr[:, part], lin), grad[:, part], negative_slope
        )
        grads = [total + new for total, new in zip(grads, (*found[:3], found[4]), strict=True)]
        edges.append(found[3])
    return (*grads[:3], torch.cat(edges, 1), grads[3])


def gatv2_part_backward(
    ends: tuple[Tensor, Tensor], x: tuple[Tensor, ...], grad: Tensor, negative_slope: float
) -> tuple[Tensor, ...]:
    """The same for some edges, of ``edge_attr`` for every graph of the batch by itself."""
    x_src, x_dst, att, edge_attr, lin = (widened(value) for value in x)
    met = reference.gatv2_sum(*ends, x_src, x_dst, edge_attr, lin)
    step = grad.unsqueeze(-1)
    step = torch.where(met > 0, step, step * negative_slope)
    grad_att = (step * met).sum((0, 1))
    step = step * att
    grad_src = torch.zeros_like(x_src).index_add(1, ends[0], step)
    grad_dst = torch.zeros_like(x_dst).index_add(1, ends[1], step)
    grad_attr = torch.einsum("behc,dhc->bed", step, lin)
    grad_lin = torch.einsum("bed,behc->dhc", edge_attr.expand(step.size(0), -1, -1), step)
    return grad_src, grad_dst, grad_att, grad_attr, grad_lin


def gatv2_forward(
    module: ModuleType,
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
    """Sums ``[B, M, H, C]``; the largest score and the sum of exponentials ``[B, M, 2, H]``."""
    score = gatv2_score(graph, x_src, x_dst, att, edge_attr, lin, negative_slope)
    alpha, statistics = _normalised(module, graph, score)
    alpha, _ = _dropped(alpha, alpha, dropout, seed)
    return module.spmm(graph, alpha, widened(x_src), False).to(x_src.dtype), statistics


def gatv2_backward(
    module: ModuleType,
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
) -> tuple[Tensor, ...]:
    """Gradients of ``x_src``, ``x_dst``, ``att``, ``edge_attr [B, E, D]`` and ``lin``."""
    x = (x_src, x_dst, att, edge_attr, lin)
    alpha = _weights(graph, gatv2_score(graph, *x, negative_slope), statistics)
    grad_alpha = module.sddmm(graph, widened(x_src), widened(grad))
    dropped, grad_alpha = _dropped(alpha, grad_alpha, dropout, seed)
    grad_score = module.softmax_backward(graph.target, alpha, grad_alpha)
    grad_src, *grads = gatv2_score_backward(graph, *x, grad_score, negative_slope)
    grad_src = grad_src + module.spmm(graph, dropped, widened(grad), True)
    return tuple(g.to(value.dtype) for g, value in zip((grad_src, *grads), x, strict=True))


def edge_dot(rows: Rows, query: Tensor, edge_attr: Tensor) -> Tensor:
    """See :func:`graphkit.ops.reference.edge_dot`."""
    target = rows.values
    found = [
        reference.edge_dot(target[part], query, edge_attr[:, part])
        for part in ranges(len(target), query)
    ]
    return torch.cat(found, 1)


def edge_sum(rows: Rows, weight: Tensor, edge_attr: Tensor) -> Tensor:
    """See :func:`graphkit.ops.reference.edge_sum`."""
    target, size = rows.values, edge_attr.size(2) * weight.size(2)
    sums = [
        reference.edge_sum(target[part], weight[:, part], edge_attr[:, part], rows.size)
        for part in ranges(len(target), weight.new_empty(weight.size(0), 0, size))
    ]
    return functools.reduce(torch.add, sums)


def edge_mix(rows: Rows, weight: Tensor, query: Tensor) -> Tensor:
    """See :func:`graphkit.ops.reference.edge_mix`."""
    target = rows.values
    found = [
        reference.edge_mix(target[part], weight[:, part], query)
        for part in ranges(len(target), query)
    ]
    return torch.cat(found, 1)


def dot_score(
    module: ModuleType,
    graph: Graph,
    query: Tensor,
    key: Tensor,
    edge_attr: Tensor,
    edge_query: Tensor,
    scale: float,
) -> Tensor:
    """Products of queries with keys and with edge features, scaled, ``[B, E, H]``."""
    score = module.sddmm(graph, widened(key), widened(query))
    if edge_query.size(3):
        score = score + edge_dot(graph.target, edge_query, edge_attr)
    return score * scale


def dot_forward(
    module: ModuleType,
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
    """Sums of values ``[B, M, H, V]`` and of edge features ``[B, M, H, D]``; statistics."""
    score = dot_score(module, graph, query, key, edge_attr, edge_query, scale)
    alpha, statistics = _normalised(module, graph, score)
    alpha, _ = _dropped(alpha, alpha, dropout, seed)
    out = module.spmm(graph, alpha, widened(value), False)
    edge_out = edge_sum(graph.target, alpha, edge_attr)
    return out.to(value.dtype), edge_out.to(value.dtype), statistics


def dot_backward(
    module: ModuleType,
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
) -> tuple[Tensor, ...]:
    """Gradients of ``query``, ``key``, ``value``, ``edge_attr`` ``[B, E, D]``, ``edge_query``."""
    score = dot_score(module, graph, query, key, edge_attr, edge_query, scale)
    alpha = _weights(graph, score, statistics)
    grad_alpha = module.sddmm(graph, widened(value), widened(grad))
    if edge_query.size(3):
        grad_alpha = grad_alpha + edge_dot(graph.target, edge_grad, edge_attr)
    dropped, grad_alpha = _dropped(alpha, grad_alpha, dropout, seed)
    step = module.softmax_backward(graph.target, alpha, grad_alpha) * scale
    grads = (
        module.spmm(graph, step, widened(key), False),
        module.spmm(graph, step, widened(query), True),
        module.spmm(graph, dropped, widened(grad), True),
        edge_mix(graph.target, step, edge_query) + edge_mix(graph.target, dropped, edge_grad),
        edge_sum(graph.target, step, edge_attr),
    )
    return tuple(g.to(query.dtype) for g in grads)


def _normalised(module: ModuleType, graph: Graph, score: Tensor) -> tuple[Tensor, Tensor]:
    """The weights of the edges, and what they were made of, ``[B, M, 2, H]``."""
    rows = graph.target
    peak = module.segment_max(rows, score.detach())[0]
    peak = peak.masked_fill(peak.isinf(), 0.0)
    total = module.segment_sum(rows, (score - peak[:, rows.values]).exp())
    statistics = torch.stack([peak, total], 2)
    return _weights(graph, score, statistics), statistics


def _weights(graph: Graph, score: Tensor, statistics: Tensor) -> Tensor:
    peak, total = statistics[:, graph.target.values].unbind(2)
    return (score - peak).exp() / total.masked_fill(total == 0, 1.0)


def _dropped(
    alpha: Tensor, grad_alpha: Tensor, dropout: float, seed: Tensor
) -> tuple[Tensor, Tensor]:
    """Both under the mask of the call."""
    if dropout == 0:
        return alpha, grad_alpha
    scale = keep_scale(seed, alpha, dropout)
    return alpha * scale, grad_alpha * scale
