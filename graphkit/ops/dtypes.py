"""The dtype that sums are taken in."""

from __future__ import annotations

import torch
from torch import Tensor


def wide_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype sums are taken in: float32 for bfloat16 and float16."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def is_half(value: Tensor) -> bool:
    """Whether the values are of 16 bits: float16 sums overflow at 65,504.

    Records are made in float32, so what a function does only ``if is_half(…):`` ages none.
    """
    return value.dtype in (torch.float16, torch.bfloat16)


def widened(value: Tensor) -> Tensor:
    """The tensor in the dtype sums are taken in."""
    return value.to(wide_dtype(value.dtype))
