"""Gradients of the vectors of eight heads of eight, beside sums in double precision."""

import numpy as np
import pytest

from graphkit.ops.cpu.kernels import narrow_ends
from graphkit.ops.cpu.kernels.compiling import kernel


@kernel
def summed(x, first, last, src, dst, by_src, by_dst, grad_x, sums, t, heads, width):
    return narrow_ends.narrow_ends_back(
        x, first, last, src, dst, by_src, by_dst, grad_x, sums, t, heads, width
    )


@pytest.mark.parametrize(("first", "last"), [(0, 0), (1, 2), (2, 9)])
def test_rows_are_added_and_summed(first, last):
    draw = np.random.default_rng(0)
    x, grad_x = draw.standard_normal((2, 11, 8, 8)).astype(np.float32)
    vectors = draw.standard_normal((2, 8, 8)).astype(np.float32)
    grads = draw.standard_normal((2, 11, 8)).astype(np.float32)
    sums = draw.standard_normal((4, 8, 8)).astype(np.float32)
    total, table = grad_x.copy().ravel(), sums.copy().ravel()
    given = (*(v.ravel() for v in vectors), *(g.ravel() for g in grads))
    assert summed(x.ravel(), first, last, *given, total, table, 64, 8, 8)
    rows, wanted = slice(first, last), grad_x.astype(np.float64)
    wanted[rows] += np.einsum("enh,ehc->nhc", grads[:, rows], vectors)
    np.testing.assert_allclose(total.reshape(wanted.shape), wanted, rtol=1e-5, atol=1e-5)
    others = sums.astype(np.float64)
    others[1:3] += np.einsum("enh,nhc->ehc", grads[:, rows], x[rows])
    np.testing.assert_allclose(table.reshape(others.shape), others, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "heads", "width"), [(np.float64, 8, 8), (np.float32, 16, 4), (np.float32, 8, 4)]
)
def test_other_rows_are_left_alone(kind, heads, width):
    values = np.ones(200, kind)
    assert not summed(*[values, 0, 1], *[values] * 6, 0, heads, width)
    assert (values == 1).all()
