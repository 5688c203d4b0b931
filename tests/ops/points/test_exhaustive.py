"""Every distance, block by block, against all pairs measured one by one."""

from __future__ import annotations

import pytest
import torch

from graphkit.ops.points import exhaustive as code
from graphkit.ops.points.query import join
from tests.ops.points.test_query import asked


def all_pairs(query):
    """Neighbours of every centre by plain sorting."""
    wanted = []
    for row in range(len(query.centres)):
        rows, columns = torch.full((len(query.points),), row), torch.arange(len(query.points))
        squared = query.squared_distances(rows, columns)
        order = squared.argsort(stable=True)
        order = order[squared[order].isfinite()]
        wanted.append(query.places[order[: query.count]].tolist())
    return wanted


def found(query):
    counts, places = join(code.exhaustive_blocks(query), query)
    return [part.tolist() for part in places.split(counts.tolist())]


def numbers(kind: str, count: int, dims: int) -> list[list[float]]:
    generator = torch.Generator().manual_seed(count + dims)
    if kind == "whole":
        return torch.randint(-2, 3, (count, dims), generator=generator).double().tolist()
    x = torch.randn(count, dims, generator=generator, dtype=torch.double)
    if kind == "far":
        # So far from zero that products round distances away.
        return (x * 1e-4 + 1e4).tolist()
    if kind == "tied":
        # Reals of which many are equally far, but not in the last bits of a product.
        return (torch.randint(0, 3, (count, dims), generator=generator) * 0.1).tolist()
    return x.tolist()


@pytest.mark.parametrize("kind", ["real", "whole", "far", "tied"])
@pytest.mark.parametrize("count", [1, 3, 40, None])
@pytest.mark.parametrize("radius", [torch.inf, 0.9, 1.0])
@pytest.mark.parametrize("itself", [True, False])
def test_all_neighbours_in_order(kind, count, radius, itself, monkeypatch):
    monkeypatch.setattr(code, "BUDGET", 60)
    monkeypatch.setattr(code, "TOGETHER", 5)
    sets = [0] * 9 + [2] * 4 + [3] + [5] * 8
    centres, centre_sets = (None, None) if itself else (numbers(kind, 7, 3), [0, 0, 1, 3, 3, 5, 6])
    query = asked(
        numbers(kind, 22, 3), sets, centres, centre_sets, count=count, radius=radius, itself=itself
    )
    assert found(query) == all_pairs(query)


def test_angles_with_rows_of_zeros():
    points = torch.tensor(numbers("tied", 20, 2)).double()
    points = torch.nn.functional.normalize(points, dim=1).tolist()
    assert [0.0, 0.0] in points
    for count in (2, 30):
        query = asked(points, count=count, cosine=True, itself=True)
        assert found(query) == all_pairs(query)


@pytest.mark.parametrize("budget", [1, 10, 1 << 22])
@pytest.mark.parametrize("together", [1, 4, 512])
def test_spans_cover_each_centre_with_all_of_its_set(budget, together, monkeypatch):
    monkeypatch.setattr(code, "BUDGET", budget)
    monkeypatch.setattr(code, "TOGETHER", together)
    sets, centre_sets = [0, 0, 0, 2, 2, 4], [0, 0, 1, 2, 2, 2, 4, 4, 7]
    query = asked([[0.0]] * 6, sets, [[0.0]] * 9, centre_sets)
    seen = []
    for rows, columns in code.spans(query):
        width = columns[1] - columns[0]
        assert width > 0
        assert rows[1] - rows[0] <= max(1, budget // width)
        seen += range(*rows)
        for row in range(*rows):
            own = [place for place, each in enumerate(sets) if each == centre_sets[row]]
            assert set(own) <= set(range(*columns))
        if together == 1:
            assert len({centre_sets[row] for row in range(*rows)}) == 1
    assert sorted(seen) == seen
    assert {row for row, each in enumerate(centre_sets) if each in sets} <= set(seen)
    if together == 512 and budget > 100:
        assert len(list(code.spans(query))) == 1


def test_products_that_round_nothing():
    whole = [[3.0, -4.0], [0.0, 1.0]]
    assert code.are_small_integers(asked(whole))
    assert not code.are_small_integers(asked(whole, cosine=True))
    assert not code.are_small_integers(asked(whole, radius=1.0))
    assert not code.are_small_integers(asked(whole, centres=[[0.5, 0.0]]))
    assert not code.are_small_integers(asked([[0.5, 0.0]], centres=whole))
    edge = 2.0**25
    assert code.are_small_integers(asked([[edge, 0.0]]))
    assert not code.are_small_integers(asked([[edge, 1.0]]))


def test_rounding_bounds_what_a_product_loses():
    """Squared distances by products of centred rows, against exact fractions."""
    from fractions import Fraction

    points = torch.tensor(numbers("far", 12, 4)).double()
    query = asked(points.tolist())
    rows = query.points - query.points.mean(0)
    errors, lengths = code.rounding(rows, query, False), code.lengths(rows, query)
    assert (code.rounding(rows, query, True) == 0).all()
    products = lengths.unsqueeze(1) + lengths - 2 * rows @ rows.t()
    exact = [[Fraction(value) for value in row] for row in points.tolist()]
    for i, one in enumerate(exact):
        for j, other in enumerate(exact):
            distance = float(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)))
            assert abs(float(products[i, j]) - distance) <= errors[i] + errors[j]
    # A bound that is far too wide would measure everything exactly: 4e-16 * 12 * 1e-7, and so on.
    assert errors.max() < 1e-13
    ones = code.lengths(rows, asked(points.tolist(), cosine=True))
    assert (ones == 1).all()


def test_order_is_known_only_where_bounds_do_not_overlap():
    query = asked([[0.0]] * 5, count=2)
    upper = torch.tensor([[5.0, 1, 2, 9, 9], [1, 1.5, 4, 9, 9], [1, 3, 3.4, 9, 9]])
    upper = torch.cat([upper, torch.tensor([[3, torch.inf, torch.inf, torch.inf, torch.inf]])])
    row, overlap = torch.arange(4), torch.full((4,), 0.5)
    block, sure = code.in_order(query, row, 2, upper, overlap)
    assert sure.tolist() == [True, False, False, True]
    assert block.rows.tolist() == [0, 3]
    assert block.counts.tolist() == [2, 1]
    query = asked([[0.0]] * 9, count=2)
    block, _ = code.in_order(query, row, 2, upper, overlap)
    assert block.places.tolist() == [3, 4, 2]


def test_the_first_of_equal_bounds():
    upper = torch.tensor([[2.0, 1, 2, 2], [3, 3, 3, 3], [1, torch.inf, torch.inf, torch.inf]])
    near = code.first_of_equal(asked([[0.0]] * 4, count=2), upper)
    assert near.tolist() == [
        [True, True, False, False],
        [True, True, False, False],
        [True, False, False, False],
    ]
    for count in (None, 4, 5):
        near = code.first_of_equal(asked([[0.0]] * 4, count=count), upper)
        assert torch.equal(near, upper.isfinite())
    assert code.last_of(2, upper).tolist() == [[2], [3], [torch.inf]]
