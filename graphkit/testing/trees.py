"""Tensors inside nested arguments: tuples, lists, dicts, data classes, PyG graphs."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

__all__ = ["map_tensors", "named_leaves"]


def map_tensors(fn: Callable[[Tensor], Tensor], value: Any) -> Any:
    """A copy of nested values with ``fn`` applied to every tensor.

    Args:
        fn (callable): Gets and gives a tensor.
        value (Any): Tensors in tuples, lists, dicts, data classes or graphs; anything else
            stays as it is.

    Example:
        >>> import torch
        >>> map_tensors(lambda t: t + 1, {"a": [torch.zeros(1), "text"]})
        {'a': [tensor([1.]), 'text']}
    """
    if isinstance(value, Tensor):
        return fn(value)
    if isinstance(value, dict):
        return {key: map_tensors(fn, inner) for key, inner in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_tensors(fn, inner) for inner in value))
    if isinstance(value, list | tuple):
        return type(value)(map_tensors(fn, inner) for inner in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = copy.copy(value)
        for field in dataclasses.fields(value):
            new = map_tensors(fn, getattr(value, field.name))
            object.__setattr__(changed, field.name, new)
        return changed
    if hasattr(value, "to_dict") and hasattr(value, "apply"):
        return value.clone().apply(fn)
    return value


def named_leaves(value: Any, name: str = "argument") -> Iterator[tuple[str, Tensor]]:
    """Every tensor inside nested values with the way to it.

    Args:
        value (Any): As for :func:`map_tensors`.
        name (str, optional): Beginning of the names. (default: ``"argument"``)

    Example:
        >>> import torch
        >>> [name for name, _ in named_leaves((torch.zeros(1), {"x": torch.ones(1)}))]
        ['argument[0]', "argument[1]['x']"]
    """
    if isinstance(value, Tensor):
        yield name, value
    elif hasattr(value, "to_dict") and hasattr(value, "apply"):
        yield from named_leaves(value.to_dict(), name)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from named_leaves(inner, f"{name}[{key!r}]")
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from named_leaves(inner, f"{name}[{place}]")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from named_leaves(getattr(value, field.name), f"{name}.{field.name}")


def clone(value: Any) -> Any:
    """Nested values with every tensor copied, and cut off from any gradient.

    Args:
        value (Any): As for :func:`map_tensors`.
    """
    return map_tensors(lambda tensor: tensor.detach().clone(), value)


def same(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors agree in every bit, NaN included.

    Args:
        first (torch.Tensor): One.
        second (torch.Tensor): The other.
    """
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    return torch.allclose(first, second, rtol=0, atol=0, equal_nan=True)
