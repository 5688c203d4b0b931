"""Eight heads, or eight vectors of a row, held in registers at a time."""

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from graphkit.ops.cpu.kernels.compiling import helper
from graphkit.ops.cpu.kernels.instructions import INT32, ask_for, pointer_to, splat, vector_at

LANES = 8


def _pick(builder: Any, left: Any, right: Any, lanes: list[int]) -> Any:
    return builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(INT32, LANES), lanes))


def sums_of_lanes(builder: Any, vectors: list[Any]) -> Any:
    """One vector of the sums over the lanes of each of eight vectors."""
    step = 1
    while len(vectors) > 1:
        # Pairs of vectors are added crosswise: 7 additions in place of 8 times 3.
        low = [i + (LANES - step) * bool(i & step) for i in range(LANES)]
        high = [i + step for i in low]
        vectors = [
            builder.fadd(_pick(builder, a, b, low), _pick(builder, a, b, high))
            for a, b in zip(vectors[::2], vectors[1::2], strict=True)
        ]
        step *= 2
    return vectors[0]


@intrinsic
def dot_tile(typing_context, out, o, a, i, b, j, width):
    """``out[o + h] = <a[i + h * width :][:width], b[j + h * width :][:width]>`` for eight ``h``;
    ``width`` is a multiple of eight."""

    def generate(context, builder, signature, args):
        # Eight heads side by side: their chains of additions are independent and overlap.
        left, right = (signature.args[2], args[2]), (signature.args[4], args[4])
        target = vector_at(context, builder, signature.args[0], args[0], args[1], LANES)
        size = signature.args[0].dtype.bitwidth // 8
        zero = ir.Constant(target.type.pointee, None)
        totals = [cgutils.alloca_once_value(builder, zero) for _ in range(LANES)]
        step = ir.Constant(args[6].type, LANES)
        with cgutils.for_range_slice(builder, step.type(0), args[6], step) as (column, _):
            for h, total in enumerate(totals):
                offset = builder.add(builder.mul(args[6], step.type(h)), column)
                x, y = (
                    builder.load(
                        vector_at(context, builder, *array, builder.add(base, offset), LANES),
                        align=size,
                    )
                    for array, base in ((left, args[3]), (right, args[5]))
                )
                product = builder.fmul(x, y, flags=("contract",))
                new = builder.fadd(builder.load(total), product, flags=("contract",))
                builder.store(new, total)
        sums = sums_of_lanes(builder, [builder.load(total) for total in totals])
        builder.store(sums, target, align=size)
        return context.get_dummy_value()

    whole = types.int64
    return types.void(out, whole, a, whole, b, whole, whole), generate


@helper
def in_tiles(heads, width):
    """Whether rows are tiles of 64 columns each of which begins and ends with a head, or lies in
    one."""
    return width % 64 == 0 or (heads * width % 64 == 0 and (width in (8, 16, 32)))


def heads_of_tile(builder: Any, width: Any) -> list[Any]:
    """The head of each register of a tile, counted from its first, if rows are :func:`in_tiles`."""
    # Eighths of a width are a power of two below 8, or a multiple of 8: a shift in place of a
    # division, which takes as long as an edge.
    shift = builder.cttz(builder.lshr(width, width.type(3)), ir.IntType(1)(0))
    return [builder.lshr(width.type(n), shift) for n in range(LANES)]


