"""Dense definitions of the ops, by incidence matrices, and the graphs they are tried on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from graphkit import ops
from graphkit.ops.attention import self_attention


def incidence(index: Tensor, size: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """``[size, E]``: 1 where the entry belongs to the group."""
    return (torch.arange(size).unsqueeze(1) == index.unsqueeze(0)).to(dtype)


def dense_spmm(edge_index: Tensor, weight: Tensor | None, x: Tensor, size: int) -> Tensor:
    messages = torch.einsum("ne,nhc->ehc", incidence(edge_index[0], x.size(0), x.dtype), x)
    if weight is not None:
        messages = messages * weight.unsqueeze(-1)
    return torch.einsum("me,ehc->mhc", incidence(edge_index[1], size, x.dtype), messages)


def dense_sddmm(edge_index: Tensor, left: Tensor, right: Tensor) -> Tensor:
    table = torch.einsum("nhc,mhc->nmh", left, right)
    one_hot = [
        incidence(row, end.size(0), end.dtype)
        for row, end in zip(edge_index, (left, right), strict=True)
    ]
    return torch.einsum("ne,me,nmh->eh", *one_hot, table)


def dense_softmax(index: Tensor, score: Tensor, size: int) -> Tensor:
    outside = incidence(index, size, score.dtype).unsqueeze(-1) == 0
    if size == 0 or score.size(0) == 0:
        return score * 1.0
    table = score.unsqueeze(0).masked_fill(outside, -torch.inf)
    share = torch.where(outside, 0.0, table.softmax(1).nan_to_num())
    return share.sum(0)


def dense_reduce(index: Tensor, x: Tensor, size: int, reduce: str) -> Tensor:
    inside = incidence(index, size, x.dtype)
    if reduce in ("sum", "mean"):
        total = inside @ x
        return total if reduce == "sum" else total / inside.sum(1, keepdim=True).clamp(min=1)
    if x.size(0) == 0:
        return x.new_zeros(size, x.size(1)) + x.sum()
    table = x.unsqueeze(0).masked_fill(inside.unsqueeze(-1) == 0, -torch.inf)
    if reduce == "logsumexp":
        filled = inside.sum(1, keepdim=True) > 0
        safe = torch.where(filled.unsqueeze(-1), table, torch.zeros_like(table))
        return torch.where(filled, safe.logsumexp(1), torch.zeros((), dtype=x.dtype))
    return table.amax(1).masked_fill(inside.sum(1, keepdim=True) == 0, 0.0)


def dense_attention(
    edge_index: Tensor, x: Tensor, src: Tensor, dst: Tensor, edge: Tensor | None = None
) -> Tensor:
    score = incidence(edge_index[0], x.size(0), x.dtype).T @ src
    score = score + incidence(edge_index[1], dst.size(0), x.dtype).T @ dst
    score = F.leaky_relu(score if edge is None else score + edge, 0.2)
    weight = dense_softmax(edge_index[1], score, dst.size(0))
    return dense_spmm(edge_index, weight, x, dst.size(0))


def dense_gatv2(
    edge_index: Tensor,
    src: Tensor,
    dst: Tensor,
    att: Tensor,
    attr: Tensor | None = None,
    lin: Tensor | None = None,
) -> Tensor:
    met = torch.einsum("ne,nhc->ehc", incidence(edge_index[0], src.size(0), src.dtype), src)
    met = met + torch.einsum("ne,nhc->ehc", incidence(edge_index[1], dst.size(0), src.dtype), dst)
    if attr is not None and lin is not None:
        met = met + (attr @ lin.T).view_as(met)
    score = torch.einsum("ehc,hc->eh", F.leaky_relu(met, 0.2), att)
    weight = dense_softmax(edge_index[1], score, dst.size(0))
    return dense_spmm(edge_index, weight, src, dst.size(0))


def dense_dot(
    edge_index: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attr: Tensor | None = None,
    lin: Tensor | None = None,
) -> Tensor:
    into = incidence(edge_index[1], query.size(0), query.dtype)
    asked = torch.einsum("me,mhc->ehc", into, query)
    from_ = incidence(edge_index[0], key.size(0), key.dtype)
    key, value = (torch.einsum("ne,nhc->ehc", from_, end) for end in (key, value))
    if attr is not None and lin is not None:
        edge = (attr @ lin.T).view_as(key)
        key, value = key + edge, value + edge
    score = (asked * key).sum(-1) / asked.size(-1) ** 0.5
    weight = dense_softmax(edge_index[1], score, query.size(0))
    return torch.einsum("me,ehc->mhc", into, weight.unsqueeze(-1) * value)


def hashed(value: int) -> int:
    """The 32-bit hash: two rounds, and a last shift."""
    value = (value ^ value >> 16) * 0x21F0AAAD % 2**32
    value = (value ^ value >> 15) * 0xD35A2D97 % 2**32
    return value ^ value >> 15


def mask_word(counter: int, seed: int) -> int:
    """The 32 bits that are held against the probability."""
    first, second = hashed(seed % 2**32), hashed((seed ^ 0x9E3779B1) % 2**32)
    return (hashed((counter + first) % 2**32) ^ second) * 0x9E3779B1 % 2**32


def is_kept(counter: int, seed: int, probability: float) -> bool:
    """Whether an entry is kept, as the docstring of ``keep_scale`` defines it."""
    return mask_word(counter, seed) >= probability * 2**32


def random_graph(num_sources: int, num_targets: int, num_edges: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    ends = [
        torch.randint(0, size, (num_edges,), generator=generator)
        for size in (num_sources, num_targets)
    ]
    return torch.stack(ends)


def _graphs() -> dict[str, tuple[Tensor, int, int]]:
    hub = random_graph(30, 20, 2500, 3)
    hub[1, ::2] = 7
    hub[0, 1::3] = 11
    return {
        "bipartite": (random_graph(7, 5, 20), 7, 5),
        "empty_rows": (torch.tensor([[0, 3, 0], [4, 4, 1]]), 6, 6),
        "no_edges": (torch.empty(2, 0, dtype=torch.long), 3, 4),
        "one_node": (torch.empty(2, 0, dtype=torch.long), 1, 1),
        "one_loop": (torch.zeros(2, 1, dtype=torch.long), 1, 1),
        "duplicates": (torch.tensor([[0, 0, 1, 0, 1], [1, 1, 0, 1, 0]]), 2, 2),
        "sorted": (torch.tensor([[2, 1, 0, 2, 1], [0, 0, 1, 3, 3]]), 3, 4),
        "hub": (hub, 30, 20),
    }


GRAPHS = _graphs()
SHAPES = {"H1C1": (1, 1), "H1C8": (1, 8), "H3C5": (3, 5), "H8C8": (8, 8), "H2C17": (2, 17)}


@dataclass(frozen=True)
class Case:
    """An op, its dense definition and the shapes of its differentiable inputs."""

    run: Callable[..., Tensor]
    dense: Callable[..., Tensor]
    shapes: Callable[[int, int, int, int, int], list[tuple[int, ...]]]


def _reduce_case(reduce: str) -> Case:
    def run(edge_index: Tensor, size: int, x: Tensor) -> Tensor:
        out = ops.segment_reduce(x, edge_index[1], size, reduce)
        return out.nan_to_num(neginf=0.0) if reduce == "logsumexp" else out

    return Case(
        run,
        lambda edge_index, size, x: dense_reduce(edge_index[1], x, size, reduce),
        lambda e, n, m, h, c: [(e, h * c)],
    )


CASES = {
    "spmm": Case(
        lambda i, m, w, x: ops.spmm(i, w, x, m),
        lambda i, m, w, x: dense_spmm(i, w, x, m),
        lambda e, n, m, h, c: [(e, h), (n, h, c)],
    ),
    "spmm_unweighted": Case(
        lambda i, m, x: ops.spmm(i, None, x, m),
        lambda i, m, x: dense_spmm(i, None, x, m),
        lambda e, n, m, h, c: [(n, h, c)],
    ),
    "sddmm": Case(
        lambda i, m, a, b: ops.sddmm(i, a, b),
        lambda i, m, a, b: dense_sddmm(i, a, b),
        lambda e, n, m, h, c: [(n, h, c), (m, h, c)],
    ),
    "edge_softmax": Case(
        lambda i, m, s: ops.edge_softmax(i, s, m),
        lambda i, m, s: dense_softmax(i[1], s, m),
        lambda e, n, m, h, c: [(e, h)],
    ),
    "segment_softmax": Case(
        lambda i, m, s: ops.segment_softmax(s, i[1], m),
        lambda i, m, s: dense_softmax(i[1], s, m),
        lambda e, n, m, h, c: [(e, h * c)],
    ),
    "gather": Case(
        lambda i, m, x: ops.gather(x, i[1]),
        lambda i, m, x: incidence(i[1], m, x.dtype).T @ x,
        lambda e, n, m, h, c: [(m, h * c)],
    ),
    "gat_attention": Case(
        lambda i, m, x, s, d: ops.gat_attention(i, x, s, d),
        lambda i, m, x, s, d: dense_attention(i, x, s, d),
        lambda e, n, m, h, c: [(n, h, c), (n, h), (m, h)],
    ),
    "gat_attention_edges": Case(
        lambda i, m, x, s, d, t: ops.gat_attention(i, x, s, d, score_edge=t),
        lambda i, m, x, s, d, t: dense_attention(i, x, s, d, t),
        lambda e, n, m, h, c: [(n, h, c), (n, h), (m, h), (e, h)],
    ),
    "self_attention": Case(
        lambda i, m, x, s, d: self_attention(i, x, s, d, 0.2, 0.0),
        lambda i, m, x, s, d: dense_attention(i, x, (x * s).sum(-1), (x * d).sum(-1)),
        lambda e, n, m, h, c: [(max(n, m), h, c), (1, h, c), (1, h, c)],
    ),
    "gatv2_attention": Case(
        lambda i, m, s, d, a: ops.gatv2_attention(i, s, d, a),
        lambda i, m, s, d, a: dense_gatv2(i, s, d, a),
        lambda e, n, m, h, c: [(n, h, c), (m, h, c), (h, c)],
    ),
    "gatv2_attention_edges": Case(
        lambda i, m, s, d, a, f, w: ops.gatv2_attention(i, s, d, a, edge_attr=f, lin_edge=w),
        lambda i, m, s, d, a, f, w: dense_gatv2(i, s, d, a, f, w),
        lambda e, n, m, h, c: [(n, h, c), (m, h, c), (h, c), (e, 3), (h * c, 3)],
    ),
    "dot_attention": Case(
        lambda i, m, q, k, v: ops.dot_attention(i, q, k, v),
        lambda i, m, q, k, v: dense_dot(i, q, k, v),
        lambda e, n, m, h, c: [(m, h, c), (n, h, c), (n, h, c + 2)],
    ),
    "dot_attention_edges": Case(
        lambda i, m, q, k, v, f, w: ops.dot_attention(i, q, k, v, edge_attr=f, lin_edge=w),
        lambda i, m, q, k, v, f, w: dense_dot(i, q, k, v, f, w),
        lambda e, n, m, h, c: [(m, h, c), (n, h, c), (n, h, c), (e, 3), (h * c, 3)],
    ),
    **{f"segment_{name}": _reduce_case(name) for name in ("sum", "mean", "max", "logsumexp")},
}


def make_inputs(
    case: Case, graph: str, shape: str, dtype: torch.dtype = torch.float64, seed: int = 1
) -> tuple[Tensor, int, list[Tensor]]:
    """The edges, the number of targets and random inputs of a case."""
    edge_index, num_sources, num_targets = GRAPHS[graph]
    generator = torch.Generator().manual_seed(seed)
    shapes = case.shapes(edge_index.size(1), num_sources, num_targets, *SHAPES[shape])
    values = [torch.randn(s, generator=generator, dtype=dtype).requires_grad_() for s in shapes]
    return edge_index, num_targets, values
