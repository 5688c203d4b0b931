"""The meaning of every op, in plain PyTorch: short, slow, ``E * H * C`` in memory.

Shapes throughout: ``x [B, N, H, C]``, ``weight [B or 1, E, H]``, ``score [B, E, K]``. Low
precision is accumulated in float32. Every function is differentiable by PyTorch itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from graphkit.ops.dropout import keep_scale
from graphkit.ops.dtypes import widened
from graphkit.ops.layout.rows import Graph, Rows

Products: TypeAlias = tuple[Callable[..., Tensor], Callable[..., Tensor]]


def spmm(graph: Graph, weight: Tensor | None, x: Tensor, transposed: bool) -> Tensor:
    """Sums ``weight * x`` of the edges that meet in a node, ``[B, M, H, C]``."""
    source, target = graph.source, graph.target
    if transposed:
        source, target = target, source
    message = widened(x)[:, source.values]
    if weight is not None:
        message = message * widened(weight).unsqueeze(-1)
    return segment_sum(target, message).to(x.dtype)


def sddmm(graph: Graph, x_src: Tensor, x_dst: Tensor) -> Tensor:
    """The dot product of both ends of every edge, ``[B, E, H]``."""
    left = widened(x_src)[:, graph.source.values]
    right = widened(x_dst)[:, graph.target.values]
    return (left * right).sum(-1).to(x_src.dtype)


def segment_sum(rows: Rows, x: Tensor) -> Tensor:
    """Sums the entries of each group, along dimension 1."""
    out = widened(x).new_zeros(x.size(0), rows.size, *x.shape[2:])
    return out.index_add(1, rows.values, widened(x)).to(x.dtype)


def segment_max(rows: Rows, x: Tensor) -> tuple[Tensor, Tensor]:
    """The largest entry of each group and its first position; ``(0, E)`` for empty groups."""
    size, index = x.size(1), rows.values.long()
    groups = index.view(1, -1, 1).expand_as(x)
    shape = (x.size(0), rows.size, x.size(2))
    value = x.new_zeros(shape).scatter_reduce(1, groups, x, "amax", include_self=False)
    positions = torch.arange(size, device=x.device).view(1, -1, 1).expand_as(x)
    reached = (x == value[:, index]) | x.isnan()
    candidates = torch.where(reached, positions, size)
    arg = torch.full(shape, size, device=x.device)
    return value, arg.scatter_reduce(1, groups, candidates, "amin")


def segment_lse(rows: Rows, x: Tensor) -> Tensor:
    """The logarithm of the summed exponentials of each group; ``-inf`` for empty groups."""
    peak, _, total = exponentials(rows, widened(x))
    something = total > 0
    log = torch.where(something, total, 1.0).log() + peak
    return torch.where(something | total.isnan(), log, -torch.inf).to(x.dtype)


def softmax(rows: Rows, score: Tensor) -> Tensor:
    """Scores normalised within each group, ``[B, E, K]``; 0 where all are ``-inf``."""
    _, exponential, total = exponentials(rows, widened(score))
    return (exponential / _divisor(total)[:, rows.values]).to(score.dtype)


def exponentials(rows: Rows, score: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The peak of each group, the exponentials below it, and their sum in each group.

    The peak is the largest entry, or 0 where that is infinite or the group is empty.
    """
    peak = segment_max(rows, score.detach())[0]
    peak = peak.masked_fill(peak.isinf(), 0.0)
    exponential = (score - peak[:, rows.values]).exp()
    return peak, exponential, segment_sum(rows, exponential)


def _divisor(total: Tensor) -> Tensor:
    """Sums to divide by: 1 where there is nothing to share out, so that shares are 0."""
    return torch.where(total == 0, 1.0, total)


def softmax_backward(rows: Rows, alpha: Tensor, grad: Tensor) -> Tensor:
    """The gradient of the scores, from the weights and their gradient."""
    weighted = widened(alpha) * widened(grad)
    total = segment_sum(rows, weighted)[:, rows.values]
    return (weighted - widened(alpha) * total).to(alpha.dtype)


def edge_score(
    graph: Graph, score_src: Tensor, score_dst: Tensor, score_edge: Tensor | None
) -> Tensor:
    """What both ends and the edge itself contribute, before the nonlinearity, ``[B, E, H]``."""
    score = widened(score_src)[:, graph.source.values]
    score = score + widened(score_dst)[:, graph.target.values]
    return score if score_edge is None else score + widened(score_edge)


def end_scores(x: Tensor, att_src: Tensor, att_dst: Tensor) -> tuple[Tensor, Tensor]:
    """The products of every node with a vector ``[1, H, C]`` per end, ``[B, N, H]`` each.

    They stay in the dtype that sums are taken in: a softmax makes large errors of small ones.
    """
    score_src, score_dst = (
        torch.einsum("bnhc,hc->bnh", widened(x), widened(att[0])) for att in (att_src, att_dst)
    )
    return score_src, score_dst


