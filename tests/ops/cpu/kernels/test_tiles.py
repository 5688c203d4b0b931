"""Sums and products of 64 columns that stay in registers."""

import numpy as np
import pytest

from graphkit.ops.cpu.kernels import tiles
from graphkit.ops.cpu.kernels.compiling import kernel

BESIDE = 3.0
KINDS = (np.float32, np.float64)


@kernel
def products(out, o, a, i, b, j, width):
    tiles.dot_tile(out, o, a, i, b, j, width)


@kernel
def weighted(out, o, x, p, step, others, k, count, weight, w, heads, width):
    if width == 8:
        tiles.add_narrow_tile(out, o, x, p, step, others, k, count, weight, w, heads, width)
    else:
        tiles.add_tile(out, o, x, p, step, others, k, count, weight, w, heads, width)


@kernel
def summed(out, o, x, p, step, others, first, last, ahead):
    tiles.sum_tile(out, o, x, p, step, others, first, last, ahead)


def numbers(kind, *shape):
    return np.random.default_rng(sum(shape)).uniform(1, 2, shape).astype(kind)


def assert_close(found, wanted, at, size):
    np.testing.assert_allclose(found[at : at + size], wanted, rtol=1e-5)
    if found.dtype == np.float64:
        np.testing.assert_allclose(found[at : at + size], wanted, rtol=1e-14)
    assert (np.delete(found, range(at, at + size)) == BESIDE).all()


@pytest.mark.parametrize(
    ("heads", "width", "whole"),
    [
        *((8, 8, True), (16, 8, True), (4, 16, True), (2, 32, True), (1, 64, True)),
        *((3, 64, True), (1, 128, True), (1, 192, True), (4, 8, False), (3, 16, False)),
        *((8, 24, False), (8, 40, False), (4, 48, False), (16, 4, False), (64, 1, False)),
        *((2, 96, False), (1, 32, False), (3, 5, False)),
    ],
)
def test_which_rows_are_tiles_that_end_with_a_head(heads, width, whole):
    assert tiles.in_tiles.py_func(heads, width) == whole


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [0, 8, 24])
def test_eight_products_at_once(width, kind):
    out, a, b = np.full(20, BESIDE, kind), numbers(kind, 200), numbers(kind, 210)
    products(out, 5, a, 3, b, 7, width)
    left, right = a[3 : 3 + 8 * width].reshape(8, width), b[7 : 7 + 8 * width].reshape(8, width)
    assert_close(out, (left * right).sum(1), 5, 8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 3])
@pytest.mark.parametrize("width", [8, 16, 32, 64, 128, 192])
def test_weighted_sums_of_a_tile(width, count, kind):
    heads = 64 // width if width < 64 else 1
    step, others = 70, np.array([9, 2, 0, 1, 9], np.int32)
    out, x, weight = np.full(80, BESIDE, kind), numbers(kind, 220), numbers(kind, 4 * heads + 2)
    weighted(out, 6, x, 5, step, others, 1, count, weight, 2, heads, width)
    wanted = np.full(64, BESIDE, kind)
    for i in range(count):
        start = 5 + others[1 + i] * step
        shares = weight[2 + i * heads : 2 + (i + 1) * heads].repeat(64 // heads)
        wanted += shares * x[start : start + 64]
    assert_close(out, wanted, 6, 64)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("first", "last"), [(0, 0), (1, 4), (0, 5)])
def test_sums_of_a_tile_replace_what_was_there(first, last, kind):
    step, others = 70, np.array([1, 2, 0, 1, 2], np.int32)
    out, x = np.full(80, BESIDE, kind), numbers(kind, 220)
    summed(out, 6, x, 5, step, others, first, last, 2)
    rows = [x[5 + other * step :][:64] for other in others[first:last]]
    assert_close(out, np.sum(rows, 0) if rows else np.zeros(64), 6, 64)
