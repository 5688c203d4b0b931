"""Eight heads at a time, in single precision: each step against the same in double precision."""

import numpy as np
import pytest

from graphkit.ops.cpu.kernels import lanes
from graphkit.ops.cpu.kernels.compiling import helper, kernel

BESIDE = np.float32(3.0)
INF = np.inf


@helper
def _by_eight(block, heads, factor):
    return 8 * factor


@helper
def _by_one(block, heads, factor):
    return factor


choice = lanes.in_lanes_or(_by_eight, _by_one, 1)


@kernel
def chosen(block, heads, factor):
    return choice(block, heads, factor)


@kernel
def scores(near, n, far, f, slope, block, b, top, t):
    lanes.score_lanes(near, n, far, f, slope, block, b, top, t)


@kernel
def weights(block, b, shift, s, low, t):
    lanes.weigh_lanes(block, b, shift, s, low, t)


@kernel
def settled(top, t, shift, s, low, n, decay, d):
    return lanes.settle_lanes(top, t, shift, s, low, n, decay, d)


@kernel
def shares(out, o, low, n):
    lanes.share_lanes(out, o, low, n)


@kernel
def back(near, n, targets, t, x, i, grad, j, kept, p, step, s, alpha, a, slope, heads, width):
    lanes.back_lanes(
        near, n, targets, t, x, i, grad, j, kept, p, step, s, alpha, a, slope, heads, width
    )


@kernel
def centred(alpha, a, step, s, softmax, t, kept, p, heads):
    lanes.centre_lanes(alpha, a, step, s, softmax, t, kept, p, heads)


