# mypy: ignore-errors
"""Rows of eight heads of eight columns, in float32: all that a row sums stays in registers.

The commonest attention by far. A row of a few edges costs as much as what is written down between
the steps of its edges: here that is the scores alone.
"""

from __future__ import annotations

import llvmlite.ir as ir
import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from graphkit.ops.cpu.kernels import instructions as code
from graphkit.ops.cpu.kernels.blocks import BLOCK, draw
from graphkit.ops.cpu.kernels.compiling import helper
from graphkit.ops.cpu.kernels.lanes import (
    WHOLE,
    Lanes,
    exp_of_lanes,
    in_lanes_or,
    leaked,
    not_this,
    peak_of,
    same,
    share_of,
)
from graphkit.ops.cpu.kernels.tiles import LANES, sums_of_lanes
from graphkit.ops.cpu.kernels.walking import AHEAD

FEATURES = LANES * LANES
LINE = 16


def _slots(builder, count, value):
    """Places on the stack that LLVM turns into registers."""
    return [cgutils.alloca_once_value(builder, value) for _ in range(count)]


class _Entries:
    """The entries of a row: the nodes at their other ends, now and some entries ahead."""

    def __init__(self, lanes, position):
        self.lanes, self.builder = lanes, lanes.builder
        self.kind, self.array = lanes.kinds[position], lanes.args[position]
        self.first = lanes.args[position + 1]
        proxy = cgutils.create_struct_proxy(self.kind)(lanes.context, self.builder, self.array)
        self.last = self.builder.sub(proxy.nitems, self.first.type(1))

    def node(self, i):
        """The node of the row's entry ``i``."""
        return self._read(self.builder.add(self.first, i))

    def later(self, i):
        """The node of an entry so much later that it can be asked for now."""
        place = self.builder.add(self.builder.add(self.first, i), self.first.type(AHEAD))
        beyond = self.builder.icmp_signed(">", place, self.last)
        return self._read(self.builder.select(beyond, self.last, place))

    def _read(self, place):
        context = self.lanes.context
        value = self.builder.load(
            code.pointer_to(context, self.builder, self.kind, self.array, place)
        )
        return context.cast(self.builder, value, self.kind.dtype, WHOLE)


def _ask_for_rows(lanes, position, node, columns):
    """Asks for the cache lines of a node's row."""
    builder = lanes.builder
    start = builder.mul(node, node.type(columns))
    for column in range(0, columns, LINE):
        code.ask_for(builder, lanes.at(position, builder.add(start, node.type(column))))


def _times(builder, node, count):
    return builder.mul(node, node.type(count))


def _spread(builder, vector, lane):
    """One lane of a vector, in all lanes."""
    mask = ir.Constant(ir.VectorType(code.INT32, LANES), [lane] * LANES)
    return builder.shuffle_vector(vector, vector, mask)


