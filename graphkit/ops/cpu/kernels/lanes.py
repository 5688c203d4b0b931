# mypy: ignore-errors
"""Attention of eight heads at a time, in float32: each step of an edge is one vector."""

from __future__ import annotations

import math

import llvmlite.ir as ir
import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

from graphkit.ops.cpu.kernels import instructions as code
from graphkit.ops.cpu.kernels.compiling import FAST_MATH, helper
from graphkit.ops.cpu.kernels.tiles import LANES, sums_of_lanes

FLOAT = ir.FloatType()
VECTOR = ir.VectorType(FLOAT, LANES)
WHOLE = types.int64


def in_lanes_or(lanes, general, position):
    """Calls ``lanes`` if the first argument is float32 and the heads at ``position`` come by the
    eight, ``general`` otherwise; both are helpers with the same arguments."""

    def call(block, *arguments):
        raise TypeError("kernels alone can call this")

    at = position - 1

    @overload(call, jit_options={"fastmath": FAST_MATH, "forceinline": True})
    def _(block, *arguments):
        if block.dtype != types.float32:
            return lambda block, *arguments: general(block, *arguments)

        def choose(block, *arguments):
            if arguments[at] % LANES == 0:
                return lanes(block, *arguments)
            return general(block, *arguments)

        return choose

    return call


@helper
def not_this(values, *arguments):
    """What stands in where lanes cannot do it: says so, and does nothing."""
    return False


def same(value):
    """One number in all lanes."""
    return ir.Constant(VECTOR, [float(np.float32(value))] * LANES)


def _fma(builder, a, b, c):
    # Written out and not left to the compiler: forward and backward must get the same bits.
    name = f"llvm.fma.v{LANES}f32"
    kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, [a, b, c])


def exp_of_lanes(builder, x):
    """As :func:`~graphkit.ops.cpu.kernels.exponential.exp` does it, of numbers up to 0."""
    lowest = same(-87.0)
    # The comparison keeps NaN, which max would lose.
    under = builder.fcmp_ordered("<", x, lowest)
    bounded = builder.select(under, lowest, x)
    kind = ir.FunctionType(VECTOR, [VECTOR])
    floor = cgutils.get_or_insert_function(builder.module, kind, f"llvm.floor.v{LANES}f32")
    power = builder.call(floor, [_fma(builder, bounded, same(math.log2(math.e)), same(0.5))])
    r = _fma(builder, power, same(-0.693359375), bounded)
    r = _fma(builder, power, same(2.12194440e-4), r)
    tail = same(1 / math.factorial(7))
    for n in range(6, -1, -1):
        tail = _fma(builder, r, tail, same(1 / math.factorial(n)))
    whole = ir.VectorType(code.INT32, LANES)
    biased = builder.add(builder.fptosi(power, whole), ir.Constant(whole, [127] * LANES))
    scale = builder.bitcast(builder.shl(biased, ir.Constant(whole, [23] * LANES)), VECTOR)
    return builder.select(under, same(0), builder.fmul(tail, scale))


def leaked(builder, value, slope):
    """Where the values are above 0, and their LeakyReLU."""
    positive = builder.fcmp_ordered(">", value, same(0))
    return positive, builder.select(positive, value, builder.fmul(value, slope))


def peak_of(builder, top):
    """What the largest scores are taken off as: an infinite one would make inf - inf."""
    ends = [builder.fcmp_ordered("==", top, same(end)) for end in (np.inf, -np.inf)]
    return builder.select(builder.or_(*ends), same(0), top)


def share_of(builder, low):
    """``1 / low``, and 0 where ``low`` is 0."""
    empty = builder.fcmp_ordered("==", low, same(0))
    return builder.select(empty, low, builder.fdiv(same(1), low))


