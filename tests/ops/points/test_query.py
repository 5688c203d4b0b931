"""Distances of pairs, equal points, and neighbours put together."""

from __future__ import annotations

import pytest
import torch

from graphkit.ops.points import query as code


def asked(points, sets=None, centres=None, centre_sets=None, **options):
    points = torch.tensor(points, dtype=torch.double)
    sets = torch.zeros(len(points)).long() if sets is None else torch.tensor(sets)
    centres = points if centres is None else torch.tensor(centres, dtype=torch.double)
    if centre_sets is None:
        centre_sets = sets if centres is points else torch.zeros(len(centres)).long()
    else:
        centre_sets = torch.tensor(centre_sets)
    places = torch.arange(len(points))
    return code.Query(points, places, sets, centres, centre_sets, **options)


POINTS = [[0.0, 0.0], [3.0, 4.0], [0.0, 2.0], [9.0, 9.0]]
ROWS, COLUMNS = torch.tensor([[0, 0], [1, 0]]), torch.tensor([[1, 2], [1, 3]])


@pytest.mark.parametrize("budget", [1, 4, 1 << 22])
def test_squares_are_summed_part_by_part(budget, monkeypatch):
    monkeypatch.setattr(code, "BUDGET", budget)
    query = asked(POINTS)
    assert query.squared_distances(ROWS, COLUMNS).tolist() == [[25, 4], [0, 162]]
    assert query.centres.tolist() == POINTS


def test_strangers_are_infinitely_far():
    inf = torch.inf
    query = asked(POINTS, itself=True)
    assert query.squared_distances(ROWS, COLUMNS).tolist() == [[25, 4], [inf, 162]]
    for radius, wanted in ((5.0, 25), (4.999, inf)):
        found = asked(POINTS, radius=radius).squared_distances(ROWS, COLUMNS)
        assert found.tolist() == [[wanted, 4], [0, inf]]
    query = asked(POINTS, sets=[0, 0, 1, 1])
    assert query.squared_distances(ROWS, COLUMNS).tolist() == [[25, inf], [0, inf]]


def test_directions_without_length_are_at_a_right_angle():
    query = asked([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], cosine=True)
    rows, columns = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, 1, 0, 2, 3])
    assert query.squared_distances(rows, columns).tolist() == [2, 2, 2, 2, 4]


def test_defaults_ask_for_everything():
    query = asked(POINTS)
    assert (query.count, query.radius, query.itself, query.cosine, query.workers) == (
        *(None, torch.inf, False, False),
        1,
    )


def test_spare_copies_of_a_place_go_the_last_ones_first():
    points = [[1.0, 2.0], [5.0, 5.0], [1.0, 2.0], [1.0, 2.0], [2.0, 1.0], [1.0, 2.0]]
    found = asked(points, count=1).without_spare_copies()
    assert found.places.tolist() == [0, 1, 2, 4]
    assert found.points.tolist() == [points[place] for place in (0, 1, 2, 4)]
    assert found.point_sets.tolist() == [0] * 4
    assert len(found.centres) == 6
    # Other sets have places of their own.
    apart = asked(points, sets=[0, 0, 0, 1, 1, 1], count=1)
    assert apart.without_spare_copies() is apart
    apart = asked([[1.0]] * 6, sets=[0, 0, 0, 1, 1, 1], count=1).without_spare_copies()
    assert apart.places.tolist() == [0, 1, 3, 4]
    assert apart.point_sets.tolist() == [0, 0, 1, 1]
    for options in ({"count": 3}, {"count": None}):
        query = asked(points, **options)
        assert query.without_spare_copies() is query
    single = asked([[1.0]], count=1)
    assert single.without_spare_copies() is single


def block(rows, counts, places):
    return code.Block(*(torch.tensor(part, dtype=torch.long) for part in (rows, counts, places)))


@pytest.mark.parametrize("count", [None, 2])
def test_blocks_are_joined_in_the_order_of_the_centres(count):
    query = asked(POINTS, count=count)
    blocks = [block([3, 1], [1, 2], [7, 8, 9]), block([0], [2], [5, 4]), block([2], [0], [])]
    counts, places = code.join(blocks, query)
    assert counts.tolist() == [2, 2, 0, 1]
    assert places.tolist() == [5, 4, 8, 9, 7]
    assert places.dtype == torch.int64
    # A centre that is in no block has no neighbours.
    counts, places = code.join(blocks[1:], query)
    assert (counts.tolist(), places.tolist()) == ([2, 0, 0, 0], [5, 4])


def test_lines_and_places_in_a_line():
    line, rank = code.within(block([4, 1, 2], [2, 0, 3], [1, 2, 3, 4, 5]))
    assert line.tolist() == [0, 0, 2, 2, 2]
    assert rank.tolist() == [0, 1, 0, 1, 2]
