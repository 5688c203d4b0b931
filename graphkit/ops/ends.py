"""Checks of what attention over both ends' features takes."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from graphkit.ops import checks
from graphkit.ops.dropout import draw_seed


def check_ends(index: Tensor, **ends: Tensor) -> None:
    """Raises unless all are ``[N, H, C]`` or ``[B, N, H, C]`` with equal ``B``, ``H``, ``C``."""
    checks.check_device(index, **ends)
    (first_name, first), *rest = ends.items()
    for name, value in ends.items():
        checks.check_floating(value, name, (3, 4))
    for name, value in rest:
        left, right = list(first.shape), list(value.shape)
        if left[:-3] + left[-2:] != right[:-3] + right[-2:]:
            raise ValueError(f"{first_name} {left} and {name} {right} must agree but for the nodes")


def check_shape(index: Tensor, name: str, value: Tensor, wanted: list[int], why: str) -> None:
    """Raises unless ``value`` is a floating-point tensor of the wanted shape."""
    checks.check_device(index, **{name: value})
    checks.check_floating(value, name, (len(wanted),))
    if list(value.shape) != wanted:
        raise ValueError(f"{name} must have shape {wanted} to fit {why}, got {list(value.shape)}")


def edge_features(
    index: Tensor, edge_attr: Tensor | None, lin_edge: Tensor | None, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Features ``[1, E, D]`` and the matrix as ``[D, H, C]``; ``D`` is 0 where none are given.

    Raises:
        ValueError: If one comes without the other, or shapes do not fit.
    """
    heads, width = like.shape[-2:]
    if edge_attr is None or lin_edge is None:
        if edge_attr is not None or lin_edge is not None:
            given, missing = ("edge_attr", "lin_edge")[:: 1 if lin_edge is None else -1]
            raise ValueError(f"{given} was given without {missing}")
        return like.new_empty(1, index.size(1), 0), like.new_empty(0, heads, width)
    checks.check_device(index, edge_attr=edge_attr)
    checks.check_floating(edge_attr, "edge_attr", (2,))
    checks.check_size(edge_attr, 0, index.size(1), "edge_attr", "edges")
    wanted = [heads * width, edge_attr.size(1)]
    check_shape(index, "lin_edge", lin_edge, wanted, f"edge_attr {list(edge_attr.shape)}")
    return edge_attr.unsqueeze(0), lin_edge.t().unflatten(-1, (heads, width))


def check_probability(value: float, name: str) -> None:
    """Raises unless the value is a probability."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be a probability, got {value}")


def prepared(index: Tensor, dropout: float, *values: Tensor) -> tuple[list[Tensor], Any]:
    """The values in one dtype, and the seed of a call."""
    dtype = functools.reduce(torch.promote_types, [value.dtype for value in values])
    drawn = dropout > 0
    seed = draw_seed(index.device) if drawn else index.new_zeros(1, dtype=torch.int64)
    return [value.to(dtype) for value in values], seed
