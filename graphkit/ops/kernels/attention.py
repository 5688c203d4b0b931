"""Fused attention: weights live in a small buffer, forward and backward."""

from __future__ import annotations

import numpy as np

from graphkit.ops.dropout import FINAL_SHIFT, GOLDEN, MIX
from graphkit.ops.kernels.compiling import helper, kernel
from graphkit.ops.kernels.exponential import exp, exp_all
from graphkit.ops.kernels.vector import add_scaled, inner, prefetch_row
from graphkit.ops.kernels.walking import AHEAD, entry_at, row_end, slot_of

BLOCK = 32
_GOLDEN = np.uint32(GOLDEN)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint32(MIX[0][0]), np.uint32(MIX[1][0]), np.uint32(FINAL_SHIFT)
_FACTOR_1, _FACTOR_2 = np.uint32(MIX[0][1]), np.uint32(MIX[1][1])


@helper
def _is_kept(counter, keys):
    """Whether dropout keeps an entry: see :func:`graphkit.ops.dropout.keep_scale`."""
    word = np.uint32(np.uint32(counter) + keys[0])
    word = np.uint32(np.uint32(word ^ (word >> _SHIFT_1)) * _FACTOR_1)
    word = np.uint32(np.uint32(word ^ (word >> _SHIFT_2)) * _FACTOR_2)
    word = np.uint32(word ^ (word >> _SHIFT_3))
    return np.uint32(np.uint32(word ^ keys[1]) * _GOLDEN) >= keys[2]


@helper
def _raw_score(score_near, near, score_far, far, score_edge, edge, h):
    score = score_near[near + h] + score_far[far + h]
    return score + score_edge[edge + h] if score_edge.shape[0] > 0 else score


@helper
def _leaky(score, slope):
    return score if score > 0 else score * slope


@kernel
def attend_rows(
    first,
    last,
    parts,
    rows,
    entries,
    indptr,
    others,
    perm,
    x,
    num_in,
    score_src,
    score_dst,
    score_edge,
    shared,
    slope,
    keys,
    scale,
    heads,
    width,
    out,
    normaliser,
    slots,
    pieces,
    statistics,
):
    """Sums over incoming edges, weighted by the softmax of their scores."""
    features = heads * width
    num_rows = indptr.shape[0] - 1
    num_entries = np.int64(indptr[num_rows])
    top, low = np.empty(heads, x.dtype), np.empty(heads, x.dtype)
    buffer = np.empty(BLOCK * heads, x.dtype)
    for u in range(first, last):
        p, b = u % parts, u // parts
        start = entries[p]
        for r in range(rows[p], rows[p + 1] + 1):
            end = np.int64(row_end(r, p, rows, entries, indptr))
            slot = slot_of(r, u, p, start, rows, indptr)
            if slot >= 0 and start == end:
                continue
            row = b * num_rows + r
            target, base = out, row * features
            if slot >= 0:
                slots[slot] = row
                target, base = pieces, slot * features
            target[base : base + features] = 0
            edge_base = 0 if shared else b * num_entries
            scores = (score_dst, row * heads, score_src, b * num_in * heads, score_edge, edge_base)
            _find_top(top, start, end, others, perm, scores, slope, heads)
            low[:] = 0
            for block in range(start, end, BLOCK):
                size = min(BLOCK, end - block)
                _fill(buffer, block, size, others, perm, scores, slope, top, heads)
                exp_all(buffer, size * heads)
                for i in range(size * heads):
                    low[i % heads] += buffer[i]
                if keys.shape[0] > 0:
                    _drop(buffer, block, size, perm, b * num_entries, heads, keys, scale)
                _add_block(
                    target,
                    base,
                    block,
                    size,
                    others,
                    x,
                    b * num_in * features,
                    buffer,
                    heads,
                    width,
                )
            if slot >= 0:
                statistics[0, slot * heads : (slot + 1) * heads] = top
                statistics[1, slot * heads : (slot + 1) * heads] = low
            else:
                _finish(out, normaliser, row, top, low, heads, width)
            start = end


@helper
def _find_top(top, start, end, others, perm, scores, slope, heads):
    """The largest score of a row, 0 where that is infinite."""
    near_scores, near, far_scores, far_base, edge_scores, edge_base = scores
    top[:] = -np.inf
    for k in range(start, end):
        far = far_base + np.int64(others[k]) * heads
        edge = (edge_base + np.int64(entry_at(perm, k))) * heads
        for h in range(heads):
            raw = _raw_score(near_scores, near, far_scores, far, edge_scores, edge, h)
            top[h] = max(top[h], _leaky(raw, slope))
    for h in range(heads):
        if np.isinf(top[h]):
            top[h] = 0


@helper
def _fill(buffer, block, size, others, perm, scores, slope, top, heads):
    """Scores of a block of edges, minus the largest of the row."""
    near_scores, near, far_scores, far_base, edge_scores, edge_base = scores
    for i in range(size):
        far = far_base + np.int64(others[block + i]) * heads
        edge = (edge_base + np.int64(entry_at(perm, block + i))) * heads
        for h in range(heads):
            raw = _raw_score(near_scores, near, far_scores, far, edge_scores, edge, h)
            buffer[i * heads + h] = _leaky(raw, slope) - top[h]


@helper
def _drop(buffer, block, size, perm, edge_base, heads, keys, scale):
    for i in range(size):
        edge = (edge_base + np.int64(entry_at(perm, block + i))) * heads
        for h in range(heads):
            kept = scale if _is_kept(edge + h, keys) else buffer.dtype.type(0)
            buffer[i * heads + h] *= kept


