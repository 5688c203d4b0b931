# mypy: ignore-errors
"""Dot products with a LeakyReLU in between, and the way back through it, in vectors."""

from __future__ import annotations

import llvmlite.ir as ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from graphkit.ops.cpu.kernels import instructions as code
from graphkit.ops.cpu.kernels.compiling import helper
from graphkit.ops.cpu.kernels.tiles import LANES, sums_of_lanes


def _leak(builder, value, slope):
    """``LeakyReLU(value)``; the slope fills a vector."""
    positive = builder.fcmp_ordered(">", value, ir.Constant(value.type, None))
    return builder.select(positive, value, builder.fmul(value, slope))


def _leaky_dot_of(width):
    """``<a[i : i + width], LeakyReLU(x[p : p + width])>`` for a fixed width."""

    @intrinsic
    def leaky_dot(typing_context, a, i, x, p, slope):
        def generate(context, builder, signature, args):
            size = signature.args[0].dtype.bitwidth // 8
            left = code.vector_at(context, builder, signature.args[0], *args[0:2], width)
            right = code.vector_at(context, builder, signature.args[2], *args[2:4], width)
            value = builder.load(right, align=size)
            value = _leak(builder, value, code.splat(builder, args[4], width))
            return code.sum_of_lanes(
                builder, builder.fmul(builder.load(left, align=size), value), width
            )

        return a.dtype(a, types.int64, x, types.int64, a.dtype), generate

    return leaky_dot


def _leaky_tile_of(terms):
    """``out[o + h] = <a[i + h * width :][:width], LeakyReLU(x[p + h * width :][:width])>`` for
    eight ``h``; ``width`` is a multiple of eight.

    Of two ``terms`` or three, ``near[n:]`` and then ``rows[r:]`` are added to ``x`` first, and the
    sum is kept in ``rows``: one visit to ``x``, whose rows lie anywhere, for all of it.
    """

    @intrinsic
    def leaky_tile(typing_context, out, o, a, i, x, p, near, n, rows, r, slope, width):
        def generate(context, builder, signature, args):
            size = signature.args[0].dtype.bitwidth // 8
            slopes, width = code.splat(builder, args[10], LANES), args[11]

            def at(position, more):
                offset = builder.add(args[position + 1], more)
                array = signature.args[position], args[position]
                return code.vector_at(context, builder, *array, offset, LANES)

            target = at(0, width.type(0))
            # One accumulator per head; their lanes are added up together after the loop.
            zero = ir.Constant(target.type.pointee, None)
            totals = [cgutils.alloca_once_value(builder, zero) for _ in range(LANES)]
            step = width.type(LANES)
            with cgutils.for_range_slice(builder, width.type(0), width, step) as (column, _):
                for h, total in enumerate(totals):
                    more = builder.add(builder.mul(width, width.type(h)), column)
                    weight, value = (builder.load(at(k, more), align=size) for k in (2, 4))
                    for k in (6, 8)[: terms - 1]:
                        value = builder.fadd(value, builder.load(at(k, more), align=size))
                    if terms > 1:
                        builder.store(value, at(8, more), align=size)
                    leaked = _leak(builder, value, slopes)
                    builder.store(code.add(builder, builder.load(total), weight, leaked), total)
            sums = sums_of_lanes(builder, [builder.load(total) for total in totals])
            builder.store(sums, target, align=size)
            return context.get_dummy_value()

        arrays = (out, a, x, near, rows)
        given = [kind for array in arrays for kind in (array, types.int64)]
        return types.void(*given, a.dtype, types.int64), generate

    return leaky_tile


_leaky_tile, _two_terms, _three_terms = (_leaky_tile_of(terms) for terms in (1, 2, 3))


def _leaky_step_of(width, summed):
    """For a fixed width ``x[p:] = step * LeakyReLU'(x[p:])``; if ``summed``, the old ``x`` times
    the new is added to ``total[t:]``."""

    @intrinsic
    def leaky_step(typing_context, x, p, total, t, step, slope):
        def generate(context, builder, signature, args):
            size = signature.args[0].dtype.bitwidth // 8
            place = code.vector_at(context, builder, signature.args[0], *args[0:2], width)
            value = builder.load(place, align=size)
            # As PyTorch has it, the derivative at 0 is the slope.
            positive = builder.fcmp_ordered(">", value, ir.Constant(value.type, None))
            steep = code.splat(builder, args[4], width)
            flat = code.splat(builder, builder.fmul(args[4], args[5]), width)
            step = builder.select(positive, steep, flat)
            builder.store(step, place, align=size)
            if summed:
                sums = code.vector_at(context, builder, signature.args[2], *args[2:4], width)
                new = code.add(builder, builder.load(sums, align=size), value, step)
                builder.store(new, sums, align=size)
            return context.get_dummy_value()

        whole = types.int64
        return types.void(x, whole, total, whole, x.dtype, x.dtype), generate

    return leaky_step


