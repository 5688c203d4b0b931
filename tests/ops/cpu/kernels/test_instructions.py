"""Vectors of known width: one instruction at a time."""

import numpy as np
import pytest

from graphkit.ops.cpu.kernels import instructions as code
from graphkit.ops.cpu.kernels.compiling import kernel

BESIDE = 3.0
add4, replace2, product4 = (
    code.rowwise(4, code.add),
    code.rowwise(2, code.replace),
    code.rowwise(4, code.product),
)
scaled4, constant4, quotient4 = (
    code.rowwise(4, combine) for combine in (code.scaled, code.constant, code.quotient)
)
rows4, peaks4 = code.columnwise(4, code.add), code.columnwise(4, code.larger)
dot1, dot4, dot16 = (code.dot_of(width) for width in (1, 4, 16))
ask, ask_to_write = code.prefetch_for(0), code.prefetch_for(1)


@kernel
def rowwise(outs, o, x, p, factor):
    add4(outs[0], o, x, p, factor)
    replace2(outs[1], o, x, p, factor)
    product4(outs[2], o, x, p, factor)
    scaled4(outs[3], o, x, p, factor)
    constant4(outs[4], o, x, p, factor)
    quotient4(outs[5], o, x, p, factor)


@kernel
def columnwise(outs, o, x, p, step, count):
    rows4(outs[0], o, x, p, step, count)
    peaks4(outs[1], o, x, p, step, count)


@kernel
def products(out, a, i, b, j):
    out[0], out[1], out[2] = dot1(a, i, b, j), dot4(a, i, b, j), dot16(a, i, b, j)


@kernel
def powers(exponents, out):
    for i in range(exponents.shape[0]):
        out[i] = code.power_of_two(exponents[i])


@kernel
def in_order(values):
    total = code.plus(values[0], values[1])
    return code.plus(total, values[2])


@kernel
def through_a_borrower(pair):
    first, (second, number) = code.borrowed(pair)
    ask(first, 0)
    ask_to_write(second, 1)
    code.prefetch_row(first, 0, first.shape[0])
    second[1] = first[0] + number
    return first.shape[0]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_rows(kind):
    outs, x = np.full((6, 9), BESIDE, kind), np.arange(1, 12, dtype=kind)
    rowwise(outs, 3, x, 2, kind(0.5))
    piece = x[2:6]
    wanted = [BESIDE + piece / 2, piece[:2], BESIDE * piece]
    wanted += [np.full(4, BESIDE / 2), np.full(4, 0.5), BESIDE / piece]
    for out, value in zip(outs, wanted, strict=True):
        np.testing.assert_allclose(out[3 : 3 + len(value)], value, rtol=1e-6)
        assert (np.delete(out, range(3, 3 + len(value))) == BESIDE).all()


def test_columns_and_nan_that_is_passed_over():
    outs, x = np.full((2, 9), -BESIDE), -np.arange(1.0, 30) / 3
    x[2 + 6], x[4] = np.nan, -1e3
    columnwise(outs, 3, x, 2, 6, 3)
    rows = np.stack([x[2 + 6 * i : 6 + 6 * i] for i in range(3)])
    np.testing.assert_allclose(outs[0, 3:7], rows.sum(0) - BESIDE)
    np.testing.assert_allclose(outs[1, 3:7], np.fmax(np.fmax.reduce(rows), -BESIDE))
    for out in outs:
        assert (np.delete(out, range(3, 7)) == -BESIDE).all()
    columnwise(outs, 3, x, 2, 6, 0)
    np.testing.assert_allclose(outs[0, 3:7], rows.sum(0) - BESIDE)


def test_products():
    a, b, out = np.arange(1.0, 20), np.arange(3.0, 30), np.empty(3)
    products(out, a, 2, b, 5)
    assert out.tolist() == [a[2 : 2 + n] @ b[5 : 5 + n] for n in (1, 4, 16)]


def test_powers_of_two():
    exponents, out = np.arange(-126, 128, dtype=np.int32), np.empty(254, np.float32)
    powers(exponents, out)
    assert (out == np.exp2(exponents.astype(np.float64)).astype(np.float32)).all()


def test_sums_keep_their_order():
    """Fast math, as kernels have it, might add the last two first."""
    assert in_order(np.array([1e20, -1e20, 1.0])) == 1
    assert in_order(np.array([1.0, 1e20, -1e20])) == 0


def test_a_borrowed_tuple_is_the_same_arrays():
    first, second = np.arange(5.0, 50.0), np.zeros(3)
    assert through_a_borrower((first, (second, 2))) == 45
    assert second.tolist() == [0, 7, 0]
    # What was lent still belongs to who made it.
    assert first.sum() == np.arange(5.0, 50.0).sum()
