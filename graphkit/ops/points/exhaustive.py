"""Every distance, block by block: exact in any dimension, on any device."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from graphkit.ops.points.query import BUDGET, Block, Query

TOGETHER = 512
"""Small sets are searched together up to about so many centres."""


def exhaustive_blocks(query: Query) -> Iterator[Block]:
    """Exact neighbours; time grows with the squared size of the sets, memory with that of one
    block.

    One matrix product bounds all distances of a block from above and below. Where the bounds of
    the nearest points do not overlap, their order is known; else all points that may be
    neighbours are measured exactly.
    """
    whole = are_small_integers(query)
    middle = 0.0 if whole or query.cosine else query.points.mean(0)
    points, centres = query.points - middle, query.centres - middle
    point_error, centre_error = (rounding(rows, query, whole) for rows in (points, centres))
    shifted = lengths(points, query) + point_error
    for rows, columns in spans(query):
        here, there = slice(*rows), slice(*columns)
        row = torch.arange(*rows, device=points.device)
        # Upper bounds but for what is the same along a row: length and error of the centre.
        upper = torch.addmm(shifted[there], centres[here], points[there].t(), alpha=-2)
        set_aside(query, upper, row, columns)
        if query.count is not None and query.radius == torch.inf:
            overlap = 2 * (centre_error[here] + point_error[there].max())
            block, sure = in_order(query, row, columns[0], upper, overlap)
            yield block
            row, upper = row[~sure], upper[~sure]
        if len(row) and whole:
            yield measured(query, row, columns[0], first_of_equal(query, upper))
        elif len(row):
            slack = 2 * centre_error[row].unsqueeze(1)
            reach = query.radius**2 * (1 + 1e-9) + slack / 2
            reach = reach - lengths(centres[row], query).unsqueeze(1)
            if query.count is not None and query.count < upper.size(1):
                reach = torch.minimum(reach, last_of(query.count, upper) + slack)
            near = upper.sub_(2 * point_error[there]) <= reach
            yield measured(query, row, columns[0], near)


def in_order(
    query: Query, row: Tensor, start: int, upper: Tensor, overlap: Tensor
) -> tuple[Block, Tensor]:
    """The neighbours of rows whose nearest points are further from each other than rounding."""
    assert query.count is not None
    width = min(query.count, upper.size(1))
    value, column = upper.topk(min(query.count + 1, upper.size(1)), largest=False)
    gap = value[:, 1:] - value[:, :-1]
    # What is set aside is infinitely far, and two of it need no order.
    sure = ((gap > overlap.unsqueeze(1)) | value[:, 1:].isinf()).all(1)
    taken = value[:, :width].isfinite() & sure.unsqueeze(1)
    places = query.places[column[:, :width][taken] + start]
    return Block(row[sure], taken.sum(1)[sure], places), sure


def first_of_equal(query: Query, upper: Tensor) -> Tensor:
    """A mask of the nearest points where bounds are distances: of equal ones the first, of which
    there may be very many.
    """
    if query.count is None or query.count >= upper.size(1):
        return upper.isfinite()
    last = last_of(query.count, upper)
    near = upper < last
    tied = (upper == last) & upper.isfinite()
    return near | tied & (tied.cumsum(1) <= query.count - near.sum(1, keepdim=True))


def last_of(count: int, upper: Tensor) -> Tensor:
    """The bound of the last neighbour, a column."""
    return upper.topk(count, largest=False).values[:, -1:]


def measured(query: Query, row: Tensor, start: int, near: Tensor) -> Block:
    """The neighbours among the points that a mask ``[R, W]`` names, rising."""
    line, column = near.nonzero(as_tuple=True)
    squared = query.squared_distances(row[line], column + start)
    order = squared.argsort(stable=True)
    order = order[line[order].argsort(stable=True)]
    line, column, squared = line[order], column[order], squared[order]
    counts = line.bincount(minlength=len(row))
    rank = torch.arange(len(line), device=row.device) - (counts.cumsum(0) - counts)[line]
    taken = squared.isfinite()
    if query.count is not None:
        taken &= rank < query.count
    places = query.places[column[taken] + start]
    return Block(row, line[taken].bincount(minlength=len(row)), places)


def set_aside(query: Query, upper: Tensor, row: Tensor, columns: tuple[int, int]) -> None:
    """Makes centres and what belongs to other sets infinitely far."""
    sets = query.point_sets[slice(*columns)]
    if sets[0] != sets[-1] or query.centre_sets[row[0]] != query.centre_sets[row[-1]]:
        upper[query.centre_sets[row].unsqueeze(1) != sets] = torch.inf
    if query.itself:
        places = query.places[slice(*columns)]
        column = torch.searchsorted(places, row).clamp(max=len(places) - 1)
        itself = places[column] == row
        upper[itself.nonzero().view(-1), column[itself]] = torch.inf


def spans(query: Query) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Ranges of centres, and of the points that may be their neighbours."""
    sets, sizes = query.centre_sets.unique_consecutive(return_counts=True)
    ends = sizes.cumsum(0)
    starts = ends - sizes
    first = torch.searchsorted(query.point_sets, sets)
    after = torch.searchsorted(query.point_sets, sets, right=True)
    size = (starts // TOGETHER).unique_consecutive(return_counts=True)[1]
    final = size.cumsum(0)
    for a, b in zip((final - size).tolist(), (final - 1).tolist(), strict=True):
        begin, end, low, high = (int(each) for each in (starts[a], ends[b], first[a], after[b]))
        step = max(BUDGET // max(high - low, 1), 1)
        if high > low:
            for row in range(begin, end, step):
                yield (row, min(row + step, end)), (low, high)


def are_small_integers(query: Query) -> bool:
    """Whether products of the coordinates come out without rounding."""
    if query.cosine:
        return False
    for rows in (query.points, query.centres):
        if not bool((rows == rows.round()).all()):
            return False
        if float(rows.square().sum(1).max()) > 2.0**50:
            return False
    return query.radius == torch.inf


def lengths(rows: Tensor, query: Query) -> Tensor:
    """Squared lengths; by angle all are one, which puts rows of zeros at a right angle."""
    return rows.new_ones(len(rows)) if query.cosine else rows.square().sum(1)


def rounding(rows: Tensor, query: Query, whole: bool) -> Tensor:
    """Half of what rounding may change in a squared distance: the share of one end.

    Centring moves a row by at most ``moved``; the product adds a few units of its length.
    """
    if whole:
        return rows.new_zeros(len(rows))
    unit, dims, length = torch.finfo(rows.dtype).eps, rows.size(1), lengths(rows, query)
    largest = max(float(each.abs().max()) for each in (query.points, query.centres))
    moved = 4 * unit * dims**0.5 * largest
    return 4 * (dims + 8) * unit * length + 4 * moved * length.sqrt() + 2 * moved**2
