# mypy: ignore-errors
"""The exponential of numbers that are not positive, fast enough for a softmax."""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from graphkit.ops.cpu.kernels.compiling import helper
from graphkit.ops.cpu.kernels.instructions import power_of_two

_LOWEST, _HIGHEST = np.float32(-87.0), np.float32(88.0)
_LOG2_E = np.float32(1.4426950408889634)
# ln 2 in two parts: the high one has few bits, so that its multiples are exact.
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(-2.12194440e-4)
_C2, _C3, _C4, _C5, _C6, _C7 = (np.float32(1 / math.factorial(n)) for n in range(2, 8))
_HALF, _ONE, _ZERO, _INFINITY = (np.float32(value) for value in (0.5, 1, 0, np.inf))


@helper
def _exp_float32(x):
    """Reduces to ``|r| <= ln(2) / 2`` and sums the series there; within 5 ulp, since sums may be
    taken in another order; NaN stays NaN."""
    bounded = _LOWEST if x < _LOWEST else x
    power = np.floor(bounded * _LOG2_E + _HALF)
    r = bounded - power * _LN2_HIGH - power * _LN2_LOW
    tail = _C2 + r * (_C3 + r * (_C4 + r * (_C5 + r * (_C6 + r * _C7))))
    value = (_ONE + (r + r * r * tail)) * power_of_two(np.int32(power))
    # Selects in place of branches, so that loops over it become vector code.
    value = _INFINITY if x > _HIGHEST else value
    return _ZERO if x < _LOWEST else value


def exp(x):
    """``e ** x``; float32 gives 0 below -87 and infinity above 88."""
    return math.exp(x)


@overload(exp)
def _exp(x):
    if x == types.float32:
        return lambda x: _exp_float32(x)
    return lambda x: math.exp(x)


@helper
def exp_range(values, first, last):
    """Replaces ``values[first:last]`` by their exponentials."""
    for i in range(first, last):
        values[i] = exp(values[i])
