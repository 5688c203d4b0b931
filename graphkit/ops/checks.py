"""Checks of what users hand in, with errors that name the argument and the value."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from graphkit.ops.layout.memo import remember
from graphkit.ops.situation import without_transform


def as_edge_index(edge_index: Tensor) -> Tensor:
    """The plain ``[2, E]`` tensor behind ``edge_index``, checked."""
    if isinstance(edge_index, EdgeIndex):
        edge_index = _unwrapped(edge_index)
    if not isinstance(edge_index, Tensor):
        raise TypeError(f"edge_index must be a tensor, got {type(edge_index).__name__}")
    edge_index = without_transform(edge_index, "edge_index")
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise ValueError(f"edge_index must have shape [2, E], got {list(edge_index.shape)}")
    return _integral(edge_index, "edge_index")


def _unwrapped(edge_index: EdgeIndex) -> Tensor:
    """The tensor inside, whose version also counts the writes that went through the wrapper.

    PyTorch counts those for the wrapper alone, so what is remembered with the tensor inside
    would outlive them.
    """
    plain = edge_index.as_tensor()
    if torch.compiler.is_compiling() or plain.is_inference():
        return plain
    version = edge_index._version
    if remember(plain, "version of the wrapper", lambda: version) != version:
        torch.autograd.graph.increment_version(plain)
    return plain


def as_index(index: Tensor) -> Tensor:
    """The one-dimensional ``index``, checked."""
    if not isinstance(index, Tensor):
        raise TypeError(f"index must be a tensor, got {type(index).__name__}")
    index = without_transform(index, "index")
    if index.dim() != 1:
        raise ValueError(f"index must have shape [E], got {list(index.shape)}")
    return _integral(index, "index")


def _integral(index: Tensor, name: str) -> Tensor:
    if index.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"{name} must hold int64 or int32 indices, got {index.dtype}")
    return index


def check_floating(value: Tensor, name: str, dims: tuple[int, ...]) -> None:
    """Raises unless ``value`` is a floating-point tensor with one of the given ranks."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(value).__name__}")
    if not value.dtype.is_floating_point:
        raise TypeError(f"{name} must be floating point, got {value.dtype}")
    if value.dim() not in dims:
        ranks = " or ".join(str(dim) for dim in dims)
        raise ValueError(f"{name} must have {ranks} dimensions, got shape {list(value.shape)}")


def check_tensors(**values: object) -> None:
    """Raises unless every value that is given is a tensor."""
    for name, value in values.items():
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(value).__name__}")


def check_device(index: Tensor, **values: Tensor | None) -> None:
    """Raises unless every value is a tensor on the device of the index."""
    check_tensors(**values)
    for name, value in values.items():
        if value is not None and value.device != index.device:
            raise ValueError(f"{name} is on {value.device}, but the indices are on {index.device}")


def check_size(value: Tensor, dim: int, size: int, name: str, what: str) -> None:
    """Raises unless dimension ``dim`` of ``value`` has the given size."""
    if value.size(dim) != size:
        raise ValueError(
            f"{name} has {value.size(dim)} entries in dimension {dim}, but there are "
            f"{size} {what} (shape {list(value.shape)})"
        )


def check_count(value: int, name: str) -> None:
    """Raises if a number of nodes or segments is negative."""
    if value < 0:
        raise ValueError(f"{name} must not be negative, got {value}")


def width(x: Tensor) -> int:
    """The number of values per entry of the first dimension."""
    return math.prod(x.shape[1:])


def check_entries(x: Tensor, name: str, index: Tensor) -> None:
    """Raises unless ``x`` is a floating-point tensor with a first dimension, where index is."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(x).__name__}")
    if not x.dtype.is_floating_point:
        raise TypeError(f"{name} must be floating point, got {x.dtype}")
    if x.dim() == 0:
        raise ValueError(f"{name} must have at least one dimension, got a scalar")
    check_device(index, **{name: x})


def as_entries(x: Tensor, name: str, index: Tensor, num_segments: int) -> Tensor:
    """The entries as ``[1, E, K]``, checked against the index of their groups."""
    check_entries(x, name, index)
    check_count(num_segments, "num_segments")
    check_size(x, 0, index.numel(), name, "indices")
    return x.reshape(1, x.size(0), width(x))
