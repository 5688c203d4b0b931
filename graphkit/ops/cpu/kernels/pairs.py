# mypy: ignore-errors
"""Attention whose score is a function of both ends' features: which one is known at compile time.

The kernels of :mod:`pair_attention` know only the functions of this file, which pass a call on
to :mod:`gatv2` or :mod:`dot_attention` by the type of ``pair``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba.extending import overload

from graphkit.ops.cpu.kernels import dot_attention, gatv2
from graphkit.ops.cpu.kernels.compiling import FAST_MATH, helper
from graphkit.ops.cpu.kernels.vector import add_entries


class Chunks(NamedTuple):
    """The order of entries and the share of each unit: see :mod:`walking`."""

    parts: Any
    rows: Any
    entries: Any
    indptr: Any
    others: Any
    perm: Any
    slots: Any


class Place(NamedTuple):
    """Where a walk is: its unit, its row, and where the batch element's nodes and edges begin."""

    unit: Any
    row: Any
    far_base: Any
    entry_base: Any
    by_target: Any
    others: Any
    perm: Any


def _by_type(additive, product):
    """A function that calls one of two, which its first argument's type decides."""

    def call(pair, *arguments):
        raise TypeError("kernels alone can call this")

    @overload(call, jit_options={"fastmath": FAST_MATH, "forceinline": True})
    def _(pair, *arguments):
        function = {gatv2.Additive: additive, dot_attention.Product: product}[pair.instance_class]
        return lambda pair, *arguments: function(pair, *arguments)

    return call


@helper
def _nothing(pair, *arguments):
    return


@helper
def _additive_hand_out(
    pair,
    place,
    rows,
    steps,
    weights,
    grad,
    k,
    size,
    target,
    base,
    more,
    at,
    total,
    heads,
    width,
    wide,
):
    if place.by_target:
        gatv2.to_targets(pair, place, rows, steps, k, size, total, heads, width)
    else:
        gatv2.to_sources(pair, rows, steps, size, total, heads, width)
        start = place.far_base * heads * wide
        others = place.others
        add_entries(target, base, grad, start, others, k, size, weights, 0, heads, wide)


@helper
def _product_hand_out(
    pair,
    place,
    rows,
    steps,
    weights,
    grad,
    k,
    size,
    target,
    base,
    more,
    at,
    total,
    heads,
    width,
    wide,
):
    # Keys and queries meet the scaled score; values do not.
    for i in range(size * heads):
        steps[i] *= pair.scale
    start, others = place.far_base * heads * width, place.others
    add_entries(target, base, pair.far, start, others, k, size, steps, 0, heads, width)
    dot_attention.add_edges(pair, place, more, at, steps, k, size, heads)
    dot_attention.to_edges(pair, place, steps, weights, k, size, heads)


@helper
def _additive_finish(pair, target, base, total):
    for c in range(total.shape[0]):
        target[base + c] += pair.att[c] * total[c]


@helper
def _product_gradient(pair, place, steps, k, i, heads):
    dot_attention.add_edge_dots(pair, place, steps, pair.edge_grad, k, i, heads)


# look_ahead(pair, place, k, heads, width): asks for what a score will read.
look_ahead = _by_type(gatv2.look_ahead, dot_attention.look_ahead)
# score(pair, place, block, rows, k, i, heads, width): the scores of the i-th entry of a block.
score = _by_type(gatv2.score, dot_attention.score)
# add_edges(pair, place, target, base, weights, k, size, heads): what edges add to the sums.
add_edges = _by_type(_nothing, dot_attention.add_edges)
# add_edge_gradient(pair, place, steps, k, i, heads): and to the gradients of an entry's weights.
add_edge_gradient = _by_type(_nothing, _product_gradient)
# hand_out(...): the gradients of a block's features, from those of its scores; a row's first
# sums go to target[base:], its second ones to more[at:].
hand_out = _by_type(_additive_hand_out, _product_hand_out)
# finish(pair, target, base, total): what is left to do when a row is complete.
finish = _by_type(_additive_finish, _nothing)
