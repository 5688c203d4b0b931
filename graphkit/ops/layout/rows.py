"""Index rows, the groups they form, and the sorted views that kernels walk."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import torch
from torch import Tensor

from graphkit.ops.layout.memo import alias, remember
from graphkit.ops.layout.order import Order, sort_rows
from graphkit.ops.situation import outside_torch_func

T = TypeVar("T")


class Rows:
    """One row of indices that puts each entry into one of ``size`` groups.

    Args:
        values (torch.Tensor): The group of each entry, one-dimensional, checked.
        size (int): The number of groups.
    """

    def __init__(self, values: Tensor, size: int) -> None:
        self.values, self.size, self.num_entries = values, size, values.numel()
        self._derived: dict[Hashable, Any] = {}

    @functools.cached_property
    def order(self) -> Order:
        """The entries sorted by group; built on first use."""
        return sort_rows(self.values, self.size)

    @property
    def counts(self) -> Tensor:
        """The number of entries in each group."""
        return self.order.indptr.diff()

    def derive(self, key: Hashable, build: Callable[[], T]) -> T:
        """``build()``, kept with the row: what a backend makes of its order."""
        if key not in self._derived:
            self._derived[key] = build()
        return self._derived[key]


class Graph:
    """The two rows of an ``edge_index`` and the sorted views between them.

    Args:
        source (Rows): Where edges come from.
        target (Rows): Where edges go to.
    """

    def __init__(self, source: Rows, target: Rows) -> None:
        self.source, self.target, self.num_edges = source, target, source.num_entries

    @functools.cached_property
    def by_target(self) -> tuple[Order, Tensor]:
        """The edges sorted by target, and their sources in that order."""
        return self.target.order, _sorted(self.source.values, self.target.order)

    @functools.cached_property
    def by_source(self) -> tuple[Order, Tensor]:
        """The edges sorted by source, and their targets in that order."""
        return self.source.order, _sorted(self.target.values, self.source.order)

    @functools.cached_property
    @torch.inference_mode(mode=False)
    def terms_of_sources(self) -> Tensor:
        """For the edges sorted by source their positions among those sorted by target."""
        targets, sources = self.target.order.perm, self.source.order.perm
        dtype = self.target.order.indptr.dtype
        positions = torch.arange(self.num_edges, dtype=dtype, device=self.target.values.device)
        if targets is not None:
            positions = torch.empty_like(positions).scatter_(0, targets.long(), positions)
        return positions if sources is None else positions[sources.long()]

    def sorted_by(self, transposed: bool) -> tuple[Order, Tensor]:
        """The edges sorted by target (by source if ``transposed``) and their other ends."""
        return self.by_source if transposed else self.by_target


def rows_of(index: Tensor, row: int, size: int) -> Rows:
    """A row of ``index`` (all of it if ``row`` is -1), checked and kept with the tensor.

    Raises:
        IndexError: If an index is negative or not below ``size``.
    """
    if torch.compiler.is_compiling():
        return Rows(index if row < 0 else index[row], size)
    with outside_torch_func():
        values = index if row < 0 else index[row]

    def build() -> Rows:
        _check(values, size, "index" if row < 0 else f"edge_index[{row}]")
        return Rows(alias(values), size)

    return remember(values, ("rows", size), build)


def graph_of(edge_index: Tensor, num_sources: int, num_targets: int) -> Graph:
    """Both rows of ``edge_index [2, E]``, checked and kept with the tensor.

    Raises:
        IndexError: If an index is negative or not below its number of nodes.
    """

    def build() -> Graph:
        return Graph(rows_of(edge_index, 0, num_sources), rows_of(edge_index, 1, num_targets))

    return remember(edge_index, ("graph", num_sources, num_targets), build)


def _check(values: Tensor, size: int, name: str) -> None:
    if values.numel() == 0:
        return
    low, high = (int(value) for value in torch.aminmax(values))
    if low < 0 or high >= size:
        raise IndexError(
            f"{name} holds {low if low < 0 else high}, but only 0..{size - 1} are valid "
            f"(size {size})"
        )


@torch.inference_mode(mode=False)
def _sorted(values: Tensor, order: Order) -> Tensor:
    """The other ends of the edges in a sorted order, in memory of their own."""
    dtype = order.indptr.dtype
    if order.perm is None:
        return values.to(dtype, copy=True, memory_format=torch.contiguous_format)
    return values[order.perm.long()].to(dtype)
