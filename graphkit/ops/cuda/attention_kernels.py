# mypy: ignore-errors
"""GPU kernels of fused attention: one program per row and tile of heads, no atomics."""

import triton
import triton.language as tl

from graphkit.ops.cuda.kernels import _other_and_entry
from graphkit.ops.dropout import FINAL_SHIFT, GOLDEN, MIX

_SHIFT_1: tl.constexpr = tl.constexpr(MIX[0][0])
_FACTOR_1: tl.constexpr = tl.constexpr(MIX[0][1])
_SHIFT_2: tl.constexpr = tl.constexpr(MIX[1][0])
_FACTOR_2: tl.constexpr = tl.constexpr(MIX[1][1])
_SHIFT_3: tl.constexpr = tl.constexpr(FINAL_SHIFT)
_GOLDEN: tl.constexpr = tl.constexpr(GOLDEN)
_WORD: tl.constexpr = tl.constexpr(0xFFFFFFFF)


@triton.jit
def _is_kept(counter, keys, threshold):
    """Whether dropout keeps an entry: see :func:`graphkit.ops.dropout.keep_scale`."""
    word = (counter + tl.load(keys)) & _WORD
    word = ((word ^ (word >> _SHIFT_1)) * _FACTOR_1) & _WORD
    word = ((word ^ (word >> _SHIFT_2)) * _FACTOR_2) & _WORD
    word = word ^ (word >> _SHIFT_3)
    return (((word ^ tl.load(keys + 1)) * _GOLDEN) & _WORD) >= threshold


@triton.jit
def _scores(
    near, far_scores, far, edge_scores, edge, mask, HAS_EDGE: tl.constexpr, SUM: tl.constexpr
):
    score = near[None, :] + tl.load(far_scores + far, mask=mask, other=0).to(SUM)
    if HAS_EDGE:
        score += tl.load(edge_scores + edge, mask=mask, other=0).to(SUM)
    return score