_dot1, _dot4, _dot8, _dot16 = (_leaky_dot_of(width) for width in (1, 4, 8, 16))


@helper
def _leaky_inner(a, i, x, p, slope, n):
    """``<a[i : i + n], LeakyReLU(x[p : p + n])>``."""
    total = a.dtype.type(0)
    c = 0
    while c + 16 <= n:
        total = code.plus(total, _dot16(a, i + c, x, p + c, slope))
        c += 16
    if c + 8 <= n:
        total = code.plus(total, _dot8(a, i + c, x, p + c, slope))
        c += 8
    if c + 4 <= n:
        total = code.plus(total, _dot4(a, i + c, x, p + c, slope))
        c += 4
    while c < n:
        total = code.plus(total, _dot1(a, i + c, x, p + c, slope))
        c += 1
    return total


@helper
def leaky_heads(out, o, a, x, p, slope, heads, width):
    """``out[o + h] = <a[h, :], LeakyReLU(x[p + h, :])>`` for rows of ``width``."""
    if width % 8 == 0 and heads % 8 == 0:
        for h in range(0, heads, 8):
            c = h * width
            _leaky_tile(out, o + h, a, c, x, p + c, x, p + c, x, p + c, slope, width)
    else:
        for h in range(heads):
            out[o + h] = _leaky_inner(a, h * width, x, p + h * width, slope, width)


@helper
def leaky_sums(out, o, a, x, p, near, n, rows, r, slope, heads, width, more):
    """As :func:`leaky_heads`, of ``near + x`` and, with ``more``, what is in ``rows`` already; the
    sum is kept there."""
    if width % 8 == 0 and heads % 8 == 0:
        for h in range(0, heads, 8):
            c = h * width
            if more:
                _three_terms(out, o + h, a, c, x, p + c, near, n + c, rows, r + c, slope, width)
            else:
                _two_terms(out, o + h, a, c, x, p + c, near, n + c, rows, r + c, slope, width)
        return
    # In the same order, because both ends of an edge must get the same bits.
    _add_up(rows, r, near, n, x, p, heads * width, more)
    leaky_heads(out, o, a, rows, r, slope, heads, width)


@helper
def _add_up(rows, r, near, n, x, p, features, more):
    """``rows = (near + x) + rows``, the last term only with ``more``."""
    for c in range(features):
        value = code.plus(near[n + c], x[p + c])
        rows[r + c] = code.plus(value, rows[r + c]) if more else value


def _any_step(summed):
    # Rows are cut into as few vectors as there are instructions for.
    one, four, eight, sixteen = (_leaky_step_of(width, summed) for width in (1, 4, 8, 16))

    @helper
    def leaky_step(x, p, total, t, step, slope, n):
        c = 0
        while c + 16 <= n:
            sixteen(x, p + c, total, t + c, step, slope)
            c += 16
        if c + 8 <= n:
            eight(x, p + c, total, t + c, step, slope)
            c += 8
        if c + 4 <= n:
            four(x, p + c, total, t + c, step, slope)
            c += 4
        while c < n:
            one(x, p + c, total, t + c, step, slope)
            c += 1

    @helper
    def leaky_steps(x, p, total, t, steps, s, slope, heads, width):
        if width == 8:
            for h in range(heads):
                eight(x, p + h * 8, total, t + h * 8, steps[s + h], slope)
        else:
            for h in range(heads):
                leaky_step(x, p + h * width, total, t + h * width, steps[s + h], slope, width)

    return leaky_steps


# Both replace the row x[p + h, :] by steps[s + h] times the derivative of the LeakyReLU there;
# the second one adds the row's old values times the new ones to total[t + h, :].
leaky_steps, leaky_steps_summed = _any_step(False), _any_step(True)