class Lanes:
    """Loads and stores of eight values of the arrays among an intrinsic's arguments.

    Arrays stand at the even positions, each before the offset that values are counted from.
    """

    def __init__(self, context, builder, signature, args):
        self.context, self.builder, self.kinds, self.args = context, builder, signature.args, args

    def at(self, position, more=0):
        """The address of eight values.

        Args:
            position (int): Of the array.
            more (int or value, optional): What is added to the offset. (default: :obj:`0`)
        """
        offset = self.args[position + 1]
        if not isinstance(more, int) or more != 0:
            more = offset.type(more) if isinstance(more, int) else more
            offset = self.builder.add(offset, more)
        array = self.kinds[position], self.args[position]
        return code.vector_at(self.context, self.builder, *array, offset, LANES)

    def one(self, position, more):
        """The address of one value, counted from the offset."""
        offset = self.builder.add(self.args[position + 1], more)
        array = self.kinds[position], self.args[position]
        return code.pointer_to(self.context, self.builder, *array, offset)

    def load(self, position, more=0):
        """Eight values.

        Args:
            position (int): Of the array.
            more (int or value, optional): What is added to the offset. (default: :obj:`0`)
        """
        return self.builder.load(self.at(position, more), align=4)

    def store(self, value, position, more=0):
        """Puts eight values in their place.

        Args:
            value (value): A vector.
            position (int): Of the array.
            more (int or value, optional): What is added to the offset. (default: :obj:`0`)
        """
        self.builder.store(value, self.at(position, more), align=4)


@intrinsic
def score_lanes(typing_context, near, n, far, f, slope, block, b, top, t):
    """``block = LeakyReLU(near + far)``, and ``top`` the largest so far; NaN is passed over."""

    def generate(context, builder, signature, args):
        lanes = Lanes(context, builder, signature, args)
        score = builder.fadd(lanes.load(0), lanes.load(2))
        _, score = leaked(builder, score, code.splat(builder, args[4], LANES))
        lanes.store(score, 5)
        old = lanes.load(7)
        lanes.store(builder.select(builder.fcmp_ordered(">", score, old), score, old), 7)
        return context.get_dummy_value()

    given = near, WHOLE, far, WHOLE, near.dtype, block, WHOLE, top, WHOLE
    return types.void(*given), generate


@intrinsic
def weigh_lanes(typing_context, block, b, shift, s, low, t):
    """``block = exp(block - shift)``, added to ``low``."""

    def generate(context, builder, signature, args):
        lanes = Lanes(context, builder, signature, args)
        weight = exp_of_lanes(builder, builder.fsub(lanes.load(0), lanes.load(2)))
        lanes.store(weight, 0)
        lanes.store(builder.fadd(lanes.load(4), weight), 4)
        return context.get_dummy_value()

    return types.void(block, WHOLE, shift, WHOLE, low, WHOLE), generate


@intrinsic
def settle_lanes(typing_context, top, t, shift, s, low, n, decay, d):
    """As :func:`~graphkit.ops.cpu.kernels.blocks.settle` does it for eight heads."""

    def generate(context, builder, signature, args):
        lanes = Lanes(context, builder, signature, args)
        top, old, low = lanes.load(0), lanes.load(2), lanes.load(4)
        peak = peak_of(builder, top)
        moved = builder.and_(
            builder.fcmp_unordered("!=", low, same(0)), builder.fcmp_unordered("!=", peak, old)
        )
        lanes.store(peak, 2)
        lanes.store(same(1), 6)
        bits = ir.IntType(LANES)
        rose = builder.icmp_unsigned("!=", builder.bitcast(moved, bits), bits(0))
        # Most rows are one block, of which no sums are left to shrink: no exponential then.
        with builder.if_then(rose):
            shrunk = builder.select(moved, exp_of_lanes(builder, builder.fsub(old, peak)), same(1))
            lanes.store(shrunk, 6)
            lanes.store(builder.fmul(low, shrunk), 4)
        return rose

    given = [kind for array in (top, shift, low, decay) for kind in (array, WHOLE)]
    return types.boolean(*given), generate


@intrinsic
def share_lanes(typing_context, out, o, low, n):
    """``out = 1 / low``, and 0 where ``low`` is 0."""

    def generate(context, builder, signature, args):
        lanes = Lanes(context, builder, signature, args)
        lanes.store(share_of(builder, lanes.load(2)), 0)
        return context.get_dummy_value()

    return types.void(out, WHOLE, low, WHOLE), generate


