# mypy: ignore-errors
"""The way back through the LeakyReLU for a block of entries, summed in registers."""

from __future__ import annotations

import llvmlite.ir as ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from graphkit.ops.cpu.kernels import instructions as code
from graphkit.ops.cpu.kernels.compiling import helper
from graphkit.ops.cpu.kernels.leaky import leaky_steps, leaky_steps_summed
from graphkit.ops.cpu.kernels.tiles import LANES, heads_of_tile, in_tiles
from graphkit.ops.cpu.kernels.vector import add_rows


def _leaky_back_of(summed):
    """``total[t + c] += step * LeakyReLU'(rows[c])`` over a block of entries, for 64 columns
    ``c`` of rows that are :func:`in_tiles`; if ``summed``, ``rows`` times that is added to
    ``sums``. With ``keep`` the rows are replaced by what was added."""

    @intrinsic
    def leaky_back(
        typing_context,
        total,
        t,
        sums,
        a,
        rows,
        r,
        steps,
        s,
        slope,
        count,
        features,
        heads,
        width,
        keep,
    ):
        def generate(context, builder, signature, args):
            kinds, size = signature.args, signature.args[0].dtype.bitwidth // 8
            slope, count, features, heads, width, keep = args[8:]

            def at(position, more):
                offset = builder.add(args[position + 1], more)
                array = kinds[position], args[position]
                return code.vector_at(context, builder, *array, offset, LANES)

            # All entries are added before anything is stored, because sums in memory would wait
            # for their own stores: 64 columns are 8 registers, twice as many with the products.
            columns = [width.type(LANES * n) for n in range(LANES)]
            shares = heads_of_tile(builder, width)
            places = [at(p, column) for p in ((0, 2) if summed else (0,)) for column in columns]
            totals = [
                cgutils.alloca_once_value(builder, builder.load(place, align=size))
                for place in places
            ]
            with cgutils.for_range(builder, count) as loop:
                row = builder.mul(loop.index, features)
                own = builder.add(args[7], builder.mul(loop.index, heads))
                changes = []
                for n, (column, share) in enumerate(zip(columns, shares, strict=True)):
                    step = builder.add(own, share)
                    factor = builder.load(
                        code.pointer_to(context, builder, kinds[6], args[6], step)
                    )
                    source = at(4, builder.add(row, column))
                    value = builder.load(source, align=size)
                    # As PyTorch has it, the derivative at 0 is the slope.
                    positive = builder.fcmp_ordered(">", value, ir.Constant(value.type, None))
                    steep = code.splat(builder, factor, LANES)
                    flat = code.splat(builder, builder.fmul(factor, slope), LANES)
                    change = builder.select(positive, steep, flat)
                    changes.append((source, change))
                    new = builder.fadd(builder.load(totals[n]), change)
                    builder.store(new, totals[n])
                    if summed:
                        more = totals[LANES + n]
                        builder.store(code.add(builder, builder.load(more), value, change), more)
                with builder.if_then(keep):
                    for source, change in changes:
                        builder.store(change, source, align=size)
            for place, value in zip(places, totals, strict=True):
                builder.store(builder.load(value), place, align=size)
            return context.get_dummy_value()

        pairs = (total, sums, rows, steps)
        given = [kind for array in pairs for kind in (array, types.int64)]
        numbers = [types.int64] * 4
        return types.void(*given, total.dtype, *numbers, types.boolean), generate

    return leaky_back


def _any_block(summed):
    tile, steps_of_rows = _leaky_back_of(summed), leaky_steps_summed if summed else leaky_steps

    @helper
    def block_back(total, t, sums, a, rows, steps, slope, size, heads, width, keep):
        features = heads * width
        if in_tiles(heads, width):
            for c in range(0, features, 64):
                tile(
                    total,
                    t + c,
                    sums,
                    a + c,
                    rows,
                    c,
                    steps,
                    c // width,
                    slope,
                    size,
                    features,
                    heads,
                    width,
                    keep,
                )
        else:
            for i in range(size):
                start = i * features
                steps_of_rows(rows, start, sums, a, steps, i * heads, slope, heads, width)
            add_rows(total, t, rows, 0, features, size, features)

    return block_back


# Both add to total[t:] what a block's scores hand to the LeakyReLU's arguments in rows; the
# second one also adds the arguments times that to sums[a:].
leaky_back, leaky_back_summed = _any_block(False), _any_block(True)
