# mypy: ignore-errors
"""Gradients of both vectors that score eight heads of eight columns, summed in registers."""

from __future__ import annotations

from numba.core import cgutils, types
from numba.extending import intrinsic

from graphkit.ops.cpu.kernels import instructions as code
from graphkit.ops.cpu.kernels.compiling import helper
from graphkit.ops.cpu.kernels.lanes import WHOLE, Lanes, in_lanes_or, not_this
from graphkit.ops.cpu.kernels.narrow_rows import FEATURES
from graphkit.ops.cpu.kernels.tiles import LANES


@intrinsic
def _ends_back(
    typing_context, x, i, src, a, dst, b, by_src, s, by_dst, d, grad_x, o, sums, t, count
):
    def generate(context, builder, signature, args):
        lanes = Lanes(context, builder, signature, args)
        # The tables stay in registers: in memory each row would wait for the one before it.
        totals = [
            cgutils.alloca_once_value(builder, lanes.load(12, place * LANES))
            for place in range(2 * LANES)
        ]
        with cgutils.for_range(builder, args[14]) as loop:
            row = builder.mul(loop.index, loop.index.type(FEATURES))
            score = builder.mul(loop.index, loop.index.type(LANES))
            for h in range(LANES):
                place = builder.add(row, row.type(h * LANES))
                at = builder.add(score, score.type(h))
                value, total = lanes.load(0, place), lanes.load(10, place)
                for end, (vector, grad) in enumerate(((2, 6), (4, 8))):
                    factor = code.splat(builder, builder.load(lanes.one(grad, at)), LANES)
                    total = code.add(builder, total, lanes.load(vector, h * LANES), factor)
                    slot = totals[end * LANES + h]
                    builder.store(code.add(builder, builder.load(slot), value, factor), slot)
                lanes.store(total, 10, place)
        for place, slot in enumerate(totals):
            lanes.store(builder.load(slot), 12, place * LANES)
        return context.get_dummy_value()

    arrays = (x, src, dst, by_src, by_dst, grad_x, sums)
    given = [kind for array in arrays for kind in (array, WHOLE)]
    return types.void(*given, WHOLE), generate


@helper
def _narrow(x, first, last, src, dst, by_src, by_dst, grad_x, sums, t, heads, width):
    """Rows ``first`` to ``last``, if they are narrow; whether they were."""
    if heads != LANES or width != LANES:
        return False
    row, score = first * FEATURES, first * LANES
    ends = (src, 0, dst, 0, by_src, score, by_dst, score)
    _ends_back(x, row, *ends, grad_x, row, sums, t, last - first)
    return True


narrow_ends_back = in_lanes_or(_narrow, not_this, 11)