@intrinsic
def back_lanes(
    typing_context,
    near,
    n,
    targets,
    t,
    x,
    i,
    grad,
    j,
    kept,
    p,
    step,
    s,
    alpha,
    a,
    slope,
    heads,
    width,
):
    """An edge's weights ``alpha``, and the gradients ``step`` of its scores.

    ``targets`` holds score, peak, share and step of the edge's target, ``heads`` apart; ``kept``
    what dropout makes of a weight, and ``width`` is a multiple of eight.
    """

    def generate(context, builder, signature, args):
        lanes = Lanes(context, builder, signature, args)
        slope, heads, width = code.splat(builder, args[14], LANES), args[15], args[16]
        raw = builder.fadd(lanes.load(0), lanes.load(2))
        positive, score = leaked(builder, raw, slope)
        fields = [builder.mul(heads, heads.type(field)) for field in (1, 2, 3)]
        peak, share, centre = (lanes.load(2, field) for field in fields)
        # The same score as before, minus the same peak: the weight comes out as it was.
        weight = builder.fmul(exp_of_lanes(builder, builder.fsub(score, peak)), share)
        product = _dots(lanes, builder, width)
        factor = lanes.load(8)
        # Softmax: a * (g - <out, grad>); then the slope of the side of 0 the score was on.
        change = builder.fsub(builder.fmul(product, factor), centre)
        change = builder.fmul(change, weight)
        change = builder.select(positive, change, builder.fmul(change, slope))
        lanes.store(change, 10)
        # Features got the dropped weight, the softmax did not.
        lanes.store(builder.fmul(weight, factor), 12)
        return context.get_dummy_value()

    pairs = (near, targets, x, grad, kept, step, alpha)
    given = [kind for array in pairs for kind in (array, WHOLE)]
    return types.void(*given, near.dtype, WHOLE, WHOLE), generate


@intrinsic
def centre_lanes(typing_context, alpha, a, step, s, softmax, t, kept, p, heads):
    """Turns scores ``alpha`` into weights, and ``step``, the gradients of weights, into those of
    scores.

    ``softmax`` holds peak, share and centre of the edge's target, ``heads`` apart; ``kept`` what
    dropout makes of a weight.
    """

    def generate(context, builder, signature, args):
        lanes = Lanes(context, builder, signature, args)
        peak = lanes.load(4)
        share, centre = (lanes.load(4, builder.mul(args[8], args[8].type(n))) for n in (1, 2))
        # The largest score is taken off before the exponential, the sum after it: the logarithm
        # of the sum, added to a large score, would be rounded away.
        weight = builder.fmul(exp_of_lanes(builder, builder.fsub(lanes.load(0), peak)), share)
        factor = lanes.load(6)
        # Gradients of weights are masked before they are centred, weights after it.
        change = builder.fsub(builder.fmul(lanes.load(2), factor), centre)
        lanes.store(builder.fmul(change, weight), 2)
        lanes.store(builder.fmul(weight, factor), 0)
        return context.get_dummy_value()

    given = [kind for array in (alpha, step, softmax, kept) for kind in (array, WHOLE)]
    return types.void(*given, WHOLE), generate


def _dots(lanes, builder, width):
    """The products of eight rows of ``x`` with those of ``grad``, as :func:`dot_tile` has them."""
    totals = [cgutils.alloca_once_value(builder, same(0)) for _ in range(LANES)]
    columns = ir.Constant(width.type, LANES)
    with cgutils.for_range_slice(builder, width.type(0), width, columns) as (column, _):
        for h, total in enumerate(totals):
            more = builder.add(builder.mul(width, width.type(h)), column)
            product = _fma(builder, lanes.load(4, more), lanes.load(6, more), builder.load(total))
            builder.store(product, total)
    return sums_of_lanes(builder, [builder.load(total) for total in totals])