@helper
def _add_block(target, base, block, size, others, x, x_base, buffer, heads, width):
    features = heads * width
    for i in range(size):
        k = block + i
        if k + AHEAD < others.shape[0]:
            prefetch_row(x, x_base + np.int64(others[k + AHEAD]) * features, features)
        source = x_base + np.int64(others[k]) * features
        for h in range(heads):
            weight = buffer[i * heads + h]
            add_scaled(target, base + h * width, x, source + h * width, weight, width)


@helper
def _finish(out, normaliser, row, top, low, heads, width):
    """Divides by the sum of exponentials and keeps its logarithm."""
    for h in range(heads):
        normaliser[row * heads + h] = top[h] + np.log(low[h])
        if normaliser[row * heads + h] == -np.inf:
            continue
        share = 1 / low[h]
        base = (row * heads + h) * width
        for c in range(width):
            out[base + c] *= share


@kernel
def attend_pieces(slots, pieces, statistics, out, normaliser, heads, width):
    """Finishes the rows that chunks cut: brings their pieces below a common peak."""
    top, low = np.empty(heads, out.dtype), np.empty(heads, out.dtype)
    row = -1
    for s in range(slots.shape[0]):
        if slots[s] < 0:
            continue
        if slots[s] != row:
            if row >= 0:
                _finish(out, normaliser, row, top, low, heads, width)
            row = slots[s]
            top[:], low[:] = -np.inf, 0
            out[row * heads * width : (row + 1) * heads * width] = 0
        for h in range(heads):
            peak = max(top[h], statistics[0, s * heads + h])
            old, new = exp(top[h] - peak), exp(statistics[0, s * heads + h] - peak)
            low[h] = low[h] * old + statistics[1, s * heads + h] * new
            top[h] = peak
            for c in range(width):
                target, piece = (row * heads + h) * width + c, (s * heads + h) * width + c
                out[target] = out[target] * old + pieces[piece] * new
    if row >= 0:
        _finish(out, normaliser, row, top, low, heads, width)


@kernel
def attend_back(
    first,
    last,
    parts,
    rows,
    entries,
    indptr,
    others,
    perm,
    x,
    num_out,
    score_src,
    score_dst,
    score_edge,
    shared,
    slope,
    keys,
    scale,
    heads,
    width,
    grad,
    normaliser,
    inner_products,
    grad_x,
    grad_src,
    grad_edge,
    slots,
    pieces,
    piece_src,
):
    """Walks outgoing edges: gradients of features, of source scores and of every edge's score."""
    features = heads * width
    num_rows = indptr.shape[0] - 1
    num_entries = np.int64(indptr[num_rows])
    raw, alpha = np.empty(BLOCK * heads, x.dtype), np.empty(BLOCK * heads, x.dtype)
    for u in range(first, last):
        p, b = u % parts, u // parts
        start = entries[p]
        for r in range(rows[p], rows[p + 1] + 1):
            end = np.int64(row_end(r, p, rows, entries, indptr))
            slot = slot_of(r, u, p, start, rows, indptr)
            if slot >= 0 and start == end:
                continue
            row = b * num_rows + r
            target, base, total, sum_base = grad_x, row * features, grad_src, row * heads
            if slot >= 0:
                slots[slot] = row
                target, base, total, sum_base = pieces, slot * features, piece_src, slot * heads
            target[base : base + features] = 0
            total[sum_base : sum_base + heads] = 0
            edge_base = 0 if shared else b * num_entries
            scores = (score_src, row * heads, score_dst, b * num_out * heads, score_edge, edge_base)
            for block in range(start, end, BLOCK):
                size = min(BLOCK, end - block)
                _recompute(raw, alpha, block, size, others, perm, scores, slope, normaliser, heads)
                exp_all(alpha, size * heads)
                _add_gradients(
                    (target, base, total, sum_base, grad_edge),
                    (block, size, others, perm, b * num_out, b * num_entries),
                    (x, row * features, grad, inner_products),
                    (raw, alpha, slope, keys, scale),
                    heads,
                    width,
                )
            start = end


@helper
def _recompute(raw, alpha, block, size, others, perm, scores, slope, normaliser, heads):
    """Raw scores of a block of edges and the logarithms of their weights."""
    near_scores, near, far_scores, far_base, edge_scores, edge_base = scores
    for i in range(size):
        far = far_base + np.int64(others[block + i]) * heads
        edge = (edge_base + np.int64(entry_at(perm, block + i))) * heads
        for h in range(heads):
            score = _raw_score(near_scores, near, far_scores, far, edge_scores, edge, h)
            raw[i * heads + h] = score
            alpha[i * heads + h] = _leaky(score, slope) - normaliser[far + h]


@helper
def _add_gradients(sinks, edges, features_of, weights, heads, width):
    target, base, total, sum_base, grad_edge = sinks
    block, size, others, perm, far_base, edge_base = edges
    x, own, grad, inner_products = features_of
    raw, alpha, slope, keys, scale = weights
    one, zero = x.dtype.type(1), x.dtype.type(0)
    features = heads * width
    for i in range(size):
        k = block + i
        if k + AHEAD < others.shape[0]:
            ahead = (far_base + np.int64(others[k + AHEAD])) * features
            prefetch_row(grad, ahead, features)
        node = far_base + np.int64(others[k])
        edge = (edge_base + np.int64(entry_at(perm, k))) * heads
        for h in range(heads):
            far = (node * heads + h) * width
            kept = one
            if keys.shape[0] > 0:
                kept = scale if _is_kept(edge + h, keys) else zero
            a = alpha[i * heads + h]
            product = inner(x, own + h * width, grad, far, width) * kept
            step = a * (product - inner_products[node * heads + h])
            step = step if raw[i * heads + h] > 0 else step * slope
            grad_edge[edge + h] = step
            total[sum_base + h] += step
            add_scaled(target, base + h * width, grad, far, a * kept, width)
