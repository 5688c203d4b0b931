"""Index rows, the groups they form, and the sorted views that kernels walk."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

import torch
from torch import Tensor

from graphkit.ops.layout.memo import remember
from graphkit.ops.layout.order import Order, sort_rows

T = TypeVar("T")


class Rows:
    """One row of indices that puts each entry into one of ``size`` groups.

    Args:
        index (torch.Tensor): Indices, one or two rows.
        row (int): Which row counts; ``-1`` if ``index`` is one-dimensional.
        size (int): The number of groups.
        name (str): What the error message calls the row.
    """

    def __init__(self, index: Tensor, row: int, size: int, name: str = "index") -> None:
        self.index, self.row, self.size, self.name = index, row, size, name
        self.remember(("valid", size), self._validate)

    def remember(self, key: Hashable, build: Callable[[], T]) -> T:
        """``build()``, kept with the row; a view of the row shares what the row knows."""
        index, row = self.index, max(self.row, 0)
        offset = index.storage_offset() + (row * index.stride(0) if self.row >= 0 else 0)
        return remember(index, (offset, index.size(-1), index.stride(-1), key), build)

    @property
    def values(self) -> Tensor:
        """The indices as a one-dimensional tensor."""
        return self.index if self.row < 0 else self.index[self.row]

    @property
    def order(self) -> Order:
        """The entries sorted by group; built on first use."""
        return self.remember(("order", self.size), lambda: sort_rows(self.values, self.size))

    @property
    def counts(self) -> Tensor:
        """The number of entries in each group."""
        return self.order.indptr.diff()

    def _validate(self) -> bool:
        if self.values.numel() == 0:
            return True
        low, high = (int(value) for value in torch.aminmax(self.values))
        if low < 0 or high >= self.size:
            wrong = low if low < 0 else high
            raise IndexError(
                f"{self.name} holds {wrong}, but only 0..{self.size - 1} are valid "
                f"(size {self.size})"
            )
        return True


class Graph:
    """The two rows of an ``edge_index`` and the sorted views between them."""

    def __init__(self, edge_index: Tensor, num_sources: int, num_targets: int) -> None:
        self.edge_index = edge_index
        self.source = Rows(edge_index, 0, num_sources, "edge_index[0]")
        self.target = Rows(edge_index, 1, num_targets, "edge_index[1]")

    @property
    def num_edges(self) -> int:
        """The number of edges."""
        return self.edge_index.size(1)

    def sorted_by(self, transposed: bool) -> tuple[Order, Tensor]:
        """The edges sorted by target (by source if ``transposed``) and their other ends."""
        rows, others = (self.source, self.target) if transposed else (self.target, self.source)
        order = rows.order
        return order, rows.remember(("others", rows.size), lambda: _permuted(others.values, order))


def _permuted(values: Tensor, order: Order) -> Tensor:
    values = values.to(order.indptr.dtype)
    return values.contiguous() if order.perm is None else values[order.perm.long()]
