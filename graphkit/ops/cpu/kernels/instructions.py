# mypy: ignore-errors
"""Vector instructions of known width, which the compiler does not find in short loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir
from numba.core import cgutils, types
from numba.extending import intrinsic

INT32 = ir.IntType(32)


def pointer_to(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    """The address of element ``offset`` of a flat array."""
    data = cgutils.create_struct_proxy(array_type)(context, builder, value=array).data
    return builder.gep(data, [offset])


def vector_at(
    context: Any, builder: Any, array_type: Any, array: Any, offset: Any, width: int
) -> Any:
    vector = ir.VectorType(context.get_value_type(array_type.dtype), width)
    pointer = pointer_to(context, builder, array_type, array, offset)
    return builder.bitcast(pointer, vector.as_pointer())


def splat(builder: Any, value: Any, width: int) -> Any:
    """A vector that holds one value everywhere."""
    vector = ir.VectorType(value.type, width)
    empty = ir.Constant(vector, ir.Undefined)
    # LLVM has no instruction to fill a vector: set one lane, then shuffle it everywhere.
    single = builder.insert_element(empty, value, ir.Constant(INT32, 0))
    mask = ir.Constant(ir.VectorType(INT32, width), [0] * width)
    return builder.shuffle_vector(single, empty, mask)


def rowwise(width: int, combine: Callable[..., Any]) -> Any:
    """``out[o : o + width] = combine(out[...], x[p : p + width], factor)`` for a fixed width."""

    @intrinsic
    def rowwise(typing_context, out, o, x, p, factor):
        def generate(context, builder, signature, args):
            # Pieces begin anywhere, so loads may assume no more than the alignment of one value.
            size = signature.args[0].dtype.bitwidth // 8
            target = vector_at(context, builder, signature.args[0], *args[0:2], width)
            source = vector_at(context, builder, signature.args[2], *args[2:4], width)
            old = builder.load(target, align=size)
            new = builder.load(source, align=size)
            value = combine(builder, old, new, splat(builder, args[4], width))
            builder.store(value, target, align=size)
            return context.get_dummy_value()

        return types.void(out, types.int64, x, types.int64, out.dtype), generate

    return rowwise


def columnwise(width: int, combine: Callable[..., Any]) -> Any:
    """``out[o + c] = combine(out[o + c], x[p + i * step + c])`` for ``i < count``, in registers."""

    @intrinsic
    def columnwise(typing_context, out, o, x, p, step, count):
        def generate(context, builder, signature, args):
            size = signature.args[0].dtype.bitwidth // 8
            target = vector_at(context, builder, signature.args[0], *args[0:2], width)
            one = splat(builder, ir.Constant(target.type.pointee.element, 1.0), width)
            # A slot on the stack that LLVM turns into a register: the sum is stored once, at the
            # end.
            total = cgutils.alloca_once_value(builder, builder.load(target, align=size))
            with cgutils.for_range(builder, args[5]) as loop:
                offset = builder.add(args[3], builder.mul(loop.index, args[4]))
                array = (signature.args[2], args[2])
                source = vector_at(context, builder, *array, offset, width)
                new = builder.load(source, align=size)
                builder.store(combine(builder, builder.load(total), new, one), total)
            builder.store(builder.load(total), target, align=size)
            return context.get_dummy_value()

        return types.void(out, types.int64, x, types.int64, types.int64, types.int64), generate

    return columnwise


def add(builder: Any, old: Any, new: Any, factor: Any) -> Any:
    """``old + factor * new``."""
    # contract lets the product and the sum be one instruction; nothing else is reordered.
    scaled = builder.fmul(factor, new, flags=("contract",))
    return builder.fadd(old, scaled, flags=("contract",))


def replace(builder: Any, old: Any, new: Any, factor: Any) -> Any:
    """``new``."""
    return new


def product(builder: Any, old: Any, new: Any, factor: Any) -> Any:
    """``old * new``."""
    return builder.fmul(old, new)


def scaled(builder: Any, old: Any, new: Any, factor: Any) -> Any:
    """``factor * old``."""
    return builder.fmul(old, factor)


def constant(builder: Any, old: Any, new: Any, factor: Any) -> Any:
    """``factor``."""
    return factor


def quotient(builder: Any, old: Any, new: Any, factor: Any) -> Any:
    """``old / new``."""
    return builder.fdiv(old, new)


def larger(builder: Any, old: Any, new: Any, factor: Any) -> Any:
    """``max(old, new)``; NaN in ``new`` is passed over."""
    return builder.select(builder.fcmp_ordered(">", new, old), new, old)


def sum_of_lanes(builder: Any, lanes: Any, width: int) -> Any:
    """The sum of a vector's values, halves first."""
    # Halves first: log2(width) additions, and the same order for any caller.
    count = width
    while count > 1:
        count //= 2
        low = ir.Constant(ir.VectorType(INT32, count), list(range(count)))
        high = ir.Constant(ir.VectorType(INT32, count), list(range(count, 2 * count)))
        lanes = builder.fadd(
            builder.shuffle_vector(lanes, lanes, low), builder.shuffle_vector(lanes, lanes, high)
        )
    return builder.extract_element(lanes, ir.Constant(INT32, 0))


