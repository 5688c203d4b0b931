# mypy: ignore-errors
"""Scores of GATv2: both ends of an edge are added up, leak, and meet a vector per head."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from graphkit.ops.cpu.kernels.compiling import helper
from graphkit.ops.cpu.kernels.leaky import leaky_sums
from graphkit.ops.cpu.kernels.leaky_blocks import leaky_back, leaky_back_summed
from graphkit.ops.cpu.kernels.vector import (
    add_entries,
    add_scaled,
    fill,
    inner,
    multiply,
    prefetch_row,
    prefetch_to_write,
)
from graphkit.ops.cpu.kernels.walking import entry_at


class Additive(NamedTuple):
    """``score[e, h] = <att[h], LeakyReLU(near[h] + far[h] + (attr[e] @ lin)[h])>``.

    ``near`` belongs to the rows that are walked, ``far`` to their entries' other ends. Without
    edge features ``attr`` and ``lin`` are empty. ``grad_att [units, H C]``,
    ``grad_lin [units, D, H C]`` and ``grad_attr`` take gradients up on the walk over targets.
    """

    near: Any
    far: Any
    att: Any
    slope: Any
    attr: Any
    shared: Any
    lin: Any
    counting: Any
    grad_att: Any
    grad_attr: Any
    grad_lin: Any


@helper
def look_ahead(pair, place, k, heads, width):
    """Asks for what the score of position ``k`` will read."""
    node = place.far_base + np.int64(place.others[k])
    prefetch_row(pair.far, node * heads * width, heads * width)
    num_attr = pair.counting.shape[0]
    if num_attr > 0:
        prefetch_row(pair.attr, edge_at(pair, place, k), num_attr)
        if pair.grad_attr.shape[0] > 0:
            entry = place.entry_base + np.int64(entry_at(place.perm, k))
            prefetch_to_write(pair.grad_attr, entry * num_attr)


@helper
def edge_at(pair, place, k):
    """Where the features of the entry at position ``k`` begin."""
    entry = np.int64(entry_at(place.perm, k)) + (0 if pair.shared else place.entry_base)
    return entry * pair.counting.shape[0]


@helper
def score(pair, place, block, rows, k, i, heads, width):
    """The scores of entry ``k + i``, ``i``-th of its block, and in ``rows`` what the LeakyReLU was
    given.

    Near and far are added first, whichever is which: both directions of a graph give the same
    bits, so that weights computed anew fit the sums of the forward pass.
    """
    features = heads * width
    num_attr = pair.counting.shape[0]
    near, r = place.row * features, i * features
    far = (place.far_base + np.int64(place.others[k + i])) * features
    # Projected edge features exist for one edge at a time, in registers and in this row.
    if num_attr > 0:
        e, lin, counting = edge_at(pair, place, k + i), pair.lin, pair.counting
        fill(rows, r, block.dtype.type(0), features)
        add_entries(rows, r, lin, 0, counting, 0, num_attr, pair.attr, e, 1, features)
    leaky_sums(
        block,
        i * heads,
        pair.att,
        pair.far,
        far,
        pair.near,
        near,
        rows,
        r,
        pair.slope,
        heads,
        width,
        num_attr > 0,
    )


@helper
def to_targets(pair, place, rows, steps, k, size, total, heads, width):
    """Adds to ``total`` the gradients of the LeakyReLU's arguments, still without ``att``.

    Also takes up the gradients of ``att`` and of the edges' features.
    """
    features = heads * width
    # One table per unit: the sum over units does not depend on the number of threads.
    table, with_edges = place.unit * features, pair.counting.shape[0] > 0
    sums, slope = pair.grad_att, pair.slope
    leaky_back_summed(total, 0, sums, table, rows, steps, slope, size, heads, width, with_edges)
    for i in range(size if with_edges else 0):
        _to_edge(pair, place, rows, i * features, np.int64(entry_at(place.perm, k + i)), features)


@helper
def _to_edge(pair, place, rows, r, entry, features):
    """Gradients of one edge's features, and of the matrix that projects them."""
    num_attr = pair.counting.shape[0]
    e = (entry + (0 if pair.shared else place.entry_base)) * num_attr
    for d in range(num_attr):
        step = (place.unit * num_attr + d) * features
        add_scaled(pair.grad_lin, step, rows, r, pair.attr[e + d], features)
    # The matrix' gradient gets the factor ``att`` once, at the end; that of features needs it now.
    multiply(rows, r, pair.att, 0, features)
    if pair.grad_attr.shape[0] == 0:
        return
    out = (place.entry_base + entry) * num_attr
    for d in range(num_attr):
        pair.grad_attr[out + d] = inner(rows, r, pair.lin, d * features, features)


@helper
def to_sources(pair, rows, steps, size, total, heads, width):
    """Adds to ``total`` the gradients of the LeakyReLU's arguments, still without ``att``."""
    leaky_back(total, 0, rows, 0, rows, steps, pair.slope, size, heads, width, False)
