"""Sizes of tiles and other arguments that Triton kernels share."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphkit.ops.dtypes import wide_dtype
from graphkit.ops.layout.order import Order

MOST_CHANNELS = 128
TILE = 4096
TUNED: dict[tuple[int, int], dict[str, int]] = {}
"""What a measurement found better, by heads and width; ``python -m benchmarks gpu`` fills it."""


def sum_type(x: Tensor) -> Any:
    """The Triton dtype that sums over ``x`` are taken in."""
    return tl.float64 if wide_dtype(x.dtype) == torch.float64 else tl.float32


def blocks_of(heads: int, width: int, most_channels: int = MOST_CHANNELS) -> dict[str, int]:
    """Tile sizes: powers of two, at most ``TILE`` values together."""
    channels = triton.next_power_of_2(width)
    channels = min(channels, most_channels)
    rows = min(triton.next_power_of_2(heads), max(1, MOST_CHANNELS // channels))
    return {
        "BLOCK_E": max(1, min(32, TILE // (channels * rows))),
        "BLOCK_H": rows,
        "BLOCK_C": channels,
    } | TUNED.get((heads, width), {})


def perm_of(order: Order) -> dict[str, Any]:
    """The sorted order as kernel arguments; any pointer stands for a missing one."""
    return {
        "perm": order.indptr if order.perm is None else order.perm,
        "HAS_PERM": order.perm is not None,
    }