def numbers(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def beside(values, at, size=8):
    return np.delete(values, range(at, at + size))


def test_single_precision_and_heads_by_the_eight_take_lanes():
    for kind, heads, wanted in (
        *((np.float32, 8, 16), (np.float32, 24, 16), (np.float32, 4, 2)),
        *((np.float64, 8, 2), (np.float32, 12, 2)),
    ):
        assert chosen(np.zeros(1, kind), heads, 2) == wanted
    with pytest.raises(TypeError, match="kernels alone"):
        choice(np.zeros(1), 8, 2)


def test_scores_leak_and_the_largest_is_kept():
    near, far, block = numbers(20), numbers(30), np.full(20, BESIDE)
    near[2], far[5] = 0, 0
    near[3], near[4] = np.nan, 50
    top = np.full(12, -0.3, np.float32)
    scores(near, 2, far, 5, np.float32(0.25), block, 3, top, 1)
    raw = (near[2:10] + far[5:13]).astype(np.float32)
    wanted = np.where(raw > 0, raw, raw * np.float32(0.25))
    np.testing.assert_array_equal(block[3:11], wanted)
    np.testing.assert_array_equal(top[1:9], np.fmax(wanted, np.float32(-0.3)))
    assert (beside(block, 3) == BESIDE).all()
    assert (beside(top, 1) == np.float32(-0.3)).all()


def test_exponentials_below_the_peak_and_their_sums():
    block, shift, low = np.full(20, BESIDE), numbers(12), np.full(12, BESIDE)
    below = np.array([0, -1e-3, -0.4, -1, -30, -86.9, -87.1, -INF], np.float32)
    shift[2:10] = [0, 0, 1, 2, 0, 0, 0, 0]
    block[3:11] = below + shift[2:10]
    wanted = np.exp(block[3:11].astype(np.float64) - shift[2:10])
    wanted[6] = 0
    weights(block, 3, shift, 2, low, 1)
    np.testing.assert_allclose(block[3:11], wanted, rtol=4e-7)
    np.testing.assert_allclose(low[1:9], BESIDE + wanted, rtol=2e-7)
    assert (beside(block, 3) == BESIDE).all()
    assert (beside(low, 1) == BESIDE).all()
    block[3] = np.nan
    weights(block, 3, shift, 2, low, 1)
    assert np.isnan(block[3])
    # The series is that of double precision between whole powers of two as well.
    for start in np.linspace(-20, 0, 40):
        x = np.linspace(start, start / 2, 8).astype(np.float32)
        block[3:11], shift[:] = x, 0
        weights(block, 3, shift, 2, low, 1)
        np.testing.assert_allclose(block[3:11], np.exp(x.astype(np.float64)), rtol=3e-7)


@pytest.mark.parametrize("rises", [False, True])
def test_a_peak_that_rises_shrinks_what_was_summed(rises):
    top = np.array([0, 1, 2, INF, -INF, 3, -1, 0.5, 0.25, 9], np.float32)
    shift, low, decay = top.copy(), np.full(10, BESIDE), np.full(10, BESIDE)
    shift[4:6] = 0
    if rises:
        shift[2], shift[6] = 1.5, -4
    # What counts nothing yet does not shrink, wherever its peak was.
    low[5] = 0
    low[4] = 0
    shift[5] = -7
    before = low.copy()
    # Lanes 1 to 8; an infinite peak is taken as 0.
    peak = np.where(np.isinf(top), 0, top)[1:9]
    shift[3] = 0
    moved = (low[1:9] != 0) & (peak != shift[1:9])
    wanted = np.where(moved, np.exp(shift[1:9].astype(np.float64) - peak), 1)
    assert settled(top, 1, shift, 1, low, 1, decay, 1) == rises
    np.testing.assert_array_equal(shift[1:9], peak)
    np.testing.assert_allclose(decay[1:9], wanted, rtol=4e-7)
    np.testing.assert_allclose(low[1:9], before[1:9] * wanted, rtol=4e-7)
    assert (beside(decay, 1) == BESIDE).all()
    assert (beside(low, 1) == BESIDE).all()


def test_shares_of_nothing_are_nothing():
    low, out = np.array([9, 1, 2, 0, 4, 0.5, 8, 3, 5, 7], np.float32), np.full(10, BESIDE)
    shares(out, 1, low, 1)
    np.testing.assert_allclose(out[1:9], [1, 0.5, 0, 0.25, 2, 0.125, 1 / 3, 0.2], rtol=1e-7)
    assert (beside(out, 1) == BESIDE).all()


@pytest.mark.parametrize("width", [8, 16])
def test_weights_and_steps_of_an_edge(width):
    """Sixteen heads, of which the second eight are asked for."""
    heads, slope = 16, np.float32(0.25)
    near, kept = numbers(20), np.abs(numbers(21))
    near[4] = 0
    targets = numbers(80)
    score, peak, share, centre = (targets[2 + 16 * n + 8 :][:8] for n in range(4))
    score[0] = 0
    peak[:] = 3 + np.abs(peak)
    x, grad = numbers(8 * width + 3), numbers(8 * width + 6)
    kept[7] = 0
    step, alpha = np.full(14, BESIDE), np.full(15, BESIDE)
    back(near, 4, targets, 10, x, 3, grad, 6, kept, 5, step, 2, alpha, 3, slope, heads, width)
    raw = near[4:12].astype(np.float64) + score
    weight = np.exp(np.where(raw > 0, raw, raw / 4) - peak) * share
    products = (x[3:].reshape(8, width).astype(np.float64) * grad[6:].reshape(8, width)).sum(1)
    change = (products * kept[5:13] - centre) * weight
    change = np.where(raw > 0, change, change / 4)
    np.testing.assert_allclose(alpha[3:11], weight * kept[5:13], rtol=1e-5)
    np.testing.assert_allclose(step[2:10], change, rtol=1e-4, atol=1e-6)
    assert (beside(step, 2) == BESIDE).all()
    assert (beside(alpha, 3) == BESIDE).all()


def test_gradients_of_weights_become_those_of_scores():
    heads, softmax, kept = 16, numbers(60), np.abs(numbers(20))
    peak, share, centre = (softmax[3 + 16 * n :][:8] for n in range(3))
    peak[:] = 3 + np.abs(peak)
    alpha, step = numbers(14), numbers(15)
    weight = np.exp(alpha[2:10].astype(np.float64) - peak) * share
    change = (step[4:12].astype(np.float64) * kept[5:13] - centre) * weight
    others = beside(alpha, 2).copy(), beside(step, 4).copy()
    centred(alpha, 2, step, 4, softmax, 3, kept, 5, heads)
    np.testing.assert_allclose(alpha[2:10], weight * kept[5:13], rtol=1e-5)
    np.testing.assert_allclose(step[4:12], change, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(beside(alpha, 2), others[0])
    np.testing.assert_array_equal(beside(step, 4), others[1])
