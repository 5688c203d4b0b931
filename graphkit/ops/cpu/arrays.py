"""Tensors as flat arrays that share their memory, and the chunks that kernels walk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from graphkit.ops.cpu.kernels import sorting, sums
from graphkit.ops.cpu.threads import run
from graphkit.ops.dtypes import wide_dtype, widened
from graphkit.ops.layout.rows import Rows

ENTRIES_PER_PART = 1024
MOST_PARTS = 128
EXACT = (torch.float32, torch.float64)
"""Dtypes that are computed in as they are."""
Array: TypeAlias = np.ndarray[Any, Any]


@dataclass
class Walk:
    """What a row kernel needs to know about the order of its entries."""

    batch: int
    parts: int
    rows: Array
    entries: Array
    indptr: Array
    perm: Array
    slots: Array
    """The row of each piece of a row that chunks cut, -1 for none; filled in by kernels."""

    @property
    def chunks(self) -> tuple[Any, ...]:
        """The leading arguments of every row kernel."""
        return self.parts, self.rows, self.entries, self.indptr

    @property
    def units(self) -> int:
        """The number of chunks in the whole batch."""
        return self.batch * self.parts


def walk_of(rows: Rows, batch: int) -> Walk:
    """The chunks of ``rows``: many of them, unless the batch is large enough to share out."""
    walk = rows.derive(("walk", batch), lambda: _cut(rows, batch))
    # Kernels write to the slots, so every walk has slots of its own.
    return replace(walk, slots=walk.slots.copy())


def parts_of(rows: Rows, batch: int) -> int:
    """How many chunks ``rows`` are cut into."""
    total = rows.size + rows.num_entries
    return 1 if batch >= MOST_PARTS else min(MOST_PARTS, 1 + total // ENTRIES_PER_PART)


def _cut(rows: Rows, batch: int) -> Walk:
    """What all walks through ``rows`` share, and slots that are still free."""
    order, parts = rows.order, parts_of(rows, batch)
    indptr = order.indptr.numpy()
    perm = np.empty(0, indptr.dtype) if order.perm is None else order.perm.numpy()
    slots = np.full(2 * batch * parts, -1, np.int64)
    first, entries = sorting.cut(indptr, parts)
    return Walk(batch, parts, first, entries, indptr, perm, slots)


def groups_of(rows: Rows) -> Array:
    """The group of each entry, in memory of its own and in the dtype of the order."""
    dtype = rows.order.indptr.dtype
    return rows.values.to(dtype, copy=True, memory_format=torch.contiguous_format).numpy()


def flat(x: Tensor) -> Array:
    """The values as a flat array, in the dtype they are computed in."""
    if x.dtype not in EXACT:
        x = widened(x)
    if not x.is_contiguous():
        x = x.contiguous()
    return x.numpy(force=True).reshape(-1)


def empty(like: Tensor, *shape: int) -> Tensor:
    """Uninitialised memory in the dtype that ``like`` is computed in."""
    dtype = like.dtype
    if dtype not in EXACT:
        dtype = wide_dtype(dtype)
    return torch.empty(shape, dtype=dtype, device=like.device)


def sum_groups(rows: Rows, others: Array, weight: Tensor | None, x: Tensor) -> Tensor:
    """Sums over the entries of each group what they find at ``others``."""
    batch, count, heads, width = x.shape
    walk, features = walk_of(rows, batch), heads * width
    out = empty(x, batch, rows.size, heads, width)
    pieces = np.empty(walk.slots.size * features, flat(out).dtype)
    weights = np.empty(0, pieces.dtype) if weight is None else flat(weight)
    shared = weight is not None and weight.size(0) == 1
    run(
        sums.sum_rows,
        walk.units,
        batch * rows.num_entries * features,
        *walk.chunks,
        others,
        walk.perm,
        weights,
        shared,
        flat(x),
        count,
        heads,
        width,
        flat(out),
        walk.slots,
        pieces,
    )
    sums.add_pieces(walk.slots, pieces, flat(out), features)
    return out.to(x.dtype)


def segment_sum(rows: Rows, x: Tensor) -> Tensor:
    """See :func:`graphkit.ops.reference.segment_sum`."""
    perm = rows.order.perm
    others = np.empty(0, np.int32) if perm is None else perm.numpy()
    return sum_groups(rows, others, None, x.unsqueeze(2)).squeeze(2)
