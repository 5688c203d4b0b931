"""Blocks of scores: read, kept below a running maximum, dropped."""

import numpy as np
import pytest

from graphkit.ops.cpu.kernels import blocks
from graphkit.ops.cpu.kernels.compiling import kernel
from graphkit.ops.dropout import keys, threshold
from tests.ops.oracles import is_kept, mask_word

BESIDE, INF = 3.0, np.inf
OTHERS, PERM = np.array([9, 2, 0, 1], np.int32), np.array([9, 4, 0, 3], np.int32)
NO_ORDER = np.empty(0, np.int32)


@kernel
def read(block, start, size, perm, near, n, far, f, stride, edge, e, heads, other):
    blocks.read_scores(block, start, size, OTHERS, perm, near, n, far, f, stride, edge, e, heads)
    if edge.shape[0] > 0:
        blocks.add_edge_scores(other, start, size, perm, near, n, edge, e, heads)


@kernel
def leaked(block, out, n, slope):
    blocks.leak(block, out, n, slope)


@kernel
def taken_in(block, size, top, shift, low, decay, heads):
    return blocks.take_in(block, size, top, shift, low, decay, heads)


@kernel
def shared(out, o, low, n, heads):
    blocks.shares(out, o, low, n, heads)


@kernel
def drawn(kept, start, size, perm, base, heads, keys, scale):
    blocks.draw(kept, start, size, perm, base, heads, keys, scale)


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("with_edges", [False, True])
def test_scores_of_entries(stride, with_edges, ordered):
    heads, draw = 3, np.random.default_rng(0)
    near, far, edge = draw.standard_normal((3, 90))
    edge = edge if with_edges else edge[:0]
    block, other = np.full((2, 12), BESIDE)
    perm = NO_ORDER if ordered else PERM
    read(block, 1, 3, perm, near, 4, far, 2, stride, edge, 5, heads, other)
    for i, (node, entry) in enumerate(
        zip((2, 0, 1), (1, 2, 3) if ordered else (4, 0, 3), strict=False)
    ):
        own, place = near[4:7], (2 + node) * stride * heads
        wanted = own + far[place : place + heads]
        if with_edges:
            features = edge[(5 + entry) * heads :][:heads]
            wanted = wanted + features
            np.testing.assert_allclose(other[i * heads : (i + 1) * heads], own + features)
        np.testing.assert_allclose(block[i * heads : (i + 1) * heads], wanted)
    assert (block[9:] == BESIDE).all()
    assert (other[9 if with_edges else 0 :] == BESIDE).all()


def test_what_is_not_above_zero_leaks():
    block, out = np.array([2.0, 0.0, -2.0, -4.0]), np.full(4, BESIDE)
    leaked(block, out, 3, 0.25)
    assert out.tolist() == [2, 0, -0.5, BESIDE]


@pytest.mark.parametrize(("heads", "kind"), [(3, np.float64), (8, np.float32), (5, np.float32)])
def test_sums_below_a_maximum_that_rises(heads, kind):
    """Blocks of two rows; the second has larger scores in one head alone, the first has nothing
    in another one."""
    draw = np.random.default_rng(1)
    scores = draw.uniform(-3, -1, (4, heads)).astype(kind)
    scores[3, 0] = 2
    scores[:2, 1], scores[2:, 1] = -INF, -5
    scores[:, 2] = -INF
    top, shift, low = np.full(heads, -INF, kind), np.zeros(heads, kind), np.zeros(heads, kind)
    decay = np.full(heads, BESIDE, kind)
    first = scores[:2].ravel().copy()
    assert not taken_in(first, 2, top, shift, low, decay, heads)
    assert (decay == 1).all()
    before = low.copy()
    second = scores[2:].ravel().copy()
    assert taken_in(second, 2, top, shift, low, decay, heads)
    peak = scores.max(0).astype(np.float64)
    peak[np.isinf(peak)] = 0
    wanted = np.exp(scores.astype(np.float64) - peak)
    np.testing.assert_array_equal(top, scores.max(0))
    np.testing.assert_allclose(shift, peak, rtol=1e-7)
    np.testing.assert_allclose(low, wanted.sum(0), rtol=1e-6)
    np.testing.assert_allclose(second.reshape(2, heads), wanted[2:], rtol=1e-6)
    moved = before != 0
    old = scores[:2].max(0).astype(np.float64)
    np.testing.assert_allclose(decay[moved], np.exp(old - peak)[moved], rtol=1e-6)
    assert (decay[~moved] == 1).all()


@pytest.mark.parametrize(("heads", "kind"), [(3, np.float64), (8, np.float32)])
def test_shares(heads, kind):
    low, out = np.arange(12, dtype=kind), np.full(12, BESIDE, kind)
    low[3] = 0
    shared(out, 1, low, 2, heads)
    wanted = [0 if value == 0 else 1 / value for value in low[2 : 2 + heads]]
    np.testing.assert_allclose(out[1 : 1 + heads], wanted, rtol=1e-6)
    assert (np.delete(out, range(1, 1 + heads)) == BESIDE).all()


@pytest.mark.parametrize("ordered", [False, True])
def test_masks_hang_on_the_entry(ordered):
    heads, words = 5, np.array([*keys(1234), threshold(0.4)], np.uint32)
    kept, perm = np.full(17, BESIDE), NO_ORDER if ordered else PERM
    drawn(kept, 1, 3, perm, 70, heads, words, 2.5)
    entries = (1, 2, 3) if ordered else (4, 0, 3)
    counters = [(70 + entry) * heads + h for entry in entries for h in range(heads)]
    wanted = [2.5 if is_kept(counter, 1234, 0.4) else 0 for counter in counters]
    assert kept.tolist() == [*wanted, BESIDE, BESIDE]
    assert 0 < wanted.count(0) < len(wanted)


def test_the_word_that_is_the_threshold_itself_is_kept():
    for more, wanted in ((0, 2.5), (1, 0)):
        words = np.array([*keys(7), mask_word(3, 7) + more], np.uint32)
        kept = np.full(4, BESIDE)
        drawn(kept, 3, 1, NO_ORDER, 0, 1, words, 2.5)
        assert kept.tolist() == [wanted, BESIDE, BESIDE, BESIDE]
