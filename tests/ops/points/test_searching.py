"""What comes before a search and after it."""

from __future__ import annotations

import math

import pytest
import torch

from graphkit.ops.points import searching as code
from tests.ops.points.test_query import asked

LINE = torch.tensor([0.0, 1.0, 3.0, 7.0])


def searched(x, y, sets=(None, None), count=2, radius=math.inf, **options):
    given = {"itself": False, "cosine": False, "workers": 1, "batch_size": None, "backend": None}
    return code.search(x, y, sets, count, radius, **{**given, **options})


@pytest.mark.parametrize("backend", [None, "tree", "exhaustive"])
def test_pairs_are_sorted_by_centre_and_nearness(backend):
    found = searched(LINE, torch.tensor([6.0, 0.9]), backend=backend)
    assert found.tolist() == [[0, 0, 1, 1], [3, 2, 1, 0]]
    found = searched(LINE, torch.tensor([6.0, 0.9]), count=None, radius=3.0, backend=backend)
    assert found.tolist() == [[0, 0, 1, 1, 1], [3, 2, 1, 0, 2]]


def test_sets_in_any_order_keep_their_numbers():
    x, y = torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([2.1, 0.2, 2.9])
    sets = torch.tensor([1, 0, 1, 0]), torch.tensor([1, 0, 0], dtype=torch.int32)
    found = searched(x, y, sets)
    assert found.tolist() == [[0, 0, 1, 1, 2, 2], [2, 0, 1, 3, 3, 1]]


def test_nothing_is_found_where_nothing_is():
    for given in ((LINE[:0], LINE), (LINE, LINE[:0])):
        found = searched(*given)
        assert (found.shape, found.dtype) == ((2, 0), torch.int64)
    assert searched(LINE, LINE, count=0).shape == (2, 0)


def test_loops_come_first_and_count():
    for count, wanted in (
        (2, [[0, 0, 1, 1, 2, 2, 3, 3], [0, 1, 1, 0, 2, 1, 3, 2]]),
        (1, [[0, 1, 2, 3], [0, 1, 2, 3]]),
    ):
        found = code.graph(LINE, None, True, count, math.inf, False, 1, None, None)
        assert found.tolist() == wanted
    found = code.graph(LINE, None, False, 1, math.inf, False, 1, None, None)
    assert found.tolist() == [[0, 1, 2, 3], [1, 0, 1, 2]]
    found = code.graph(LINE, None, True, None, 1.5, False, 1, None, None)
    assert found.tolist() == [[0, 0, 1, 1, 2, 3], [0, 1, 1, 0, 2, 3]]


def test_the_search_that_fits(monkeypatch):
    monkeypatch.setattr(code, "APPROXIMATE_FROM", 3)
    few, many = asked([[0.0] * 10] * 3), asked([[0.0] * 11] * 3)
    none, less = asked([[], [], []]), asked([[0.0] * 11] * 2)
    for query, backend, wanted in (
        *((few, None, "tree"), (many, None, "exhaustive"), (none, None, "exhaustive")),
        *((many, "tree", "tree"), (none, "tree", "exhaustive"), (few, "exhaustive", "exhaustive")),
        *((few, "approximate", "approximate"), (less, "approximate", "exhaustive")),
        (asked([[0.0]] * 2), "approximate", "tree"),
    ):
        assert code.backend_for(query, backend) == wanted
    elsewhere = asked([[0.0]] * 3)
    object.__setattr__(elsewhere, "points", elsewhere.points.to("meta"))
    assert code.backend_for(elsewhere, None) == "exhaustive"
    assert code.backend_for(elsewhere, "approximate") == "exhaustive"
    with pytest.raises(ValueError, match="backend='tree' needs 'x' on the CPU"):
        code.backend_for(elsewhere, "tree")


def test_points_are_double_and_directions_have_length_one():
    x = torch.tensor([1, 2], dtype=torch.int32)
    assert code.checked_points(x, "x", False).tolist() == [[1], [2]]
    assert code.checked_points(x, "x", False).dtype == torch.double
    tiny = torch.tensor([[3e-200, -4e-200], [3e200, 4e200], [0.0, 0.0]], dtype=torch.double)
    found = code.checked_points(tiny.requires_grad_(), "x", True)
    torch.testing.assert_close(found, torch.tensor([[0.6, -0.8], [0.6, 0.8], [0, 0]]).double())
    assert not found.requires_grad
    assert code.checked_points(torch.ones(0, 3), "x", True).shape == (0, 3)
    for wrong in (torch.ones(2, 2, 2), torch.ones(2, 2).cfloat(), torch.tensor(1.0)):
        with pytest.raises(ValueError, match=r"'y' must hold real numbers \[N, D\], got"):
            code.checked_points(wrong, "y", False)
    for wrong in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="'y' holds NaN or infinite values"):
            code.checked_points(torch.tensor([1.0, wrong]), "y", False)