def _attend_row_of(dropping):
    """All of a row whose entries fit a block, with or without dropout."""

    @intrinsic
    def attend_row(
        typing_context,
        near,
        n,
        far,
        f,
        x,
        p,
        others,
        k,
        block,
        b,
        kept,
        d,
        out,
        o,
        statistics,
        s,
        bias,
        c,
        biased,
        e,
        count,
        slope,
    ):
        def generate(context, builder, signature, args):
            lanes = Lanes(context, builder, signature, args)
            entries, count = _Entries(lanes, 6), args[20]
            slope = code.splat(builder, args[21], LANES)
            near_score = lanes.load(0)
            (top,) = _slots(builder, 1, same(-np.inf))
            # Scores first: exponentials need the largest one.
            with cgutils.for_range(builder, count) as loop:
                i = loop.index
                code.ask_for(builder, lanes.at(2, _times(builder, entries.later(i), LANES)))
                far = lanes.load(2, _times(builder, entries.node(i), LANES))
                _, score = leaked(builder, builder.fadd(near_score, far), slope)
                lanes.store(score, 8, _times(builder, i, LANES))
                old = builder.load(top)
                # NaN is passed over.
                larger = builder.fcmp_ordered(">", score, old)
                builder.store(builder.select(larger, score, old), top)
            peak = peak_of(builder, builder.load(top))
            (low,) = _slots(builder, 1, same(0))
            # A register for each head: the sums wait for no store before the row is done.
            totals = _slots(builder, LANES, same(0))
            with cgutils.for_range(builder, count) as loop:
                i, place = loop.index, _times(builder, loop.index, LANES)
                _ask_for_rows(lanes, 4, entries.later(i), FEATURES)
                weight = exp_of_lanes(builder, builder.fsub(lanes.load(8, place), peak))
                builder.store(builder.fadd(builder.load(low), weight), low)
                # The softmax counts what is dropped, too.
                if dropping:
                    weight = builder.fmul(weight, lanes.load(10, place))
                # By way of memory: to spread a lane over a register is a load there, and a
                # shuffle, of which a core does fewer, from a register.
                lanes.store(weight, 8, place)
                start = _times(builder, entries.node(i), FEATURES)
                for h, total in enumerate(totals):
                    factor = builder.load(lanes.one(8, builder.add(place, place.type(h))))
                    row = lanes.load(4, builder.add(start, start.type(h * LANES)))
                    factor = code.splat(builder, factor, LANES)
                    builder.store(code.add(builder, builder.load(total), row, factor), total)
            sums = builder.load(low)
            lanes.store(peak, 14)
            lanes.store(sums, 14, LANES)
            share = share_of(builder, sums)
            values = []
            for h, total in enumerate(totals):
                values.append(builder.fmul(builder.load(total), _spread(builder, share, h)))
                lanes.store(values[h], 12, h * LANES)
            # The sums are kept apart from what is handed out: others may write to that.
            proxy = cgutils.create_struct_proxy(biased)(context, builder, args[18])
            with builder.if_then(cgutils.is_not_null(builder, proxy.nitems)):
                for h, value in enumerate(values):
                    lanes.store(builder.fadd(value, lanes.load(16, h * LANES)), 18, h * LANES)
            return context.get_dummy_value()

        arrays = (near, far, x, others, block, kept, out, statistics, bias, biased)
        given = [kind for array in arrays for kind in (array, WHOLE)]
        return types.void(*given, WHOLE, near.dtype), generate

    return attend_row


_attend_row, _attend_row_dropping = (_attend_row_of(dropping) for dropping in (False, True))


