"""Refusals look at every value."""

from __future__ import annotations

import pytest
import torch

from graphkit.refusals import refuse_infinite, refuse_outside


def test_large_half_values_are_no_infinite_ones() -> None:
    x = torch.full((500,), 500.0, dtype=torch.float16)
    assert x.sum().isinf()
    refuse_infinite("x", x)
    x[7] = torch.nan
    with pytest.raises(ValueError, match="'x' holds NaN or infinite"):
        refuse_infinite("x", x)


@pytest.mark.parametrize(("index", "worst"), [([0, 4], 4), ([-1, 3], -1)])
def test_an_index_must_be_in_range(index: list[int], worst: int) -> None:
    with pytest.raises(ValueError, match=f"'i' must be from 0 to 3, got {worst}"):
        refuse_outside("i", torch.tensor(index), 4)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32])
def test_an_index_must_be_whole(dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match="whole numbers"):
        refuse_outside("i", torch.zeros(2, dtype=dtype), 4)
    refuse_outside("i", torch.zeros(0, dtype=torch.long), 0)
