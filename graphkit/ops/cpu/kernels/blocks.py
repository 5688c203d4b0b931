# mypy: ignore-errors
"""Blocks of scores: read, kept below a running maximum, exponentiated, dropped.

A block holds the scores of up to ``BLOCK`` entries, all heads of an entry side by side.
"""

import numpy as np

from graphkit.ops.cpu.kernels.compiling import helper
from graphkit.ops.cpu.kernels.exponential import exp, exp_range
from graphkit.ops.cpu.kernels.lanes import in_lanes_or, settle_lanes, share_lanes
from graphkit.ops.cpu.kernels.tiles import LANES
from graphkit.ops.cpu.kernels.vector import add_rows, add_scaled, copy, keep_largest
from graphkit.ops.cpu.kernels.walking import entry_at
from graphkit.ops.dropout import FINAL_SHIFT, GOLDEN, MIX

# Scores of 32 edges and 8 heads in float32 are 1 KiB: they never leave the first cache.
BLOCK = 32
_GOLDEN = np.uint32(GOLDEN)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint32(MIX[0][0]), np.uint32(MIX[1][0]), np.uint32(FINAL_SHIFT)
_FACTOR_1, _FACTOR_2 = np.uint32(MIX[0][1]), np.uint32(MIX[1][1])


@helper
def read_scores(
    block, start, size, others, perm, near, near_base, far, far_base, stride, edge, edge_base, heads
):
    """``near + far + edge`` of the entries ``start .. start + size``; ``edge`` may be empty.

    Rows of ``far`` are ``stride`` times as wide as there are heads, and begin with the scores.
    """
    one = block.dtype.type(1)
    for i in range(size):
        copy(block, i * heads, near, near_base, heads)
        other = (far_base + np.int64(others[start + i])) * stride * heads
        add_scaled(block, i * heads, far, other, one, heads)
    if edge.shape[0] > 0:
        for i in range(size):
            entry = (edge_base + np.int64(entry_at(perm, start + i))) * heads
            add_scaled(block, i * heads, edge, entry, one, heads)


@helper
def add_edge_scores(block, start, size, perm, near, near_base, edge, edge_base, heads):
    """``block = near + edge`` of the entries ``start .. start + size``."""
    one = block.dtype.type(1)
    for i in range(size):
        copy(block, i * heads, near, near_base, heads)
        entry = (edge_base + np.int64(entry_at(perm, start + i))) * heads
        add_scaled(block, i * heads, edge, entry, one, heads)


@helper
def leak(block, out, n, slope):
    """``out = LeakyReLU(block)`` for the first ``n`` values."""
    for i in range(n):
        out[i] = block[i] if block[i] > 0 else block[i] * slope


@helper
def take_in(block, size, top, shift, low, decay, heads):
    """Turns scores into exponentials below the running maximum and adds them to ``low``.

    Returns whether that maximum rose, so that earlier sums must shrink by ``decay``.
    """
    one = block.dtype.type(1)
    keep_largest(top, 0, block, 0, heads, size, heads)
    rose = settle(top, shift, low, decay, heads)
    for i in range(size):
        add_scaled(block, i * heads, shift, 0, -one, heads)
    exp_range(block, 0, size * heads)
    add_rows(low, 0, block, 0, heads, size, heads)
    return rose


@helper
def _settle_any(top, shift, low, decay, heads):
    """Moves the running maximum to ``top``, and ``low`` below it; returns whether it rose."""
    one = low.dtype.type(1)
    rose = False
    for h in range(heads):
        # An infinite peak would make inf - inf; below 0 instead, all -inf gives exponentials of 0.
        peak = low.dtype.type(0) if np.isinf(top[h]) else top[h]
        # Most rows are one block, of which no sums are left to shrink: no exponential then.
        if low[h] != 0 and peak != shift[h]:
            decay[h] = exp(shift[h] - peak)
            low[h] *= decay[h]
            rose = True
        else:
            decay[h] = one
        shift[h] = peak
    return rose


@helper
def _settle_lanes(top, shift, low, decay, heads):
    rose = False
    for h in range(0, heads, LANES):
        rose |= settle_lanes(top, h, shift, h, low, h, decay, h)
    return rose


@helper
def _shares_any(out, o, low, n, heads):
    """What one exponential counts, ``1 / low``; 0 where nothing counts, because ``low`` is 0."""
    for h in range(heads):
        out[o + h] = 1 / low[n + h] if low[n + h] != 0 else low[n + h]


@helper
def _shares_lanes(out, o, low, n, heads):
    for h in range(0, heads, LANES):
        share_lanes(out, o + h, low, n + h)


settle = in_lanes_or(_settle_lanes, _settle_any, 4)
shares = in_lanes_or(_shares_lanes, _shares_any, 4)


@helper
def draw(kept, start, size, perm, entry_base, heads, keys, scale):
    """Fills ``kept`` with 0 for dropped and ``scale`` for kept entries."""
    zero = kept.dtype.type(0)
    for i in range(size):
        # The mask hangs on the entry, not on the walk: forward, backward and all backends agree.
        counter = (entry_base + np.int64(entry_at(perm, start + i))) * heads
        for h in range(heads):
            kept[i * heads + h] = scale if _is_kept(counter + h, keys) else zero


@helper
def _is_kept(counter, keys):
    """Whether dropout keeps an entry: see :func:`graphkit.ops.dropout.keep_scale`."""
    word = np.uint32(np.uint32(counter) + keys[0])
    word = np.uint32(np.uint32(word ^ (word >> _SHIFT_1)) * _FACTOR_1)
    word = np.uint32(np.uint32(word ^ (word >> _SHIFT_2)) * _FACTOR_2)
    word = np.uint32(word ^ (word >> _SHIFT_3))
    return np.uint32(np.uint32(word ^ keys[1]) * _GOLDEN) >= keys[2]