def end_scores_backward(
    x: Tensor,
    att_src: Tensor,
    att_dst: Tensor,
    grad_src: Tensor,
    grad_dst: Tensor,
    grad_x: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of ``x``, on top of ``grad_x``, and those of both vectors.

    The memory of ``grad_x`` may be written to.
    """
    pairs = ((att_src, grad_src), (att_dst, grad_dst))
    for att, grad in pairs:
        grad_x = grad_x + grad.unsqueeze(-1) * widened(att)
    grad_att = [
        torch.einsum("bnh,bnhc->hc", grad, widened(x)).unsqueeze(0).to(x.dtype) for _, grad in pairs
    ]
    return grad_x.to(x.dtype), grad_att[0], grad_att[1]


def gat_forward(
    graph: Graph,
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    score_edge: Tensor | None,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
    products: Products | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention-weighted sums ``[B, M, H, C]``, and what :func:`gat_backward` needs.

    That is ``[B, M, 2, H]``: the peak of each target's scores and the sum of exponentials.
    """
    multiply, _ = products or (spmm, sddmm)
    score = F.leaky_relu(edge_score(graph, score_src, score_dst, score_edge), negative_slope)
    peak, exponential, total = exponentials(graph.target, score)
    alpha = exponential / _divisor(total)[:, graph.target.values]
    if dropout > 0:
        alpha = alpha * keep_scale(seed, alpha, dropout)
    out = multiply(graph, alpha, widened(x), False).to(x.dtype)
    return out, torch.stack([peak, total], -2)


def gat_backward(
    graph: Graph,
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    score_edge: Tensor | None,
    out: Tensor,
    statistics: Tensor,
    grad: Tensor,
    seed: Tensor,
    negative_slope: float,
    dropout: float,
    products: Products | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of ``x``, ``score_src``, ``score_dst`` and ``score_edge``.

    The last one has no rows where no ``score_edge`` was given.
    """
    multiply, dot = products or (spmm, sddmm)
    score = edge_score(graph, score_src, score_dst, score_edge)
    peak, total = statistics.unbind(-2)
    alpha = (F.leaky_relu(score, negative_slope) - peak[:, graph.target.values]).exp()
    alpha = dropped = alpha / _divisor(total)[:, graph.target.values]
    grad_alpha = dot(graph, widened(x), widened(grad))
    if dropout > 0:
        scale = keep_scale(seed, alpha, dropout)
        dropped, grad_alpha = alpha * scale, grad_alpha * scale
    grad_score = softmax_backward(graph.target, alpha, grad_alpha)
    grad_score = torch.where(score > 0, grad_score, negative_slope * grad_score)
    return (
        multiply(graph, dropped, widened(grad), True).to(x.dtype),
        segment_sum(graph.source, grad_score).to(score_src.dtype),
        segment_sum(graph.target, grad_score).to(score_dst.dtype),
        grad_score.to(x.dtype)[:, : 0 if score_edge is None else None],
    )


def gatv2_score(
    source: Tensor,
    target: Tensor,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    edge_attr: Tensor,
    lin: Tensor,
    negative_slope: float,
) -> Tensor:
    """What a vector per head makes of the leaked sum of both ends and the edge, ``[B, E, H]``.

    Edge features ``[B or 1, E, D]`` are projected by ``lin [D, H, C]``; ``D`` may be 0.
    """
    met = gatv2_sum(source, target, x_src, x_dst, edge_attr, lin)
    return (F.leaky_relu(met, negative_slope) * widened(att)).sum(-1)


def gatv2_sum(
    source: Tensor, target: Tensor, x_src: Tensor, x_dst: Tensor, edge_attr: Tensor, lin: Tensor
) -> Tensor:
    """What meets on an edge: both ends and the edge itself, ``[B, E, H, C]``."""
    met = widened(x_src)[:, source] + widened(x_dst)[:, target]
    return met + torch.tensordot(widened(edge_attr), widened(lin), 1) if len(lin) else met


def edge_dot(target: Tensor, query: Tensor, edge_attr: Tensor) -> Tensor:
    """The product of each edge's features with its target's ``query [B, M, H, D]``."""
    return (widened(query)[:, target] * widened(edge_attr).unsqueeze(2)).sum(-1)


def edge_sum(target: Tensor, weight: Tensor, edge_attr: Tensor, num_targets: int) -> Tensor:
    """Sums of edge features at the targets under ``weight [B, E, H]``: ``[B, M, H, D]``."""
    message = widened(weight).unsqueeze(-1) * widened(edge_attr).unsqueeze(2)
    shape = (message.size(0), num_targets, *message.shape[2:])
    return message.new_zeros(shape).index_add(1, target, message)


def edge_mix(target: Tensor, weight: Tensor, query: Tensor) -> Tensor:
    """The sum over heads of ``weight`` times the target's ``query``, ``[B, E, D]``."""
    return (widened(weight).unsqueeze(-1) * widened(query)[:, target]).sum(2)