def dot_of(width: int) -> Any:
    """The dot product of ``a[i : i + width]`` and ``b[j : j + width]`` for a fixed width."""

    @intrinsic
    def dot(typing_context, a, i, b, j):
        def generate(context, builder, signature, args):
            size = signature.args[0].dtype.bitwidth // 8
            left = vector_at(context, builder, signature.args[0], *args[0:2], width)
            right = vector_at(context, builder, signature.args[2], *args[2:4], width)
            lanes = builder.fmul(builder.load(left, align=size), builder.load(right, align=size))
            return sum_of_lanes(builder, lanes, width)

        return a.dtype(a, types.int64, b, types.int64), generate

    return dot


def ask_for(builder: Any, address: Any, write: int = 0) -> None:
    """A prefetch of the cache line at an address, to read (0) or to write (1)."""
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, INT32, INT32, INT32])
    function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
    # Level 3: keep it in every cache; 1: data, not code.
    numbers = [ir.Constant(INT32, n) for n in (write, 3, 1)]
    builder.call(function, [builder.bitcast(address, byte), *numbers])


def prefetch_for(write: int) -> Any:
    """A prefetch of the cache line of ``x[offset]``, to read (0) or to write (1)."""

    @intrinsic
    def prefetch(typing_context, x, offset):
        def generate(context, builder, signature, args):
            ask_for(builder, pointer_to(context, builder, signature.args[0], *args), write)
            return context.get_dummy_value()

        return types.void(x, types.int64), generate

    return prefetch


@intrinsic
def prefetch_row(typing_context, x, offset, n):
    """Asks for the cache lines of ``x[offset : offset + n]``, to read."""

    def generate(context, builder, signature, args):
        # 64 bytes are a cache line.
        step = ir.Constant(args[1].type, 64 // (signature.args[0].dtype.bitwidth // 8))
        with cgutils.for_range_slice(builder, step.type(0), args[2], step) as (column, _):
            place = builder.add(args[1], column)
            ask_for(builder, pointer_to(context, builder, signature.args[0], args[0], place))
        return context.get_dummy_value()

    return types.void(x, types.int64, types.int64), generate


@intrinsic
def power_of_two(typing_context, exponent):
    """``2.0 ** exponent`` in float32, for int32 exponents above -127."""

    def generate(context, builder, signature, args):
        # float32 holds its exponent, plus 127, above 23 bits of fraction.
        biased = builder.add(args[0], ir.Constant(INT32, 127))
        return builder.bitcast(
            builder.shl(biased, ir.Constant(INT32, 23)), context.get_value_type(types.float32)
        )

    return types.float32(types.int32), generate


@intrinsic
def plus(typing_context, a, b):
    """``a + b``, in the order it is written in: scores computed anew must be the same bits."""

    def generate(context, builder, signature, args):
        return builder.fadd(*args)

    return a(a, a), generate


@intrinsic
def borrowed(typing_context, value):
    """An array or a tuple of arrays that counts no references: for the arguments of a kernel,
    which outlive it. Else every look at a tuple's field costs two calls, also in inner loops."""

    def borrow(context, builder, kind, item):
        if isinstance(kind, types.BaseTuple):
            for i, inner in enumerate(kind.types):
                # Tuples hold arrays: each is borrowed where it stands.
                new = borrow(context, builder, inner, builder.extract_value(item, i))
                item = builder.insert_value(item, new, i)
        elif isinstance(kind, types.Array):
            array = cgutils.create_struct_proxy(kind)(context, builder, value=item)
            array.meminfo = ir.Constant(array.meminfo.type, None)
            array.parent = ir.Constant(array.parent.type, None)
            item = array._getvalue()
        return item

    def generate(context, builder, signature, args):
        return borrow(context, builder, signature.args[0], args[0])

    return value(value), generate
