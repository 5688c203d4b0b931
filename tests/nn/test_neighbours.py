"""Nearest neighbours against scikit-learn, set by set."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from graphkit.nn import NearestNeighbours, nearest_neighbours

SIZES = (9, 5, 12)


@pytest.fixture
def points():
    batch = torch.repeat_interleave(torch.arange(3), torch.tensor(SIZES))
    return torch.randn(sum(SIZES), 3), batch


@pytest.mark.parametrize("loop", [False, True])
def test_against_scikit_learn(points, loop):
    x, batch = points
    edge_index = nearest_neighbours(x, 4, batch, loop)
    start = 0
    for size in SIZES:
        own = x[start : start + size].numpy()
        search = NearestNeighbors(n_neighbors=4).fit(own)
        wanted = search.kneighbors(own if loop else None, return_distance=False) + start
        found = edge_index[0].view(-1, 4)[start : start + size]
        assert np.array_equal(found.numpy(), wanted)
        start += size
    assert edge_index[1].tolist() == sorted([*range(sum(SIZES))] * 4)


def test_itself_comes_first_among_equal_points():
    edge_index = nearest_neighbours(torch.zeros(5, 2), 2, loop=True)
    assert edge_index[0].view(-1, 2)[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert (nearest_neighbours(torch.zeros(5, 2), 2).diff(dim=0) != 0).all()


def test_missing_sets_and_no_points(points):
    x, batch = points
    assert torch.equal(nearest_neighbours(x, 2, 3 * batch), nearest_neighbours(x, 2, batch))
    assert nearest_neighbours(x[:0], 2, batch[:0]).shape == (2, 0)
    assert NearestNeighbours(3)(x[:0]).shape == (2, 0)


def test_module_takes_all_points_of_small_sets(points):
    x, batch = points
    assert torch.equal(NearestNeighbours(4)(x, batch), nearest_neighbours(x, 4, batch, True))
    assert NearestNeighbours(3)(x[:1]).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_a_set_does_not_bound_the_neighbours_of_others(points):
    x, batch = points
    sources, targets = NearestNeighbours(9)(x, batch).view(2, -1, 9)
    assert (targets == torch.arange(sum(SIZES))[:, None]).all()
    for own, size in zip(sources.split(SIZES), SIZES, strict=True):
        start = int(own[0, 0])
        alone = NearestNeighbours(9)(x[start : start + size])[0].view(-1, 9)
        assert torch.equal(own - start, alone)
    small = sources[9:14]
    assert torch.equal(small[:, :5], nearest_neighbours(x[9:14], 5, loop=True)[0].view(-1, 5) + 9)
    assert (small[:, 5:] == torch.arange(9, 14)[:, None]).all()


def test_wrong_input_is_named(points):
    x, batch = points
    with pytest.raises(ValueError, match="5 points has no 5"):
        nearest_neighbours(x, 5, batch)
    with pytest.raises(ValueError, match="sorted"):
        nearest_neighbours(x, 2, batch.flip(0))
    with pytest.raises(ValueError, match=r"'batch'.*\[25\]"):
        nearest_neighbours(x, 2, batch[1:])
    with pytest.raises(ValueError, match=r"'x'.*\[26\]"):
        nearest_neighbours(x[:, 0], 2, batch)
    with pytest.raises(ValueError, match="NaN"):
        nearest_neighbours(x / 0 * 0, 2, batch)
    for call in (lambda: nearest_neighbours(x, 0), lambda: NearestNeighbours(0)):
        with pytest.raises(ValueError, match=r"'k'.*0"):
            call()


def test_large_half_points_are_finite() -> None:
    x = torch.arange(3000.0).view(-1, 1).half()
    assert nearest_neighbours(x, 2).shape == (2, 6000)
    with pytest.raises(ValueError, match="'x' holds NaN or infinite"):
        nearest_neighbours(x * torch.inf, 2)
