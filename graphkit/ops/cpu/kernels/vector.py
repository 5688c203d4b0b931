# mypy: ignore-errors
"""Arithmetic on pieces of flat arrays: ``out[o : o + n]`` with ``x[p : p + n]``, any ``n``."""

import numpy as np

from graphkit.ops.cpu.kernels import instructions as code
from graphkit.ops.cpu.kernels.compiling import helper
from graphkit.ops.cpu.kernels.tiles import add_narrow_tile, add_tile, dot_tile, in_tiles

prefetch, prefetch_to_write = code.prefetch_for(0), code.prefetch_for(1)
_dot1, _dot4, _dot8, _dot16 = (code.dot_of(width) for width in (1, 4, 8, 16))
_add8, _scale8 = code.rowwise(8, code.add), code.rowwise(8, code.scaled)


def _any_width(combine):
    """The instruction on ``n`` values, as many at a time as there are."""
    one, four, eight, sixteen = (code.rowwise(width, combine) for width in (1, 4, 8, 16))

    @helper
    def combined(out, o, x, p, factor, n):
        # 16 floats are two registers under AVX2, one under AVX-512; the rest in halves.
        c = 0
        while c + 16 <= n:
            sixteen(out, o + c, x, p + c, factor)
            c += 16
        if c + 8 <= n:
            eight(out, o + c, x, p + c, factor)
            c += 8
        if c + 4 <= n:
            four(out, o + c, x, p + c, factor)
            c += 4
        while c < n:
            one(out, o + c, x, p + c, factor)
            c += 1

    return combined


add_scaled = _any_width(code.add)
_replace, _multiply = _any_width(code.replace), _any_width(code.product)
_divide, _scale, _fill = (_any_width(c) for c in (code.quotient, code.scaled, code.constant))


@helper
def scale(out, o, factor, n):
    """``out *= factor``."""
    _scale(out, o, out, o, factor, n)


@helper
def fill(out, o, value, n):
    """``out = value``."""
    _fill(out, o, out, o, value, n)


@helper
def copy(out, o, x, p, n):
    """``out = x``."""
    _replace(out, o, x, p, x.dtype.type(1), n)


@helper
def multiply(out, o, x, p, n):
    """``out *= x``."""
    _multiply(out, o, x, p, x.dtype.type(1), n)


@helper
def divide(out, o, x, p, n):
    """``out /= x``."""
    _divide(out, o, x, p, x.dtype.type(1), n)


def _any_columns(combine):
    """The instruction on ``count`` rows of ``n`` values, ``step`` apart, folded into ``out``."""
    one, four, eight, sixteen = (code.columnwise(width, combine) for width in (1, 4, 8, 16))

    @helper
    def folded(out, o, x, p, step, count, n):
        c = 0
        while c + 16 <= n:
            sixteen(out, o + c, x, p + c, step, count)
            c += 16
        if c + 8 <= n:
            eight(out, o + c, x, p + c, step, count)
            c += 8
        if c + 4 <= n:
            four(out, o + c, x, p + c, step, count)
            c += 4
        while c < n:
            one(out, o + c, x, p + c, step, count)
            c += 1

    return folded


add_rows, keep_largest = _any_columns(code.add), _any_columns(code.larger)


@helper
def inner(a, i, b, j, n):
    """The dot product of ``a[i : i + n]`` and ``b[j : j + n]``."""
    # plus keeps the order of additions: a score computed anew must be the same number.
    total = a.dtype.type(0)
    c = 0
    while c + 16 <= n:
        total = code.plus(total, _dot16(a, i + c, b, j + c))
        c += 16
    if c + 8 <= n:
        total = code.plus(total, _dot8(a, i + c, b, j + c))
        c += 8
    if c + 4 <= n:
        total = code.plus(total, _dot4(a, i + c, b, j + c))
        c += 4
    while c < n:
        total = code.plus(total, _dot1(a, i + c, b, j + c))
        c += 1
    return total


@helper
def add_heads(out, o, x, p, weight, w, heads, width):
    """``out[o + h, :] += weight[w + h] * x[p + h, :]`` for rows of ``width``."""
    # The commonest width by far: no loop inside.
    if width == 8:
        for h in range(heads):
            _add8(out, o + h * 8, x, p + h * 8, weight[w + h])
    else:
        for h in range(heads):
            add_scaled(out, o + h * width, x, p + h * width, weight[w + h], width)


@helper
def scale_heads(out, o, weight, heads, width):
    """``out[o + h, :] *= weight[h]`` for rows of ``width``."""
    if width == 8:
        for h in range(heads):
            _scale8(out, o + h * 8, out, o + h * 8, weight[h])
    else:
        for h in range(heads):
            scale(out, o + h * width, weight[h], width)


@helper
def add_entries(out, o, x, p, others, k, count, weight, w, heads, width):
    """``add_heads`` for the entries ``k .. k + count``: rows ``others`` of ``x``, after ``p``."""
    features = heads * width
    if in_tiles(heads, width):
        for c in range(0, features, 64):
            o_c, p_c, w_c = o + c, p + c, w + c // width
            # The commonest width by far: no arithmetic to find a column's weight.
            if width == 8:
                add_narrow_tile(
                    out, o_c, x, p_c, features, others, k, count, weight, w_c, heads, width
                )
            else:
                add_tile(out, o_c, x, p_c, features, others, k, count, weight, w_c, heads, width)
    else:
        for i in range(count):
            source = p + np.int64(others[k + i]) * features
            add_heads(out, o, x, source, weight, w + i * heads, heads, width)


@helper
def dot_heads(out, o, a, i, b, j, heads, width):
    """``out[o + h] = <a[i + h, :], b[j + h, :]>`` for rows of ``width``."""
    # Eight dot products at a time share their last additions.
    if width % 8 == 0 and heads % 8 == 0:
        for h in range(0, heads, 8):
            dot_tile(out, o + h, a, i + h * width, b, j + h * width, width)
    else:
        for h in range(heads):
            out[o + h] = inner(a, i + h * width, b, j + h * width, width)


# The step between cache lines is known when this is compiled. As a loop over ``x.itemsize``,
# which is not, it would divide for every row, at a third of the cost of a sum.
prefetch_row = code.prefetch_row
