"""Refusals look at every value."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphkit.refusals import (
    refuse_fraction,
    refuse_importances,
    refuse_infinite,
    refuse_outside,
    refuse_resized,
)


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


@pytest.mark.parametrize("value", [2.5, 2.0, True, "2", None])
def test_a_number_must_be_whole_by_its_type(value: object) -> None:
    with pytest.raises(TypeError, match="'k' must be a whole number"):
        refuse_fraction("k", value)
    refuse_fraction("k", 2)
    refuse_fraction("k", np.int64(2))


def test_importances_must_be_of_the_shape_of_their_parameters_finite_and_no_less_than_0() -> None:
    parameters = {"w": torch.zeros(2), "b": torch.zeros(1)}
    refuse_importances({"w": torch.tensor([0.0, 2.0])}, parameters)
    with pytest.raises(ValueError, match=r"'b' has shape \[2\], the parameter \[1\]"):
        refuse_importances({"w": torch.ones(2), "b": torch.ones(2)}, parameters)
    for worst in (-1e-30, torch.inf, torch.nan):
        with pytest.raises(ValueError, match="'w' must be finite and at least 0"):
            refuse_importances({"w": torch.tensor([1.0, worst])}, parameters)
    with pytest.raises(KeyError, match="v"):
        refuse_importances({"v": torch.ones(2)}, parameters)


def test_a_parameter_that_was_there_must_be_there_in_its_shape() -> None:
    refuse_resized({"w": torch.ones(2)}, {"w": torch.zeros(2), "b": torch.zeros(1)})
    for parameters in ({}, {"w": torch.zeros(2, 1)}):
        with pytest.raises(ValueError, match=r"'w' of shape \[2\] is gone or was resized"):
            refuse_resized({"w": torch.ones(2)}, parameters)