@triton.jit
def attend_rows(
    indptr,
    others,
    perm,
    x,
    score_src,
    score_dst,
    score_edge,
    edge_stride,
    keys,
    out,
    statistics,
    num_in,
    num_edges,
    heads,
    width,
    threshold,
    SLOPE: tl.constexpr,
    SCALE: tl.constexpr,
    HAS_PERM: tl.constexpr,
    HAS_EDGE: tl.constexpr,
    DROP: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Sums over incoming edges, weighted by the softmax of their scores, in one pass."""
    row, batch = tl.program_id(0).to(tl.int64), tl.program_id(2).to(tl.int64)
    h, c = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H), tl.arange(0, BLOCK_C)
    column = h[:, None] * width + c[None, :]
    used = (h < heads)[:, None] & (c < width)[None, :]
    own = batch * tl.num_programs(0) + row
    near = tl.load(score_dst + own * heads + h, mask=h < heads, other=0).to(SUM)
    top, low = tl.full((BLOCK_H,), float("-inf"), SUM), tl.zeros((BLOCK_H,), SUM)
    total = tl.zeros((BLOCK_H, BLOCK_C), SUM)
    first, last = tl.load(indptr + row).to(tl.int64), tl.load(indptr + row + 1).to(tl.int64)
    for start in range(first, last, BLOCK_E):
        k = start + tl.arange(0, BLOCK_E)
        inside = k < last
        other, entry = _other_and_entry(others, perm, k, inside, True, HAS_PERM)
        mask = inside[:, None] & (h < heads)[None, :]
        node = batch * num_in + other
        far, edge = node[:, None] * heads + h[None, :], entry[:, None] * heads + h[None, :]
        score = _scores(
            near, score_src, far, score_edge, batch * edge_stride + edge, mask, HAS_EDGE, SUM
        )
        score = tl.where(mask, tl.where(score > 0, score, score * SLOPE), float("-inf"))
        higher = tl.maximum(top, tl.max(score, 0))
        shift = tl.where(higher == float("-inf"), 0.0, higher)
        decay, weight = tl.exp(top - shift), tl.exp(score - shift[None, :])
        low, top = low * decay + tl.sum(weight, 0), higher
        if DROP:
            counter = batch * num_edges * heads + edge
            weight = tl.where(_is_kept(counter, keys, threshold), weight * SCALE, 0.0)
        place = node[:, None, None] * heads * width + column[None, :, :]
        value = tl.load(x + place, mask=inside[:, None, None] & used[None, :, :], other=0).to(SUM)
        total = total * decay[:, None] + tl.sum(weight[:, :, None] * value, 0)
    # Nothing to share out (no edges, or all scores -inf): the row stays 0.
    total = total / tl.where(low == 0, 1.0, low)[:, None]
    tl.store(out + own * heads * width + column, total.to(out.dtype.element_ty), mask=used)
    shift = tl.where(top == float("-inf"), 0.0, top)
    # Two numbers, not their sum: the logarithm of the total would be rounded away by a large peak.
    tl.store(statistics + 2 * own * heads + h, shift, mask=h < heads)
    tl.store(statistics + (2 * own + 1) * heads + h, low, mask=h < heads)


@triton.jit
def attend_back(
    indptr,
    others,
    perm,
    x,
    score_src,
    score_dst,
    score_edge,
    edge_stride,
    keys,
    grad,
    statistics,
    products,
    grad_x,
    grad_src,
    grad_edge,
    num_out,
    num_edges,
    heads,
    width,
    threshold,
    SLOPE: tl.constexpr,
    SCALE: tl.constexpr,
    HAS_PERM: tl.constexpr,
    HAS_EDGE: tl.constexpr,
    DROP: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Walks outgoing edges: gradients of features, of source scores and of every edge's score."""
    row, batch = tl.program_id(0).to(tl.int64), tl.program_id(2).to(tl.int64)
    h, c = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H), tl.arange(0, BLOCK_C)
    column = h[:, None] * width + c[None, :]
    used = (h < heads)[:, None] & (c < width)[None, :]
    own = batch * tl.num_programs(0) + row
    near = tl.load(score_src + own * heads + h, mask=h < heads, other=0).to(SUM)
    feature = tl.load(x + own * heads * width + column, mask=used, other=0).to(SUM)
    total, total_score = tl.zeros((BLOCK_H, BLOCK_C), SUM), tl.zeros((BLOCK_H,), SUM)
    first, last = tl.load(indptr + row).to(tl.int64), tl.load(indptr + row + 1).to(tl.int64)
    for start in range(first, last, BLOCK_E):
        k = start + tl.arange(0, BLOCK_E)
        inside = k < last
        other, entry = _other_and_entry(others, perm, k, inside, True, HAS_PERM)
        mask = inside[:, None] & (h < heads)[None, :]
        node = batch * num_out + other
        far, edge = node[:, None] * heads + h[None, :], entry[:, None] * heads + h[None, :]
        raw = _scores(
            near, score_dst, far, score_edge, batch * edge_stride + edge, mask, HAS_EDGE, SUM
        )
        # The weight anew, from the two numbers that the forward pass kept.
        score = tl.where(raw > 0, raw, raw * SLOPE)
        peak = 2 * node[:, None] * heads + h[None, :]
        shift = tl.load(statistics + peak, mask=mask, other=float("inf"))
        low = tl.load(statistics + peak + heads, mask=mask, other=1)
        alpha = tl.exp(score - shift) / tl.where(low == 0, 1.0, low)
        place = node[:, None, None] * heads * width + column[None, :, :]
        value = tl.load(grad + place, mask=inside[:, None, None] & used[None, :, :], other=0)
        value = value.to(SUM)
        step, dropped = tl.sum(value * feature[None, :, :], 2), alpha
        place = batch * num_edges * heads + edge
        # Dropout acts on what is summed and on its gradient, not on the softmax.
        if DROP:
            kept = tl.where(_is_kept(place, keys, threshold), 1.0, 0.0).to(SUM) * SCALE
            step, dropped = step * kept, alpha * kept
        # The softmax's gradient, then the slope of the side of 0 on which the score was.
        step = alpha * (step - tl.load(products + far, mask=mask, other=0))
        step = tl.where(raw > 0, step, step * SLOPE)
        tl.store(grad_edge + place, step, mask=mask)
        total_score += tl.sum(tl.where(mask, step, 0.0), 0)
        total += tl.sum(dropped[:, :, None] * value, 0)
    tl.store(grad_x + own * heads * width + column, total.to(grad_x.dtype.element_ty), mask=used)
    tl.store(grad_src + own * heads + h, total_score.to(grad_src.dtype.element_ty), mask=h < heads)
