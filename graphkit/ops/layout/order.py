"""Entries sorted by group: the view of an index that kernels walk."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Order:
    """Entries sorted by group: ``perm[indptr[g]:indptr[g + 1]]`` are the entries of ``g``.

    ``perm`` is :obj:`None` when the entries come in that order already. Both hold int32
    where the number of entries fits.
    """

    indptr: Tensor
    perm: Tensor | None


def index_dtype(num_entries: int, size: int) -> torch.dtype:
    """int32 when entries and groups fit, int64 otherwise."""
    return torch.int32 if max(num_entries, size) < 2**31 - 1 else torch.int64


@torch.inference_mode(mode=False)
def sort_rows(values: Tensor, size: int) -> Order:
    """The entries sorted by group, equal ones in their given order.

    Sorted input is recognised, at the cost of one pass: what an ``EdgeIndex`` says about its
    order may be outdated by a write to it.
    """
    dtype = index_dtype(values.numel(), size)
    if values.device.type == "cpu":
        from graphkit.ops.cpu.counting import counting_sort

        return Order(*counting_sort(values, size, dtype))
    bounds = torch.arange(size + 1, device=values.device)
    if bool((values[1:] >= values[:-1]).all()):
        return Order(torch.searchsorted(values.contiguous(), bounds).to(dtype), None)
    groups, perm = torch.sort(values, stable=True)
    return Order(torch.searchsorted(groups, bounds).to(dtype), perm.to(dtype))
