"""Input of which one value alone is wrong: a check that looks for all of them misses it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def spoiled(values: Tensor | Sequence[int], value: float = math.nan) -> Tensor:
    """The same with another last value; ones of that size, if a size is given."""
    x = values.clone() if isinstance(values, Tensor) else torch.ones(*values)
    x.view(-1)[-1] = value
    return x
