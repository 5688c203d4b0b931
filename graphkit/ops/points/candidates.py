"""Searches that name candidates, a row per centre: the kd-tree, and neighbour descent.

Candidates are measured again, exactly, and sorted by distance and number.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from graphkit.ops.points.query import BUDGET, Block, Query

SLACK = 1 + 1e-9
"""Rounding of the searches' own distances stays far below this."""


def tree_blocks(query: Query) -> Iterator[Block]:
    """Exact neighbours by SciPy's kd-tree: time grows as :math:`N \\log N` in few dimensions.

    The sets are moved apart along one more axis, so that one tree serves all of them.
    """
    blank = (
        ~query.centres.any(1) if query.cosine else torch.zeros(0, dtype=torch.bool, device="cpu")
    )
    if blank.any():
        yield from blank_blocks(query, blank.nonzero().view(-1))
    points, centres = moved_apart(query)
    tree = cKDTree(points, balanced_tree=False, compact_nodes=False)
    # Neighbours one after the other walk the same branches, which are still in the cache.
    waiting = tree.indices if len(points) == len(centres) else np.arange(len(centres))
    waiting = waiting[~blank.numpy()[waiting]] if len(blank) else waiting
    width, bound = min((query.count or 30) + 2, len(points)), query.radius * SLACK + 1e-150
    while len(waiting):
        unsure = []
        for rows in np.array_split(waiting, -(-len(waiting) * width // BUDGET)):
            apart, columns = tree.query(
                centres[rows], width, distance_upper_bound=bound, workers=query.workers
            )
            apart, columns = apart.reshape(-1, width), columns.reshape(-1, width)
            block, sure = settle(query, rows, columns, apart)
            yield block
            unsure.append(rows[~sure.numpy()])
        # Equal distances may go on beyond the last candidate: look further.
        waiting, width = np.concatenate(unsure), min(2 * width, len(points))


def settle(
    query: Query, rows: np.ndarray, columns: np.ndarray, apart: np.ndarray | None = None
) -> tuple[Block, Tensor]:
    """The neighbours among candidates ``[R, W]``, for the rows that are sure of them.

    With ``apart``, their distances, rising, a row is sure if none is left out that is as near.
    """
    row, column = torch.from_numpy(rows).long(), torch.from_numpy(columns).long()
    real = column < len(query.points)
    column, order = column.clamp(max=len(query.points) - 1).sort(dim=1)
    squared = query.squared_distances(row.unsqueeze(1).expand_as(column), column)
    squared[~real.gather(1, order)] = torch.inf
    squared, order = squared.sort(dim=1, stable=True)
    places = query.places[column.gather(1, order)]
    width = min(query.count or places.size(1), places.size(1))
    sure = torch.ones(len(row), dtype=torch.bool, device="cpu")
    if apart is not None and columns.shape[1] < len(query.points):
        # What comes last tells what may come after it.
        last = torch.from_numpy(columns[:, -1]).long()
        sure = last == len(query.points)
        sure |= query.point_sets[last.clamp(max=len(query.points) - 1)] != query.centre_sets[row]
        if query.count is not None:
            sure |= torch.from_numpy(apart[:, -1]) > squared[:, width - 1].sqrt() * SLACK
    taken = squared[:, :width].isfinite() & sure.unsqueeze(1)
    return Block(row[sure], taken.sum(1)[sure], places[:, :width][taken]), sure


def moved_apart(query: Query) -> list[np.ndarray]:
    """Points and centres with coordinates that part the sets, and zeros from directions."""
    both = (query.points, query.point_sets), (query.centres, query.centre_sets)
    gap = 4 * query.points.size(1) ** 0.5 * max(float(rows.abs().max()) for rows, _ in both) + 1
    several = query.point_sets[0] != query.point_sets[-1]
    moved = []
    for rows, sets in both:
        more = [gap * sets.to(rows).unsqueeze(1)] if several else []
        more += [(~rows.any(1, keepdim=True)).to(rows)] if query.cosine else []
        moved.append(torch.cat([rows, *more], 1).numpy())
    return moved


def blank_blocks(query: Query, rows: Tensor) -> Iterator[Block]:
    """Neighbours by angle of rows that have none: all are as far, so the first of the set."""
    assert query.count is not None
    width = min(query.count + 1, len(query.points))
    starts = torch.searchsorted(query.point_sets, query.centre_sets[rows])
    step = BUDGET // width + 1
    for row, start in zip(rows.split(step), starts.split(step), strict=True):
        yield settle(
            query, row.numpy(), (start.unsqueeze(1) + torch.arange(width, device="cpu")).numpy()
        )[0]


def descent_blocks(query: Query) -> Iterator[Block]:
    """Most of the neighbours, by pynndescent, the same ones at every run."""
    try:
        from pynndescent import NNDescent
    except ImportError as error:
        raise ImportError(
            'backend="approximate" needs pynndescent: pip install "graphkit[neighbours]"'
        ) from error
    points, centres = (each.astype(np.float32) for each in moved_apart(query))
    assert query.count is not None
    width = min(query.count + 2, len(points))
    index = NNDescent(
        points, n_neighbors=max(width, 15), random_state=0, n_jobs=query.workers, compressed=False
    )
    same = query.itself and len(points) == len(centres)
    columns = index.neighbor_graph[0] if same else index.query(centres, width)[0]
    columns = np.where(columns < 0, len(points), columns)
    for rows in np.array_split(np.arange(len(centres)), -(-columns.size // BUDGET)):
        yield settle(query, rows, columns[rows])[0]
