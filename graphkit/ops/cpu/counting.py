"""Sorting by counting, on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.ops.cpu.kernels import sorting


def counting_sort(values: Tensor, size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """Group bounds and the stable order of entries, :obj:`None` if they are sorted already.

    Both come in ``dtype``. Two passes over the entries: time grows with entries and groups.
    """
    # A copy: a tensor that has been handed to NumPy can never be resized again.
    groups = values.to(dtype, copy=True, memory_format=torch.contiguous_format).numpy()
    indptr = values.new_empty(size + 1, dtype=dtype)
    if sorting.count_groups(groups, indptr.numpy()):
        return indptr, None
    perm = values.new_empty(values.numel(), dtype=dtype)
    sorting.place(groups, indptr.numpy(), perm.numpy())
    return indptr, perm
