"""Statistics of groups: ties, NaN and infinities, also where chunks cut a group."""

from __future__ import annotations

import math

import pytest
import torch

from graphkit import ops
from tests.ops.compared import DOUBLE, FLOAT, TARGETS, assert_dense, cut_graph


@pytest.mark.parametrize("name", ["segment_max", "segment_logsumexp", "segment_softmax"])
@pytest.mark.parametrize(
    ("shape", "dtype", "order", "scale"),
    [
        ((1, 1), DOUBLE, "none", 1.0),
        ((3, 5), FLOAT, "target", 4.0),
        ((1, 7), DOUBLE, "source", 30.0),
    ],
)
def test_equals_dense_algebra(name, shape, dtype, order, scale):
    assert_dense(name, shape, dtype, order, scale=scale)


@pytest.mark.parametrize(
    ("shape", "dtype", "batch"), [((3, 1), DOUBLE, 0), ((8, 1), FLOAT, 2), ((2, 1), DOUBLE, 3)]
)
def test_scores_of_edges(shape, dtype, batch):
    assert_dense("edge_softmax", shape, dtype, batch=batch, scale=4.0)


@pytest.mark.parametrize("ordered", [False, True])
def test_the_first_of_equal_entries_wins(ordered):
    """Also across chunks: a group of 2,000 entries, the largest of which are far apart."""
    index = torch.zeros(2100, dtype=torch.long)
    index[::21] = 2
    index = index.sort().values if ordered else index
    x = torch.full((2100, 2), -9.0)
    members = (index == 0).nonzero().view(-1)
    for column, winners in enumerate(((5, 1990), (1200, 1201))):
        x[members[list(winners)], column] = -1.0
    value, arg = ops.segment_reduce(x, index, 4, "max", True)
    first = [members[5].item(), members[1200].item()]
    other = (index == 2).nonzero()[0].item()
    assert value.tolist() == [[-1.0, -1.0], [0.0, 0.0], [-9.0, -9.0], [0.0, 0.0]]
    assert arg.tolist() == [first, [2100, 2100], [other, other], [2100, 2100]]


@pytest.mark.parametrize("place", [3, 1990])
def test_nan_wins_once_met_and_minus_infinity_against_nothing(place):
    index = torch.zeros(2000, dtype=torch.long)
    x = torch.full((2000,), -math.inf)
    value, arg = ops.segment_reduce(x, index, 1, "max", True)
    assert (value.item(), arg.item()) == (-math.inf, 0)
    x[place], x[place + 5], x[1] = math.nan, math.nan, 7.0
    value, arg = ops.segment_reduce(x, index, 1, "max", True)
    assert math.isnan(value.item())
    assert arg.item() == place


def test_peaks_far_apart_in_pieces_of_one_group():
    """Each chunk has its own peak, some have nothing; the sum is that below the largest."""
    index, x = torch.zeros(4000, dtype=torch.long), torch.full((4000,), -math.inf)
    assert ops.segment_reduce(x, index, 1, "logsumexp").item() == -math.inf
    assert (ops.segment_softmax(x, index, 1) == 0).all()
    for places in ((3990,), (10, 3990), (10, 1900, 3000)):
        for rising in (1, -1):
            x = torch.full((4000,), -math.inf, dtype=torch.float64)
            for number, place in enumerate(places):
                x[place] = -500.0 + rising * number
            found = ops.segment_reduce(x, index, 1, "logsumexp")
            torch.testing.assert_close(found, x.logsumexp(0, keepdim=True))
            torch.testing.assert_close(ops.segment_softmax(x, index, 1), x.softmax(0))


def test_plus_infinity_is_not_taken_off_itself():
    score = torch.tensor([0.0, math.inf, 1.0, 2.0])
    found = ops.segment_reduce(score, torch.tensor([0, 0, 1, 1]), 2, "logsumexp")
    torch.testing.assert_close(found, torch.tensor([math.inf, math.log(math.e + math.e**2)]))


def test_groups_of_several_columns_in_a_batch():
    edges, generator = cut_graph(), torch.Generator().manual_seed(0)
    score = torch.randn(2, edges.size(1), 3, generator=generator, dtype=torch.float64)
    together = ops.edge_softmax(edges, score, TARGETS)
    for b in range(2):
        for h in range(3):
            torch.testing.assert_close(
                together[b, :, h], ops.edge_softmax(edges, score[b, :, h], TARGETS)
            )
    total = torch.zeros(2, TARGETS, 3, dtype=torch.float64).index_add_(1, edges[1], together)
    filled = edges[1].bincount(minlength=TARGETS) > 0
    torch.testing.assert_close(total[:, filled], torch.ones_like(total[:, filled]))
