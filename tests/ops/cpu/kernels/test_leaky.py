"""Dot products with a LeakyReLU in between, and its way back, for heads of any width."""

import numpy as np
import pytest

from graphkit.ops.cpu.kernels import leaky
from graphkit.ops.cpu.kernels.compiling import kernel

BESIDE = 3.0
SHAPES = [(1, n) for n in (1, 2, 4, 7, 8, 15, 16, 31, 33)] + [(8, 8), (16, 16), (3, 8), (8, 5)]


@kernel
def heads_of(out, o, a, x, p, slope, heads, width):
    leaky.leaky_heads(out, o, a, x, p, slope, heads, width)


@kernel
def sums_of(out, o, a, x, p, near, n, rows, r, slope, heads, width, more):
    leaky.leaky_sums(out, o, a, x, p, near, n, rows, r, slope, heads, width, more)


@kernel
def steps_of(x, p, total, t, steps, s, slope, heads, width, summed):
    if summed:
        leaky.leaky_steps_summed(x, p, total, t, steps, s, slope, heads, width)
    else:
        leaky.leaky_steps(x, p, total, t, steps, s, slope, heads, width)


def numbers(*shape):
    values = np.random.default_rng(sum(shape)).standard_normal(shape)
    # Zeros are where the slope could be taken for either.
    return np.where(np.abs(values) < 0.1, 0, values)


def leak(x, slope=0.25):
    return np.where(x > 0, x, slope * x)


@pytest.mark.parametrize(("heads", "width"), SHAPES)
def test_products_with_what_leaks(heads, width):
    size = heads * width
    out, a, x = np.full(25, BESIDE), numbers(size), numbers(size + 9)
    heads_of(out, 4, a, x, 5, 0.25, heads, width)
    wanted = (a * leak(x[5 : 5 + size])).reshape(heads, width).sum(1)
    np.testing.assert_allclose(out[4 : 4 + heads], wanted, rtol=1e-12, atol=1e-13)
    assert (np.delete(out, range(4, 4 + heads)) == BESIDE).all()


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize(("heads", "width"), SHAPES)
def test_sums_are_kept_in_their_rows(heads, width, more):
    size = heads * width
    out, a, x, near = np.full(25, BESIDE), numbers(size), numbers(size + 9), numbers(size + 7)
    rows = numbers(size + 8)
    met = x[5 : 5 + size] + near[3 : 3 + size]
    met = met + rows[6 : 6 + size] if more else met
    others = np.delete(rows, range(6, 6 + size))
    sums_of(out, 4, a, x, 5, near, 3, rows, 6, 0.25, heads, width, more)
    np.testing.assert_allclose(rows[6 : 6 + size], met, rtol=1e-14, atol=1e-15)
    np.testing.assert_array_equal(np.delete(rows, range(6, 6 + size)), others)
    wanted = (a * leak(met)).reshape(heads, width).sum(1)
    np.testing.assert_allclose(out[4 : 4 + heads], wanted, rtol=1e-12, atol=1e-13)
    assert (np.delete(out, range(4, 4 + heads)) == BESIDE).all()


@pytest.mark.parametrize("summed", [False, True])
@pytest.mark.parametrize(("heads", "width"), [*SHAPES, (3, 21)])
def test_rows_become_steps(heads, width, summed):
    size = heads * width
    x, total, steps = numbers(size + 9), np.full(size + 6, BESIDE), numbers(heads + 4)
    before = x.copy()
    steps_of(x, 5, total, 2, steps, 3, 0.25, heads, width, summed)
    old = before[5 : 5 + size]
    new = np.where(old > 0, 1, 0.25) * steps[3 : 3 + heads].repeat(width)
    np.testing.assert_allclose(x[5 : 5 + size], new, rtol=1e-14)
    beside = range(5, 5 + size)
    np.testing.assert_array_equal(np.delete(x, beside), np.delete(before, beside))
    wanted = BESIDE + old * new if summed else np.full(size, BESIDE)
    np.testing.assert_allclose(total[2 : 2 + size], wanted, rtol=1e-13, atol=1e-14)
    assert (np.delete(total, range(2, 2 + size)) == BESIDE).all()
