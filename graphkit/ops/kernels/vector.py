"""Vector instructions that the compiler does not find by itself: short rows of known width."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from graphkit.ops.kernels.compiling import helper

_INT32 = ir.IntType(32)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    """The address of element ``offset`` of a flat array."""
    data = cgutils.create_struct_proxy(array_type)(context, builder, value=array).data
    return builder.gep(data, [offset])


def _vector_pointer(
    context: Any, builder: Any, array_type: Any, array: Any, offset: Any, width: int
) -> Any:
    vector = ir.VectorType(context.get_value_type(array_type.dtype), width)
    pointer = _pointer(context, builder, array_type, array, offset)
    return builder.bitcast(pointer, vector.as_pointer())


def _splat(builder: Any, value: Any, width: int) -> Any:
    """A vector that holds one value everywhere."""
    vector = ir.VectorType(value.type, width)
    empty = ir.Constant(vector, ir.Undefined)
    single = builder.insert_element(empty, value, ir.Constant(_INT32, 0))
    mask = ir.Constant(ir.VectorType(_INT32, width), [0] * width)
    return builder.shuffle_vector(single, empty, mask)


def _rowwise(width: int, combine: Callable[..., Any]) -> Any:
    """``out[o : o + width] = combine(out[...], x[p : p + width], factor)`` for a fixed width."""

    @intrinsic
    def rowwise(typing_context, out, o, x, p, factor):
        def generate(context, builder, signature, args):
            size = signature.args[0].dtype.bitwidth // 8
            target = _vector_pointer(context, builder, signature.args[0], *args[0:2], width)
            source = _vector_pointer(context, builder, signature.args[2], *args[2:4], width)
            old = builder.load(target, align=size)
            new = builder.load(source, align=size)
            value = combine(builder, old, new, _splat(builder, args[4], width))
            builder.store(value, target, align=size)
            return context.get_dummy_value()

        return types.void(out, types.int64, x, types.int64, out.dtype), generate

    return rowwise


def _add(builder: Any, old: Any, new: Any, factor: Any) -> Any:
    scaled = builder.fmul(factor, new, flags=("contract",))
    return builder.fadd(old, scaled, flags=("contract",))


def _replace(builder: Any, old: Any, new: Any, factor: Any) -> Any:
    return new


def _product(builder: Any, old: Any, new: Any, factor: Any) -> Any:
    return builder.fmul(old, new)


def _quotient(builder: Any, old: Any, new: Any, factor: Any) -> Any:
    return builder.fdiv(old, new)


def _larger(builder: Any, old: Any, new: Any, factor: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", new, old), new, old)


def _dot(width: int) -> Any:
    """The dot product of ``a[i : i + width]`` and ``b[j : j + width]`` for a fixed width."""

    @intrinsic
    def dot(typing_context, a, i, b, j):
        def generate(context, builder, signature, args):
            size = signature.args[0].dtype.bitwidth // 8
            left = _vector_pointer(context, builder, signature.args[0], *args[0:2], width)
            right = _vector_pointer(context, builder, signature.args[2], *args[2:4], width)
            lanes = builder.fmul(builder.load(left, align=size), builder.load(right, align=size))
            count = width
            while count > 1:
                count //= 2
                low = ir.Constant(ir.VectorType(_INT32, count), list(range(count)))
                high = ir.Constant(ir.VectorType(_INT32, count), list(range(count, 2 * count)))
                lanes = builder.fadd(
                    builder.shuffle_vector(lanes, lanes, low),
                    builder.shuffle_vector(lanes, lanes, high),
                )
            return builder.extract_element(lanes, ir.Constant(_INT32, 0))

        return a.dtype(a, types.int64, b, types.int64), generate

    return dot


def _prefetch(write: int) -> Any:
    @intrinsic
    def prefetch(typing_context, x, offset):
        def generate(context, builder, signature, args):
            address = _pointer(context, builder, signature.args[0], *args)
            address = builder.bitcast(address, ir.IntType(8).as_pointer())
            kind = ir.FunctionType(ir.VoidType(), [address.type, _INT32, _INT32, _INT32])
            function = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
            builder.call(function, [address, *(ir.Constant(_INT32, n) for n in (write, 3, 1))])
            return context.get_dummy_value()

        return types.void(x, types.int64), generate

    return prefetch


@intrinsic
def power_of_two(typing_context, exponent):
    """``2.0 ** exponent`` in float32, for int32 exponents above -127."""

    def generate(context, builder, signature, args):
        biased = builder.add(args[0], ir.Constant(_INT32, 127))
        return builder.bitcast(
            builder.shl(biased, ir.Constant(_INT32, 23)), context.get_value_type(types.float32)
        )

    return types.float32(types.int32), generate


_add4, _add8, _add16 = (_rowwise(width, _add) for width in (4, 8, 16))
_replace4, _replace8, _replace16 = (_rowwise(width, _replace) for width in (4, 8, 16))
_product4, _product8, _product16 = (_rowwise(width, _product) for width in (4, 8, 16))
_quotient4, _quotient8, _quotient16 = (_rowwise(width, _quotient) for width in (4, 8, 16))
_larger4, _larger8, _larger16 = (_rowwise(width, _larger) for width in (4, 8, 16))
_dot4, _dot8, _dot16 = (_dot(width) for width in (4, 8, 16))
prefetch, prefetch_to_write = _prefetch(0), _prefetch(1)


@helper
def add_scaled(out, o, x, p, factor, n):
    """``out[o : o + n] += factor * x[p : p + n]``."""
    c = 0
    while c + 16 <= n:
        _add16(out, o + c, x, p + c, factor)
        c += 16
    if c + 8 <= n:
        _add8(out, o + c, x, p + c, factor)
        c += 8
    if c + 4 <= n:
        _add4(out, o + c, x, p + c, factor)
        c += 4
    while c < n:
        out[o + c] += factor * x[p + c]
        c += 1


@helper
def copy(out, o, x, p, n):
    """``out[o : o + n] = x[p : p + n]``."""
    one = x.dtype.type(1)
    c = 0
    while c + 16 <= n:
        _replace16(out, o + c, x, p + c, one)
        c += 16
    if c + 8 <= n:
        _replace8(out, o + c, x, p + c, one)
        c += 8
    if c + 4 <= n:
        _replace4(out, o + c, x, p + c, one)
        c += 4
    while c < n:
        out[o + c] = x[p + c]
        c += 1


@helper
def multiply(out, o, x, p, n):
    """``out[o : o + n] *= x[p : p + n]``."""
    one = x.dtype.type(1)
    c = 0
    while c + 16 <= n:
        _product16(out, o + c, x, p + c, one)
        c += 16
    if c + 8 <= n:
        _product8(out, o + c, x, p + c, one)
        c += 8
    if c + 4 <= n:
        _product4(out, o + c, x, p + c, one)
        c += 4
    while c < n:
        out[o + c] *= x[p + c]
        c += 1


@helper
def divide(out, o, x, p, n):
    """``out[o : o + n] /= x[p : p + n]``."""
    one = x.dtype.type(1)
    c = 0
    while c + 16 <= n:
        _quotient16(out, o + c, x, p + c, one)
        c += 16
    if c + 8 <= n:
        _quotient8(out, o + c, x, p + c, one)
        c += 8
    if c + 4 <= n:
        _quotient4(out, o + c, x, p + c, one)
        c += 4
    while c < n:
        out[o + c] /= x[p + c]
        c += 1


@helper
def keep_larger(out, o, x, p, n):
    """``out[o : o + n] = max(out[o : o + n], x[p : p + n])``; NaN in ``x`` is passed over."""
    one = x.dtype.type(1)
    c = 0
    while c + 16 <= n:
        _larger16(out, o + c, x, p + c, one)
        c += 16
    if c + 8 <= n:
        _larger8(out, o + c, x, p + c, one)
        c += 8
    if c + 4 <= n:
        _larger4(out, o + c, x, p + c, one)
        c += 4
    while c < n:
        out[o + c] = x[p + c] if x[p + c] > out[o + c] else out[o + c]
        c += 1


@helper
def inner(a, i, b, j, n):
    """The dot product of ``a[i : i + n]`` and ``b[j : j + n]``."""
    total = a.dtype.type(0)
    c = 0
    while c + 16 <= n:
        total += _dot16(a, i + c, b, j + c)
        c += 16
    if c + 8 <= n:
        total += _dot8(a, i + c, b, j + c)
        c += 8
    if c + 4 <= n:
        total += _dot4(a, i + c, b, j + c)
        c += 4
    while c < n:
        total += a[i + c] * b[j + c]
        c += 1
    return total


@helper
def add_heads(out, o, x, p, weight, w, heads, width):
    """``out[o + h, :] += weight[w + h] * x[p + h, :]`` for rows of ``width``."""
    if width == 8:
        for h in range(heads):
            _add8(out, o + h * 8, x, p + h * 8, weight[w + h])
    else:
        for h in range(heads):
            add_scaled(out, o + h * width, x, p + h * width, weight[w + h], width)


@helper
def dot_heads(out, o, a, i, b, j, heads, width):
    """``out[o + h] = <a[i + h, :], b[j + h, :]>`` for rows of ``width``."""
    if width == 8:
        for h in range(heads):
            out[o + h] = _dot8(a, i + h * 8, b, j + h * 8)
    else:
        for h in range(heads):
            out[o + h] = inner(a, i + h * width, b, j + h * width, width)


@helper
def prefetch_row(x, offset, n):
    """Asks for the cache lines of ``x[offset : offset + n]``."""
    for c in range(0, n, 64 // x.itemsize):
        prefetch(x, offset + c)
