"""When a layer may be one step that PyTorch differentiates: only while nobody could tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphkit.nn.hooks import is_untouched
from graphkit.ops.situation import is_autocast, is_plain, is_transformed

__all__ = ["may_be_one_step"]

EXACT = (torch.float32, torch.float64)


def may_be_one_step(x: Any, maps: Sequence[nn.Module | None], *parameters: Tensor | None) -> bool:
    """Whether nobody could tell a layer of linear maps in one step from the steps it is made of.

    A step costs PyTorch some microseconds, forward and backward, and each of its results a tensor;
    one step in place of ten also adds gradients up where they lie.  Replaced or hooked maps, sparse
    features, batches, other devices than CPUs, autocast, transforms, recorded and compiled calls,
    and dtypes that are mixed or not computed in as they are get the steps themselves.

    Args:
        x (Any): The features.
        maps (sequence): The linear maps; nothing for one that is missing.
        *parameters (torch.Tensor, optional): What else has a gradient.
    """
    if not isinstance(x, Tensor) or x.layout != torch.strided or x.dim() != 2:
        return False
    dtype = x.dtype
    if not x.is_cpu or dtype not in EXACT or is_autocast():
        return False
    values: list[Any] = [x, *parameters]
    for each in maps:
        if each is not None:
            # A weight that is no parameter may be made anew in every call.
            weights = each._parameters
            if not is_untouched(each) or "weight" not in weights or "bias" not in weights:
                return False
            values += (weights["weight"], weights["bias"])
    for value in values:
        if value is not None and value.dtype != dtype:
            return False
    return not is_transformed(values) and is_plain(values)
