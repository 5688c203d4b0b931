"""First version: sorts on the CPU; the kernels follow."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.ops.reference import (  # noqa: F401
    gat_backward,
    gat_forward,
    sddmm,
    segment_lse,
    segment_max,
    segment_sum,
    softmax,
    softmax_backward,
    spmm,
)


def counting_sort(values: Tensor, size: int) -> tuple[Tensor, Tensor]:
    groups, perm = torch.sort(values, stable=True)
    return torch.searchsorted(groups, torch.arange(size + 1)).int(), perm.int()
