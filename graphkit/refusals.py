"""Refusals of values that would give a wrong number; nothing here changes a figure."""

# fingerprint: not counted

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral

import torch
from torch import Tensor

__all__ = [
    "refuse_fraction",
    "refuse_importances",
    "refuse_infinite",
    "refuse_mask",
    "refuse_nan",
    "refuse_negative",
    "refuse_other_shapes",
    "refuse_outside",
    "refuse_resized",
    "refuse_unless_positive",
    "refuse_zeros",
]


def refuse_infinite(name: str, x: Tensor | None) -> None:
    """Raises if a value is NaN or infinite; looks at each, as a sum of float16 may overflow.

    Nothing is looked at while ``torch.compile`` traces: a graph has no place for the question.

    Args:
        name (str): What the argument is called.
        x (torch.Tensor, optional): The argument; :obj:`None` passes.

    Raises:
        ValueError: If one is.

    Example:
        >>> import torch
        >>> refuse_infinite("x", torch.full((200,), 500.0, dtype=torch.float16))
    """
    if x is not None and not torch.compiler.is_compiling() and not x.isfinite().all():
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


def refuse_negative(name: str, index: Tensor | None) -> None:
    """Raises if a whole number is negative: -1 would name the last. A mask names none.

    Args:
        name (str): What the argument is called.
        index (torch.Tensor, optional): The argument; :obj:`None` passes.

    Raises:
        ValueError: If one is.
    """
    if index is not None and index.dtype != torch.bool and (index < 0).any():
        raise ValueError(f"'{name}' must not be negative, got {int(index.min())}")


def refuse_mask(name: str, index: Tensor) -> None:
    """Raises if numbers are of a type that PyTorch takes for a mask: bool and uint8.

    Args:
        name (str): What the argument is called.
        index (torch.Tensor): The argument.

    Raises:
        ValueError: If it is.
    """
    if index.dtype in (torch.bool, torch.uint8):
        raise ValueError(f"'{name}' is {index.dtype}, which selects as a mask; make it int64")


def refuse_nan(name: str, x: Tensor) -> None:
    """Raises if a value is NaN: comparisons would take it for a number that loses.

    Args:
        name (str): What the argument is called.
        x (torch.Tensor): The argument.

    Raises:
        ValueError: If one is.
    """
    if not torch.compiler.is_compiling() and x.isnan().any():
        raise ValueError(f"'{name}' holds NaN")


def refuse_zeros(name: str, x: Tensor) -> None:
    """Raises if there are values and all are zero.

    Args:
        name (str): What the argument is called.
        x (torch.Tensor): The argument.

    Raises:
        ValueError: If they are.
    """
    if x.numel() and not x.any():
        raise ValueError(f"'{name}' is zero everywhere, which says nothing")


def refuse_other_shapes(
    name: str, given: Iterable[Tensor | None], wanted: Iterable[torch.Size]
) -> None:
    """Raises unless tensors are of the right shapes: others might be broadcast.

    Args:
        name (str): What the argument is called.
        given (iterable of torch.Tensor): The tensors; :obj:`None` passes.
        wanted (iterable of torch.Size): The shapes, as many.

    Raises:
        ValueError: At the first that is of another.
    """
    for place, (tensor, shape) in enumerate(zip(given, wanted, strict=True)):
        if tensor is not None and tensor.shape != shape:
            raise ValueError(f"'{name}' {place} is {list(tensor.shape)}, not {list(shape)}")


def refuse_unless_positive(name: str, value: float | None) -> None:
    """Raises unless a number is above zero; NaN is not.

    Args:
        name (str): What the argument is called.
        value (float, optional): The argument; :obj:`None` passes.

    Raises:
        ValueError: If it is not.
    """
    if value is not None and not value > 0:
        raise ValueError(f"'{name}' must be above 0, got {value}")


def refuse_fraction(name: str, value: object) -> None:
    """Raises unless a value is a whole number by its type.

    Args:
        name (str): What the argument is called.
        value (int): The argument.

    Raises:
        TypeError: If it is not.

    Example:
        >>> refuse_fraction("classes", 2.5)
        Traceback (most recent call last):
            ...
        TypeError: 'classes' must be a whole number, got 2.5
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"'{name}' must be a whole number, got {value!r}")


def refuse_importances(importance: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> None:
    """Raises unless every importance has its parameter's shape, is finite and at least 0.

    Args:
        importance (dict): The importances by name.
        parameters (dict): Parameters by name, those among them.

    Raises:
        KeyError: If one is of no parameter.
        ValueError: At the first that is not; says which.

    Example:
        >>> import torch
        >>> refuse_importances({"w": torch.tensor([1.0, -1.0])}, {"w": torch.zeros(2)})
        Traceback (most recent call last):
            ...
        ValueError: the importance of 'w' must be finite and at least 0
    """
    for name, new in importance.items():
        place = parameters[name]
        if new.shape != place.shape:
            raise ValueError(
                f"the importance of '{name}' has shape {list(new.shape)}, "
                f"the parameter {list(place.shape)}"
            )
        if not bool(torch.isfinite(new).all()) or bool((new < 0).any()):
            raise ValueError(f"the importance of '{name}' must be finite and at least 0")


def refuse_resized(before: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> None:
    """Raises if a parameter of an earlier task is gone or has another shape.

    Args:
        before (dict): What was kept of the earlier task, in the shapes of then, by name.
        parameters (dict): The parameters by name.

    Raises:
        ValueError: At the first that is; says which.

    Example:
        >>> import torch
        >>> refuse_resized({"w": torch.zeros(2)}, {"w": torch.zeros(3)})
        Traceback (most recent call last):
            ...
        ValueError: parameter 'w' of shape [2] is gone or was resized after a task was finished
    """
    for name, kept in before.items():
        parameter = parameters.get(name)
        if parameter is None or parameter.shape != kept.shape:
            raise ValueError(
                f"parameter '{name}' of shape {list(kept.shape)} is gone or was resized "
                "after a task was finished"
            )