def _add_tile_of(narrow: bool) -> Any:
    """``out[o + c] += sum of weight[w + i * heads + c // width] * x[p + others[k + i] * step + c]``
    over ``i < count``, for 64 columns ``c`` of rows that are :func:`in_tiles`; ``narrow`` says that
    ``width`` is 8."""

    @intrinsic
    def add_tile(typing_context, out, o, x, p, step, others, k, count, weight, w, heads, width):
        def generate(context, builder, signature, args):
            out_, o_, x_, p_, step_, others_, k_, count_, weight_, w_, heads_, width_ = args
            kinds = signature.args
            size = kinds[0].dtype.bitwidth // 8
            whole = o_.type
            # 64 columns are 8 registers: all edges are added before anything is stored.
            columns = [whole(LANES * n) for n in range(LANES)]
            shares = [whole(n) for n in range(LANES)] if narrow else heads_of_tile(builder, width_)
            targets = [
                vector_at(context, builder, kinds[0], out_, builder.add(o_, column), LANES)
                for column in columns
            ]
            totals = [
                cgutils.alloca_once_value(builder, builder.load(target, align=size))
                for target in targets
            ]
            with cgutils.for_range(builder, count_) as loop:
                entry = pointer_to(context, builder, kinds[5], others_, builder.add(k_, loop.index))
                other = context.cast(builder, builder.load(entry), kinds[5].dtype, types.int64)
                start = builder.add(p_, builder.mul(other, step_))
                own = builder.add(w_, builder.mul(loop.index, heads_))
                for column, share, total in zip(columns, shares, totals, strict=True):
                    # Heads of 8 columns or more: one weight serves a whole register.
                    place = builder.add(own, share)
                    factor = builder.load(pointer_to(context, builder, kinds[8], weight_, place))
                    source = vector_at(
                        context, builder, kinds[2], x_, builder.add(start, column), LANES
                    )
                    scaled = builder.fmul(
                        splat(builder, factor, LANES),
                        builder.load(source, align=size),
                        flags=("contract",),
                    )
                    builder.store(
                        builder.fadd(builder.load(total), scaled, flags=("contract",)), total
                    )
            for target, total in zip(targets, totals, strict=True):
                builder.store(builder.load(total), target, align=size)
            return context.get_dummy_value()

        i8 = types.int64
        return types.void(out, i8, x, i8, i8, others, i8, i8, weight, i8, i8, i8), generate

    return add_tile


add_narrow_tile, add_tile = (_add_tile_of(narrow) for narrow in (True, False))


@intrinsic
def sum_tile(typing_context, out, o, x, p, step, others, first, last, ahead):
    """``out[o + c] = sum of x[p + others[k] * step + c]`` over ``first <= k < last``, for 64
    columns ``c``; asks for what the entry ``ahead`` of each one will read."""

    def generate(context, builder, signature, args):
        out_, o_, x_, p_, step_, others_, first_, last_, ahead_ = args
        kinds = signature.args
        size = kinds[0].dtype.bitwidth // 8
        whole = o_.type
        # In registers until the last entry, because sums in memory would wait for their stores.
        columns = [whole(LANES * n) for n in range(LANES)]
        targets = [
            vector_at(context, builder, kinds[0], out_, builder.add(o_, column), LANES)
            for column in columns
        ]
        zero = ir.Constant(targets[0].type.pointee, None)
        totals = [cgutils.alloca_once_value(builder, zero) for _ in columns]
        length = cgutils.create_struct_proxy(kinds[5])(context, builder, value=others_).nitems
        final = builder.sub(length, length.type(1))

        def place_of(k):
            entry = builder.load(pointer_to(context, builder, kinds[5], others_, k))
            other = context.cast(builder, entry, kinds[5].dtype, types.int64)
            return builder.add(p_, builder.mul(other, step_))

        with cgutils.for_range_slice(builder, first_, last_, whole(1)) as (k, _):
            later = builder.add(k, ahead_)
            beyond = builder.icmp_signed(">", later, final)
            # Asked for now, because a row takes longer to arrive than to add.
            asked = place_of(builder.select(beyond, final, later))
            for column in range(0, 64, 64 // size):
                place = builder.add(asked, whole(column))
                ask_for(builder, pointer_to(context, builder, kinds[2], x_, place))
            start = place_of(k)
            for column, total in zip(columns, totals, strict=True):
                source = vector_at(
                    context, builder, kinds[2], x_, builder.add(start, column), LANES
                )
                new = builder.load(source, align=size)
                builder.store(builder.fadd(builder.load(total), new), total)
        for target, total in zip(targets, totals, strict=True):
            builder.store(builder.load(total), target, align=size)
        return context.get_dummy_value()

    i8 = types.int64
    return types.void(out, i8, x, i8, i8, others, i8, i8, i8), generate
