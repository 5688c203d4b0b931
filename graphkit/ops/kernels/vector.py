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


def _axpy(width: int) -> Callable[..., None]:
    """``out[o : o + width] += factor * x[p : p + width]`` for a fixed width."""

    @intrinsic
    def axpy(typing_context, out, o, x, p, factor):
        def generate(context, builder, signature, args):
            size = signature.args[0].dtype.bitwidth // 8
            target = _vector_pointer(context, builder, signature.args[0], *args[0:2], width)
            source = _vector_pointer(context, builder, signature.args[2], *args[2:4], width)
            flags = ("contract",)
            scaled = builder.fmul(
                _splat(builder, args[4], width), builder.load(source, align=size), flags=flags
            )
            total = builder.fadd(builder.load(target, align=size), scaled, flags=flags)
            builder.store(total, target, align=size)
            return context.get_dummy_value()

        return types.void(out, types.int64, x, types.int64, out.dtype), generate

    return axpy


def _dot(width: int) -> Callable[..., float]:
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


@intrinsic
def prefetch(typing_context, x, offset):
    """Asks for the cache line of ``x[offset]``; harmless for any offset."""

    def generate(context, builder, signature, args):
        address = _pointer(context, builder, signature.args[0], *args)
        address = builder.bitcast(address, ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [address.type, _INT32, _INT32, _INT32])
        function = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
        builder.call(function, [address, *(ir.Constant(_INT32, word) for word in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(x, types.int64), generate


@intrinsic
def power_of_two(typing_context, exponent):
    """``2.0 ** exponent`` in float32, for int32 exponents above -127."""

    def generate(context, builder, signature, args):
        biased = builder.add(args[0], ir.Constant(_INT32, 127))
        return builder.bitcast(
            builder.shl(biased, ir.Constant(_INT32, 23)), context.get_value_type(types.float32)
        )

    return types.float32(types.int32), generate


_axpy4, _axpy8, _axpy16 = _axpy(4), _axpy(8), _axpy(16)
_dot4, _dot8, _dot16 = _dot(4), _dot(8), _dot(16)


@helper
def add_scaled(out, o, x, p, factor, n):
    """``out[o : o + n] += factor * x[p : p + n]``."""
    c = 0
    while c + 16 <= n:
        _axpy16(out, o + c, x, p + c, factor)
        c += 16
    if c + 8 <= n:
        _axpy8(out, o + c, x, p + c, factor)
        c += 8
    if c + 4 <= n:
        _axpy4(out, o + c, x, p + c, factor)
        c += 4
    while c < n:
        out[o + c] += factor * x[p + c]
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
def prefetch_row(x, offset, n):
    """Asks for the cache lines of ``x[offset : offset + n]``."""
    for c in range(0, n, 64 // x.itemsize):
        prefetch(x, offset + c)
