# mypy: ignore-errors
"""Scores of transformers: products of queries with keys and with edges' own features."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from graphkit.ops.cpu.kernels.compiling import helper
from graphkit.ops.cpu.kernels.vector import (
    add_scaled,
    copy,
    dot_heads,
    inner,
    prefetch_row,
    prefetch_to_write,
    scale,
)
from graphkit.ops.cpu.kernels.walking import entry_at


class Product(NamedTuple):
    """``score[e, h] = scale * (<near[h], far[h]> + <edge_query[h], attr[e]>)``.

    ``near`` belongs to the targets, ``far`` to the sources. ``edge_query [M, H, D]`` and
    ``edge_grad``, the gradient of the sums of edge features, belong to the targets; without edge
    features these and ``attr`` are empty, and ``num_attr`` is 0. On the way back ``terms
    [B, E, 2, H]`` take up what sources need of each edge, in the order of the walk.
    """

    near: Any
    far: Any
    scale: Any
    attr: Any
    shared: Any
    num_attr: Any
    edge_query: Any
    edge_grad: Any
    grad_attr: Any
    terms: Any


@helper
def look_ahead(pair, place, k, heads, width):
    """Asks for what the score of position ``k`` will read."""
    node = place.far_base + np.int64(place.others[k])
    prefetch_row(pair.far, node * heads * width, heads * width)
    n = pair.num_attr
    if n > 0:
        prefetch_row(pair.attr, edge_at(pair, place, k), n)
        if pair.grad_attr.shape[0] > 0:
            entry = place.entry_base + np.int64(entry_at(place.perm, k))
            prefetch_to_write(pair.grad_attr, entry * n)


@helper
def score(pair, place, block, rows, k, i, heads, width):
    """The scores of entry ``k + i``, ``i``-th of its block."""
    features = heads * width
    near, far = place.row * features, (place.far_base + np.int64(place.others[k + i])) * features
    dot_heads(block, i * heads, pair.near, near, pair.far, far, heads, width)
    add_edge_dots(pair, place, block, pair.edge_query, k, i, heads)
    scale(block, i * heads, pair.scale, heads)


@helper
def add_edge_dots(pair, place, block, x, k, i, heads):
    """Adds the products of an entry's features with ``x[row, h]`` to its row of ``block``."""
    # <q, W f> is <W' q, f>: with a vector per target no edge has to be projected.
    if pair.num_attr == 0:
        return
    e = edge_at(pair, place, k + i)
    for h in range(heads):
        start = (place.row * heads + h) * pair.num_attr
        block[i * heads + h] += inner(x, start, pair.attr, e, pair.num_attr)


@helper
def edge_at(pair, place, k):
    """Where the features of the entry at position ``k`` begin."""
    entry = np.int64(entry_at(place.perm, k)) + (0 if pair.shared else place.entry_base)
    return entry * pair.num_attr


@helper
def add_edges(pair, place, target, base, weights, k, size, heads):
    """``target[h, :] += weights[e, h] * attr[e]`` for the entries of a block."""
    for i in range(size if pair.num_attr > 0 else 0):
        e = edge_at(pair, place, k + i)
        for h in range(heads):
            start = base + h * pair.num_attr
            add_scaled(target, start, pair.attr, e, weights[i * heads + h], pair.num_attr)


@helper
def to_edges(pair, place, steps, weights, k, size, heads):
    """Writes down gradients of scores and weights of the entries of a block, for the sources, and
    the gradients of their features."""
    n = pair.num_attr
    for i in range(size):
        # In the order of the walk: rows at random places would cost twice the products.
        term = (place.entry_base + k + i) * 2 * heads
        copy(pair.terms, term, steps, i * heads, heads)
        copy(pair.terms, term + heads, weights, i * heads, heads)
    # Every edge has one target, so nobody else writes its row.
    for i in range(size if n > 0 else 0):
        out = (place.entry_base + np.int64(entry_at(place.perm, k + i))) * n
        pair.grad_attr[out : out + n] = 0
        for h in range(heads):
            start = (place.row * heads + h) * n
            add_scaled(pair.grad_attr, out, pair.edge_query, start, steps[i * heads + h], n)
            add_scaled(pair.grad_attr, out, pair.edge_grad, start, weights[i * heads + h], n)
