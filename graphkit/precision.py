"""Arithmetic that half precision cannot do: squares, sums, small constants, unit lengths."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data.data import BaseData

__all__ = ["cast_floats", "normalize", "positive", "wide"]


def wide(x: Tensor) -> Tensor:
    """The same in float32 at least: squares and sums of float16 overflow at 65504.

    Args:
        x (torch.Tensor): Floats of any type.

    Example:
        >>> import torch
        >>> wide(torch.tensor(300.0, dtype=torch.float16)).square()
        tensor(90000.)
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))


def cast_floats(values: Any, dtype: torch.dtype) -> Any:
    """Floating tensors among some values, in tuples, lists, dictionaries and graphs, in a type.

    Args:
        values (Any): The values; graphs are copied, their tensors are not.
        dtype (torch.dtype): The type.

    Example:
        >>> import torch
        >>> cast_floats((torch.ones(1), {"edge_index": torch.tensor([0])}), torch.float64)
        (tensor([1.], dtype=torch.float64), {'edge_index': tensor([0])})
    """
    if isinstance(values, Tensor):
        return values.to(dtype) if values.is_floating_point() else values
    if isinstance(values, dict):
        return {key: cast_floats(value, dtype) for key, value in values.items()}
    if type(values) in (tuple, list):
        return type(values)(cast_floats(value, dtype) for value in values)
    if isinstance(values, BaseData):
        return copy.copy(values).apply(lambda value: cast_floats(value, dtype))
    return values


def positive(x: Tensor, least: float = 1e-12) -> Tensor:
    """At least a small number that is no zero in the type of the input, to divide by or to take
    the logarithm of; ``clamp(min=1e-12)`` is ``clamp(min=0)`` in float16.

    Args:
        x (torch.Tensor): Floats.
        least (float, optional): The small number. (default: :obj:`1e-12`)

    Example:
        >>> import torch
        >>> bool(positive(torch.zeros((), dtype=torch.float16)).log().isfinite())
        True
    """
    return x.clamp(min=max(least, torch.finfo(x.dtype).tiny))


def normalize(x: Tensor, dim: int = -1, eps: float = 1e-12) -> Tensor:
    r"""Divides vectors by their Euclidean length.

    .. math::
        \frac{x}{\max(\lVert x \rVert_2, \epsilon)}

    The value is that of :func:`torch.nn.functional.normalize`, except that half precision is
    computed in float32 (there :math:`\epsilon` is 0, and a vector of zeros becomes NaN) and that
    a vector of zeros passes gradients on as they are, not times :math:`1 / \epsilon`. Time and
    memory grow with the size of the input.

    Args:
        x (torch.Tensor): The vectors.
        dim (int, optional): The dimension they lie in. (default: :obj:`-1`)
        eps (float, optional): :math:`\epsilon`, so that shorter vectors stay shorter than one.
            (default: :obj:`1e-12`)

    Shapes:
        - **input:** :math:`(*)`
        - **output:** :math:`(*)`, in the type of the input

    Example:
        >>> import torch
        >>> normalize(torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.float16))
        tensor([[0.6001, 0.7998],
                [0.0000, 0.0000]], dtype=torch.float16)
    """
    vectors = wide(x)
    length = torch.linalg.vector_norm(vectors, dim=dim, keepdim=True)
    length = length.masked_fill(length == 0, 1.0).clamp(min=eps)
    return (vectors / length).to(x.dtype)
