"""What is searched, for whom, and what counts as near."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

BUDGET = 1 << 22
"""Numbers of 8 bytes that one block of a search may hold at a time, a few times over."""


@dataclass(frozen=True)
class Query:
    """Points, and points to find neighbours for, both sorted by set and in double precision.

    Args:
        points (torch.Tensor): What is searched.
        places (torch.Tensor): Number of each of them among all points that were given, rising.
        point_sets (torch.Tensor): Their sets, rising.
        centres (torch.Tensor): Whose neighbours are sought.
        centre_sets (torch.Tensor): Their sets, rising.
        count (int, optional): Most neighbours of one centre. (default: no limit)
        radius (float, optional): Largest distance. (default: no limit)
        itself (bool, optional): Whether centres are the points, each no neighbour of its own.
            (default: :obj:`False`)
        cosine (bool, optional): Whether all rows have length one, or zero: those are as far from
            everything as a right angle. (default: :obj:`False`)
        workers (int, optional): Threads of a search that has threads of its own.
            (default: :obj:`1`)

    Shapes:
        - **input:** points :math:`(N, D)`, centres :math:`(M, D)`
    """

    points: Tensor
    places: Tensor
    point_sets: Tensor
    centres: Tensor
    centre_sets: Tensor
    count: int | None = None
    radius: float = torch.inf
    itself: bool = False
    cosine: bool = False
    workers: int = 1

    def squared_distances(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Of pairs, a centre and a point each; infinite if they are no neighbours at all.

        Differences are squared and summed as they are: no cancellation, equal points are at zero.
        """
        apart = self.points.new_empty(rows.shape)
        flat, step = apart.view(-1), max(BUDGET // max(self.points.size(1), 1), 1)
        row, column = rows.flatten(), columns.flatten()
        for part in range(0, len(flat), step):
            near = slice(part, part + step)
            difference = self.centres[row[near]].sub_(self.points[column[near]])
            flat[near] = difference.square_().sum(1)
        if self.cosine:
            blank = ~self.points.any(1)[columns] | ~self.centres.any(1)[rows]
            apart[blank] = 2.0
        stranger = self.point_sets[columns] != self.centre_sets[rows]
        if self.itself:
            stranger |= self.places[columns] == rows
        stranger |= apart > self.radius**2
        return apart.masked_fill_(stranger, torch.inf)

    def without_spare_copies(self) -> Query:
        """Each place of a set keeps the first points that are there, as many as can matter.

        A neighbour is found among the first ``count + 1`` copies of equal points, the centre
        itself among them. Without this, a thousand equal points would be a thousand ties.
        """
        if self.count is None or len(self.points) < 2:
            return self
        # Equal rows have equal keys; rows that only share a key part again when compared.
        columns = torch.arange(1, self.points.size(1) + 1, dtype=torch.double, device="cpu")
        key = (self.points * columns.sqrt().sin().to(self.points)).sum(1)
        order = key.argsort(stable=True)
        order = order[self.point_sets[order].argsort(stable=True)]
        rows, sets = self.points[order], self.point_sets[order]
        fresh = torch.ones(len(order), dtype=torch.bool, device=order.device)
        fresh[1:] = (rows[1:] != rows[:-1]).any(1) | (sets[1:] != sets[:-1])
        number = torch.arange(len(order), device=order.device)
        rank = number - number[fresh][fresh.cumsum(0) - 1]
        spare = rank > self.count
        if not spare.any():
            return self
        keep = order[~spare].sort().values
        return replace(
            self,
            points=self.points[keep],
            places=self.places[keep],
            point_sets=self.point_sets[keep],
        )


@dataclass(frozen=True)
class Block:
    """Neighbours of some centres, nearest first.

    Args:
        rows (torch.Tensor): The centres.
        counts (torch.Tensor): Neighbours of each.
        places (torch.Tensor): All of them, row by row.
    """

    rows: Tensor
    counts: Tensor
    places: Tensor


def join(blocks: Iterable[Block], query: Query) -> tuple[Tensor, Tensor]:
    """Neighbours per centre ``[M]``, and all of them ``[E]``, in the order of the centres."""
    device, centres = query.points.device, len(query.centres)
    counts = torch.zeros(centres, dtype=torch.long, device=device)
    if query.count is not None:
        # Thousands of small results kept between large scratch would leave holes in the memory.
        width = min(query.count, len(query.points))
        table = torch.empty(centres, width, dtype=torch.long, device=device)
        for block in blocks:
            counts[block.rows] = block.counts
            line, rank = within(block)
            table[block.rows[line], rank] = block.places
        return counts, table[torch.arange(width, device=device) < counts.unsqueeze(1)]
    parts = list(blocks)
    for block in parts:
        counts[block.rows] = block.counts
    starts = counts.cumsum(0) - counts
    places = torch.empty(int(counts.sum()), dtype=torch.long, device=device)
    for block in parts:
        line, rank = within(block)
        places[starts[block.rows[line]] + rank] = block.places
    return counts, places


def within(block: Block) -> tuple[Tensor, Tensor]:
    """The line of each neighbour in its block, and its place in the line."""
    counts = block.counts
    line = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    rank = torch.arange(len(line), device=counts.device) - (counts.cumsum(0) - counts)[line]
    return line, rank
