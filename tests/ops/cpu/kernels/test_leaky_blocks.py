"""The way back through the LeakyReLU for a block of entries, in tiles and beside them."""

import numpy as np
import pytest

from graphkit.ops.cpu.kernels import leaky_blocks
from graphkit.ops.cpu.kernels.compiling import kernel

BESIDE = 3.0


@kernel
def back(total, t, sums, a, rows, steps, slope, size, heads, width, keep, summed):
    if summed:
        leaky_blocks.leaky_back_summed(
            total, t, sums, a, rows, steps, slope, size, heads, width, keep
        )
    else:
        leaky_blocks.leaky_back(total, t, sums, a, rows, steps, slope, size, heads, width, keep)


@pytest.mark.parametrize("summed", [False, True])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(
    ("heads", "width"), [(8, 8), (4, 16), (2, 32), (1, 64), (1, 128), (16, 8), (3, 5), (8, 24)]
)
def test_gradients_of_a_block(heads, width, keep, summed):
    draw, features = np.random.default_rng(0), heads * width
    rows, steps = draw.standard_normal((3, heads, width)), draw.standard_normal((3, heads))
    rows[np.abs(rows) < 0.1] = 0
    total, sums = np.full(features + 9, BESIDE), np.full(features + 9, BESIDE)
    change = np.where(rows > 0, 1, 0.25) * steps[..., None]
    memory = rows.ravel().copy()
    back(total, 4, sums, 5, memory, steps.ravel(), 0.25, 3, heads, width, keep, summed)
    wanted = BESIDE + change.sum(0).ravel()
    np.testing.assert_allclose(total[4 : 4 + features], wanted, rtol=1e-12, atol=1e-13)
    products = (rows * change).sum(0).ravel() if summed else np.zeros(features)
    np.testing.assert_allclose(sums[5 : 5 + features], BESIDE + products, rtol=1e-12, atol=1e-13)
    for values, at in ((total, 4), (sums, 5)):
        assert (np.delete(values, range(at, at + features)) == BESIDE).all()
    if keep:
        np.testing.assert_allclose(memory, change.ravel())
