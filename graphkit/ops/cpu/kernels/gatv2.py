# mypy: ignore-errors
"""Scores of GATv2: both ends of an edge are added up, leak, and meet a vector per head."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from graphkit.ops.cpu.kernels.compiling import helper
from graphkit.ops.cpu.kernels.leaky import leaky_heads, leaky_steps, leaky_steps_summed
from graphkit.ops.cpu.kernels.vector import (
    add_entries,
    add_rows,
    add_scaled,
    copy,
    inner,
    multiply,
    prefetch_row,
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


@helper
def scores(pair, place, block, rows, k, size, heads, width):
    """The scores of ``size`` entries, and in ``rows`` what the LeakyReLU was given.

    Near and far are added first, whichever is which: both directions of a graph give the same
    bits, so that weights computed anew fit the sums of the forward pass.
    """
    features = heads * width
    one = block.dtype.type(1)
    num_attr = pair.counting.shape[0]
    for i in range(size):
        node = place.far_base + np.int64(place.others[k + i])
        copy(rows, i * features, pair.near, place.row * features, features)
        add_scaled(rows, i * features, pair.far, node * features, one, features)
        # Projected edge features exist for one edge at a time, in registers and in this row.
        if num_attr > 0:
            e = np.int64(entry_at(place.perm, k + i))
            e = (e + (0 if pair.shared else place.entry_base)) * num_attr
            lin, counting = pair.lin, pair.counting
            add_entries(
                rows, i * features, lin, 0, counting, 0, num_attr, pair.attr, e, 1, features
            )
        leaky_heads(block, i * heads, pair.att, rows, i * features, pair.slope, heads, width)


@helper
def to_targets(pair, place, rows, steps, k, size, total, heads, width):
    """Adds to ``total`` the gradients of the LeakyReLU's arguments, still without ``att``.

    Also takes up the gradients of ``att`` and of the edges' features.
    """
    features = heads * width
    # One table per unit: the sum over units does not depend on the number of threads.
    start = place.unit * features
    for i in range(size):
        leaky_steps_summed(
            rows,
            i * features,
            pair.grad_att,
            start,
            steps,
            i * heads,
            pair.slope,
            heads,
            width,
        )
    add_rows(total, 0, rows, 0, features, size, features)
    for i in range(size if pair.counting.shape[0] > 0 else 0):
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
    features = heads * width
    for i in range(size):
        leaky_steps(rows, i * features, rows, 0, steps, i * heads, pair.slope, heads, width)
    add_rows(total, 0, rows, 0, features, size, features)
