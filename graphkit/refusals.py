"""Refusals of values that would give a wrong number; nothing here changes a figure."""

# fingerprint: not counted

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["refuse_infinite", "refuse_outside"]


def refuse_infinite(name: str, x: Tensor) -> None:
    """Raises if a value is NaN or infinite; looks at each, as a sum of float16 may overflow.

    Nothing is looked at while ``torch.compile`` traces: a graph has no place for the question.

    Args:
        name (str): What the argument is called.
        x (torch.Tensor): The argument.

    Raises:
        ValueError: If one is.

    Example:
        >>> import torch
        >>> refuse_infinite("x", torch.full((200,), 500.0, dtype=torch.float16))
    """
    if not torch.compiler.is_compiling() and not x.isfinite().all():
        raise ValueError(f"'{name}' holds NaN or infinite values")


def refuse_outside(name: str, index: Tensor, size: int) -> None:
    """Raises unless all are whole numbers from 0 to below a size; -1 would name the last.

    Args:
        name (str): What the argument is called.
        index (torch.Tensor): The argument.
        size (int): How many there are to choose from.

    Raises:
        TypeError: If they are no whole numbers; a tensor without any may be of any type.
        ValueError: If one is out of range; says which.

    Example:
        >>> import torch
        >>> refuse_outside("target", torch.tensor([0, 7]), 4)
        Traceback (most recent call last):
            ...
        ValueError: 'target' must be from 0 to 3, got 7
    """
    if not index.numel():
        return
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise TypeError(f"'{name}' must hold whole numbers, got {index.dtype}")
    for worst in (index.min(), index.max()):
        if not 0 <= worst < size:
            raise ValueError(f"'{name}' must be from 0 to {size - 1}, got {int(worst)}")