def test_sets_are_whole_numbers_below_their_count():
    x = torch.ones(3, 1)
    assert code.checked_sets(None, x, "b", None).tolist() == [0, 0, 0]
    found = code.checked_sets(torch.tensor([0, 2, 1], dtype=torch.uint8), x, "b", 3)
    assert (found.tolist(), found.dtype) == ([0, 2, 1], torch.int64)
    assert code.checked_sets(torch.tensor([0, 0, 9]), x, "b", None).tolist() == [0, 0, 9]
    for batch, size, words in (
        (torch.tensor([0, 3, 1]), 3, r"'b' must be in \[0, 3\), it holds 0 to 3"),
        (torch.tensor([0, -1, 1]), None, r"'b' must be in .*number of sets.*it holds -1 to 1"),
        (torch.tensor([0, 1]), None, "'b' has 2 entries for 3 points"),
        (torch.zeros(3), None, "'b' must hold integers in one dimension"),
        (torch.zeros(3).cfloat(), None, "'b' must hold integers in one dimension"),
        (torch.zeros(3, 1).long(), None, "'b' must hold integers in one dimension"),
    ):
        with pytest.raises(ValueError, match=words):
            code.checked_sets(batch, x, "b", size)


def test_sorting_by_set_is_stable():
    x, sets = torch.arange(5.0).view(5, 1), torch.tensor([1, 0, 1, 0, 0])
    points, found, place = code.sorted_by_set(x, sets)
    assert found.tolist() == [0, 0, 0, 1, 1]
    assert place.tolist() == [1, 3, 4, 0, 2]
    assert points.view(-1).tolist() == [1, 3, 4, 0, 2]
    same = code.sorted_by_set(x, torch.tensor([0, 0, 1, 1, 2]))
    assert same[0] is x
    assert same[2].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("power", [-1060, -500, -399, 0, 399, 500, 1020])
def test_very_large_and_very_small_points_are_scaled_by_a_power_of_two(power):
    x, y = torch.tensor([[1.0], [-1.5]]).double(), torch.tensor([[0.25]]).double()
    scale = 2.0**power if power > -1000 else 2.0**-1000 * 2.0 ** (power + 1000)
    points, centres, radius = code.in_range(x * scale, y * scale, 0.5 * scale)
    if abs(power) < 400:
        assert points[1, 0] == -1.5 * scale
    assert points[0, 0] / centres[0, 0] == 4
    assert points[1, 0] / points[0, 0] == -1.5
    assert radius / points[0, 0] == 0.5
    assert math.isfinite(float(points.square().sum()))
    assert float(centres.square().min()) > 0
    empty = torch.zeros(0, 1).double()
    assert code.in_range(empty, torch.zeros(1, 1).double(), 3.0)[2] == 3.0


def test_options_are_refused_by_name():
    assert code.whole(torch.tensor(3), "k") == 3
    assert code.whole(1, "k") == 1
    with pytest.raises(ValueError, match="'k' must be at least 1, got 0"):
        code.whole(0, "k")
    with pytest.raises(TypeError, match=r"'k' must be a whole number, got 1\.0"):
        code.whole(1.0, "k")
    for flow in ("source_to_target", "target_to_source"):
        code.check_flow(flow)
    with pytest.raises(ValueError, match=r"'flow' must be .* got 'up'"):
        code.check_flow("up")
    assert code.check_radius(0, None, None) == (0.0, None)
    assert code.check_radius(2, 5, "tree") == (2.0, 5)
    for wrong in (-0.1, math.nan):
        with pytest.raises(ValueError, match="'r' must be at least 0, got"):
            code.check_radius(wrong, None, None)
    with pytest.raises(ValueError, match="'max_num_neighbors' must be at least 1"):
        code.check_radius(1, 0, None)
    with pytest.raises(ValueError, match="'approximate' finds nearest neighbours"):
        code.check_radius(1, None, "approximate")
    for workers in (0, -2, True):
        with pytest.raises(ValueError, match="'num_workers' must be -1 or at least 1"):
            searched(LINE, LINE, workers=workers)
    for workers in (-1, 1, 2):
        assert searched(LINE, LINE, count=1, workers=workers).tolist() == [[0, 1, 2, 3]] * 2
    with pytest.raises(ValueError, match=r"'backend' must be one of .*'pyg-lib'.* got 'gpu'"):
        searched(LINE, LINE, backend="gpu")
    with pytest.raises(ValueError, match="'x' has 1 coordinates, 'y' 2"):
        searched(LINE, torch.ones(2, 2))
    batch = torch.zeros(1).long()
    for itself, sets, name in (
        *((True, (batch, batch), "batch"), (False, (batch, None), "batch_x")),
        (False, (None, batch), "batch_y"),
    ):
        with pytest.raises(ValueError, match=f"'{name}' has 1 entries for 4 points"):
            searched(LINE, LINE, sets, itself=itself)
