"""Arithmetic on pieces of arrays: every length, somewhere in the array, and nothing beside it."""

import numpy as np
import pytest

from graphkit.ops.cpu.kernels import vector as code
from graphkit.ops.cpu.kernels.compiling import kernel

BESIDE = 3.0


@kernel
def elementwise(outs, o, x, p, n, factor):
    code.add_scaled(outs[0], o, x, p, factor, n)
    code.scale(outs[1], o, factor, n)
    code.fill(outs[2], o, factor, n)
    code.copy(outs[3], o, x, p, n)
    code.multiply(outs[4], o, x, p, n)
    code.divide(outs[5], o, x, p, n)


@kernel
def columnwise(outs, o, x, p, step, count, n):
    code.add_rows(outs[0], o, x, p, step, count, n)
    code.keep_largest(outs[1], o, x, p, step, count, n)


@kernel
def products(out, o, a, i, b, j, heads, width):
    code.dot_heads(out, o, a, i, b, j, heads, width)
    return code.inner(a, i, b, j, width)


@kernel
def by_heads(outs, o, x, p, weight, w, heads, width):
    code.add_heads(outs[0], o, x, p, weight, w, heads, width)
    code.scale_heads(outs[1], o, weight[w:], heads, width)


@kernel
def by_entries(out, o, x, p, others, k, count, weight, w, heads, width):
    code.add_entries(out, o, x, p, others, k, count, weight, w, heads, width)


def numbers(*shape):
    return np.random.default_rng(sum(shape)).uniform(1, 2, shape)


@pytest.mark.parametrize("n", range(36))
def test_pieces_of_any_length(n):
    outs, x, factor = np.full((6, 50), BESIDE), numbers(60), 0.7
    elementwise(outs, 5, x, 9, n, factor)
    piece = x[9 : 9 + n]
    wanted = [BESIDE + factor * piece, np.full(n, factor * BESIDE), np.full(n, factor)]
    wanted += [piece, BESIDE * piece, BESIDE / piece]
    for out, value in zip(outs, wanted, strict=True):
        np.testing.assert_allclose(out[5 : 5 + n], value, rtol=1e-15)
        assert (np.delete(out, range(5, 5 + n)) == BESIDE).all()


@pytest.mark.parametrize("n", range(36))
def test_rows_of_any_length(n):
    outs, x = np.full((2, 50), -BESIDE), -numbers(200) * 2
    columnwise(outs, 5, x, 9, 40, 3, n)
    rows = np.stack([x[9 + 40 * i : 9 + 40 * i + n] for i in range(3)])
    wanted = [rows.sum(0) - BESIDE, np.maximum(rows.max(0, initial=-np.inf), -BESIDE)]
    for out, value in zip(outs, wanted, strict=True):
        np.testing.assert_allclose(out[5 : 5 + n], value, rtol=1e-14)
        assert (np.delete(out, range(5, 5 + n)) == -BESIDE).all()


@pytest.mark.parametrize("width", [*range(36), 40])
@pytest.mark.parametrize("heads", [1, 3, 8, 16])
def test_products_of_heads(heads, width):
    out, a, b = np.full(30, BESIDE), numbers(700), numbers(710)
    whole = products(out, 4, a, 2, b, 7, heads, width)
    left = a[2 : 2 + heads * width].reshape(heads, width)
    right = b[7 : 7 + heads * width].reshape(heads, width)
    np.testing.assert_allclose(out[4 : 4 + heads], (left * right).sum(1), rtol=1e-14)
    np.testing.assert_allclose(whole, (left[0] * right[0]).sum(), rtol=1e-14)
    assert (np.delete(out, range(4, 4 + heads)) == BESIDE).all()


@pytest.mark.parametrize("width", [1, 7, 8, 9, 16, 21])
def test_a_weight_for_each_head(width):
    heads, size = 3, 3 * width
    outs, x, weight = np.full((2, 90), BESIDE), numbers(80), numbers(6)
    by_heads(outs, 5, x, 2, weight, 1, heads, width)
    rows, factors = x[2 : 2 + size].reshape(heads, width), weight[1:4, None]
    scaled = BESIDE * factors.repeat(width, 1)
    for out, value in zip(outs, (BESIDE + factors * rows, scaled), strict=True):
        np.testing.assert_allclose(out[5 : 5 + size].reshape(heads, width), value, rtol=1e-15)
        assert (np.delete(out, range(5, 5 + size)) == BESIDE).all()


@pytest.mark.parametrize(
    ("heads", "width"),
    [(8, 8), (4, 16), (2, 32), (1, 64), (2, 128), (8, 24), (4, 48), (3, 5), (16, 4), (16, 8)],
)
def test_entries_under_their_weights(heads, width):
    """Also where 64 columns end in the middle of a head."""
    size, others = heads * width, np.array([9, 0, 2, 1, 0, 9], np.int32)
    out, x, weight = np.full(size + 9, BESIDE), numbers(3 * size + 6), numbers(4 * heads + 2)
    by_entries(out, 5, x, 6, others, 1, 4, weight, 2, heads, width)
    rows = x[6:].reshape(3, heads, width)[others[1:5]]
    factors = weight[2:].reshape(4, heads, 1)
    wanted = BESIDE + (factors * rows).sum(0)
    np.testing.assert_allclose(out[5 : 5 + size], wanted.ravel(), rtol=1e-14)
    assert (np.delete(out, range(5, 5 + size)) == BESIDE).all()
