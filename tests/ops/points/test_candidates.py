"""Searches that name candidates: ties beyond the last one, rows of zeros, sets moved apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphkit.ops.points import candidates as code
from graphkit.ops.points.query import join
from tests.ops.points.test_exhaustive import all_pairs, numbers
from tests.ops.points.test_query import asked


def found(query, search=code.tree_blocks):
    counts, places = join(search(query), query)
    return [part.tolist() for part in places.split(counts.tolist())]


@pytest.mark.parametrize("kind", ["real", "whole", "tied"])
@pytest.mark.parametrize("count", [1, 3, 40, None])
@pytest.mark.parametrize("radius", [torch.inf, 0.9, 1.0])
@pytest.mark.parametrize("itself", [True, False])
def test_a_tree_finds_all_neighbours_in_order(kind, count, radius, itself, monkeypatch):
    monkeypatch.setattr(code, "BUDGET", 60)
    sets = [0] * 9 + [2] * 4 + [3] + [5] * 8
    centres, centre_sets = (None, None) if itself else (numbers(kind, 7, 3), [0, 0, 1, 3, 3, 5, 6])
    query = asked(
        numbers(kind, 22, 3), sets, centres, centre_sets, count=count, radius=radius, itself=itself
    )
    assert found(query) == all_pairs(query)


@pytest.mark.parametrize("count", [1, 4, 30])
@pytest.mark.parametrize("itself", [True, False])
def test_angles_with_rows_of_zeros(count, itself, monkeypatch):
    monkeypatch.setattr(code, "BUDGET", 12)
    points = torch.nn.functional.normalize(torch.tensor(numbers("tied", 26, 2)).double(), dim=1)
    points[[3, 20]] = 0
    sets = [0] * 12 + [1] * 14
    options = {"count": count, "cosine": True, "itself": itself}
    centres, centre_sets = (None, None) if itself else (points[::5].tolist(), [0, 0, 0, 1, 1, 1])
    query = asked(points.tolist(), sets, centres, centre_sets, **options)
    assert found(query) == all_pairs(query)


@pytest.mark.parametrize("count", [2, None])
def test_many_ties_are_looked_for_until_there_are_no_more(count):
    """Thirty-six points of a circle are equally far, wherever their numbers lie."""
    angle = torch.arange(36) * 10
    exact = torch.stack([torch.cos(angle.deg2rad()), torch.sin(angle.deg2rad())], 1).double()
    points = torch.cat([exact.round(decimals=1), torch.zeros(3, 2).double()])
    query = asked(points.tolist(), centres=[[0.0, 0.0]], count=count)
    assert found(query) == all_pairs(query)


def test_sets_lie_further_apart_than_any_points_of_one():
    query = asked([[3.0, -4.0], [1.0, 1.0]], [0, 2], [[0.0, 5.0]], [1])
    points, centres = code.moved_apart(query)
    gap = 4 * 2**0.5 * 5 + 1
    np.testing.assert_allclose(points, [[3, -4, 0], [1, 1, 2 * gap]])
    np.testing.assert_allclose(centres, [[0, 5, gap]])
    one = asked([[3.0, -4.0], [0.0, 0.0]], cosine=True)
    points, _ = code.moved_apart(one)
    np.testing.assert_allclose(points, [[3, -4, 0], [0, 0, 1]])
    points, _ = code.moved_apart(asked([[3.0, -4.0], [1.0, 1.0]]))
    np.testing.assert_allclose(points, [[3, -4], [1, 1]])


def test_a_row_is_sure_if_nothing_as_near_may_be_left_out():
    points = [[0.0], [1.0], [1.0], [2.0], [9.0]]
    query = asked(points, centres=[[0.0]] * 4, count=2)
    rows = np.arange(4)
    columns = np.array([[1, 0, 2], [0, 1, 3], [0, 1, 5], [3, 1, 0]])
    apart = np.array([[0.0, 1, 1], [0, 1, 2], [0, 1, np.inf], [0, 1, 2]])
    block, sure = code.settle(query, rows, columns, apart)
    assert sure.tolist() == [False, True, True, True]
    assert block.rows.tolist() == [1, 2, 3]
    assert block.counts.tolist() == [2, 2, 2]
    assert block.places.tolist() == [0, 1, 0, 1, 0, 1]
    block, sure = code.settle(query, rows, columns)
    assert sure.all()
    everything = np.array([[4, 3, 2, 1, 0]])
    block, sure = code.settle(query, rows[:1], everything, np.array([[0.0, 1, 1, 2, 2]]))
    assert sure.all()
    assert block.places.tolist() == [0, 1]
    # What comes last belongs to another set: nothing nearer can follow.
    query = asked(points, [0, 0, 0, 0, 1], [[0.0]], count=2)
    block, sure = code.settle(query, rows[:1], np.array([[0, 1, 4]]), np.array([[0.0, 1, 1]]))
    assert sure.all()


def test_candidates_of_neighbour_descent_are_asked_for_and_measured(monkeypatch):
    import sys
    import types

    made = []

    class NNDescent:
        def __init__(self, points, **options):
            made.append((points, options))
            self.neighbor_graph = (np.array([[1, -1, 2, 0]] * 3), None)

        def query(self, centres, width):
            made.append((centres, width))
            return np.array([[2, 1, 0]] * len(centres)), None

    package = types.ModuleType("pynndescent")
    package.NNDescent = NNDescent
    monkeypatch.setitem(sys.modules, "pynndescent", package)
    monkeypatch.setattr(code, "BUDGET", 4)
    points = [[0.0], [1.0], [5.0]]
    query = asked(points, count=1, itself=True, workers=3)
    assert found(query, code.descent_blocks) == [[1], [0], [1]]
    given, options = made[0]
    assert given.dtype == np.float32
    assert options == {"n_neighbors": 15, "random_state": 0, "n_jobs": 3, "compressed": False}
    query = asked([[float(n)] for n in range(20)], centres=[[0.2], [1.9]], count=14)
    assert found(query, code.descent_blocks) == [[0, 1, 2], [2, 1, 0]]
    assert made[1][1]["n_neighbors"] == 16
    assert made[2][1] == 16
    assert made[2][0].dtype == np.float32
    monkeypatch.setitem(sys.modules, "pynndescent", None)
    with pytest.raises(ImportError, match=r'needs pynndescent: pip install "graphkit\[neigh'):
        found(query, code.descent_blocks)