@intrinsic
def _back_row(
    typing_context,
    near,
    n,
    targets,
    t,
    grad,
    g,
    others,
    k,
    x,
    i,
    kept,
    d,
    grad_x,
    o,
    grad_near,
    e,
    grad_far,
    a,
    count,
    slope,
):
    """What some entries of a row add to each gradient."""

    def generate(context, builder, signature, args):
        lanes = Lanes(context, builder, signature, args)
        entries, count = _Entries(lanes, 6), args[18]
        slope = code.splat(builder, args[19], LANES)
        # The row's own features stay in registers, beside its sums, for all of its entries.
        near_score, rows = lanes.load(0), [lanes.load(8, h * LANES) for h in range(LANES)]
        (near_sum,) = _slots(builder, 1, lanes.load(14))
        totals = [
            cgutils.alloca_once_value(builder, lanes.load(12, h * LANES)) for h in range(LANES)
        ]
        with cgutils.for_range(builder, count) as loop:
            i = loop.index
            later = entries.later(i)
            _ask_for_rows(lanes, 2, later, 4 * LANES)
            _ask_for_rows(lanes, 4, later, FEATURES)
            code.ask_for(builder, lanes.at(16, _times(builder, later, LANES)), 1)
            node = entries.node(i)
            place = _times(builder, node, 4 * LANES)
            far, peak, share, centre = (
                lanes.load(2, builder.add(place, place.type(field * LANES))) for field in range(4)
            )
            raw = builder.fadd(near_score, far)
            positive, score = leaked(builder, raw, slope)
            # The same score as before, minus the same peak: the weight comes out as it was.
            weight = builder.fmul(exp_of_lanes(builder, builder.fsub(score, peak)), share)
            # Read once, for the weight's gradient and for that of the features.
            start = _times(builder, node, FEATURES)
            grads = [lanes.load(4, builder.add(start, start.type(h * LANES))) for h in range(LANES)]
            products = [builder.fmul(row, grad) for row, grad in zip(rows, grads, strict=True)]
            change = sums_of_lanes(builder, products)
            # Times 1 where nothing is dropped: that keeps the compiler from adding the products up
            # in another order than dot_tile does, so that what is equal has the difference 0.
            factor = lanes.load(10, _times(builder, i, LANES))
            change = builder.fmul(change, factor)
            # Softmax: a * (g - <out, grad>); then the slope of the side of 0 it was on.
            change = builder.fmul(builder.fsub(change, centre), weight)
            change = builder.select(positive, change, builder.fmul(change, slope))
            builder.store(builder.fadd(builder.load(near_sum), change), near_sum)
            # In the table of whoever walks this row: nobody else adds there meanwhile.
            place = _times(builder, node, LANES)
            lanes.store(builder.fadd(lanes.load(16, place), change), 16, place)
            # Features got the dropped weight, the softmax did not.
            weight = builder.fmul(weight, factor)
            for h, (total, row) in enumerate(zip(totals, grads, strict=True)):
                new = code.add(builder, builder.load(total), row, _spread(builder, weight, h))
                builder.store(new, total)
        lanes.store(builder.load(near_sum), 14)
        for h, total in enumerate(totals):
            lanes.store(builder.load(total), 12, h * LANES)
        return context.get_dummy_value()

    arrays = (near, targets, grad, others, x, kept, grad_x, grad_near, grad_far)
    given = [kind for array in arrays for kind in (array, WHOLE)]
    return types.void(*given, WHOLE, near.dtype), generate


@helper
def _attend(
    x,
    k,
    size,
    others,
    perm,
    near,
    far,
    edge,
    slope,
    keys,
    keep,
    block,
    kept,
    out,
    statistics,
    row,
    first,
    entry_base,
    bias,
    biased,
    heads,
    width,
):
    """All of a row from its entries ``k .. k + size``, if it is narrow and short; whether it was.

    ``first`` is the node of which the others are counted.
    """
    if heads != LANES or width != LANES or size > BLOCK or edge.shape[0] > 0:
        return False
    score, feature, near_score = first * LANES, first * FEATURES, row * LANES
    ends, rows = (near, near_score, far, score), (x, feature, others, k)
    results = (out, row * FEATURES, statistics, 2 * near_score, bias, 0, biased, row * FEATURES)
    if keys.shape[0] > 0:
        draw(kept, k, size, perm, entry_base, heads, keys, keep)
        _attend_row_dropping(*ends, *rows, block, 0, kept, 0, *results, size, slope)
    else:
        _attend_row(*ends, *rows, block, 0, kept, 0, *results, size, slope)
    return True


attend_narrow = in_lanes_or(_attend, not_this, 21)


@helper
def _go_back(
    grad,
    k,
    size,
    others,
    perm,
    near,
    targets,
    edge,
    slope,
    keys,
    keep,
    kept,
    x,
    row,
    first,
    entry_base,
    target,
    base,
    total,
    sum_base,
    grad_far,
    table,
    heads,
    width,
):
    """What the entries ``k .. k + size`` add to the gradients of a narrow row; whether it was one.

    ``kept`` is 1 where nothing is dropped; other arguments as in :func:`_attend`.
    """
    if heads != LANES or width != LANES or edge.shape[0] > 0 or grad_far.shape[0] == 0:
        return False
    near_score, far_score = row * LANES, table + first * LANES
    ends = (near, near_score, targets, 4 * first * LANES, grad, first * FEATURES, others, k)
    rows = (x, row * FEATURES, kept, 0)
    results = (target, base, total, sum_base, grad_far, far_score)
    if keys.shape[0] > 0:
        draw(kept, k, size, perm, entry_base, heads, keys, keep)
    _back_row(*ends, *rows, *results, size, slope)
    return True


back_narrow = in_lanes_or(_go_back, not_this, 23)
