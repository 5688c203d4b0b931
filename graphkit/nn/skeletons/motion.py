"""How features change from frame to frame."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["motion"]


class _Motion(torch.autograd.Function):
    """Keeps the memory format both ways, which slices and padding do not."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        out = torch.empty_like(x)
        out[..., :-1] = x[..., 1:]
        out[..., -1] = x[..., -1]
        return out.sub_(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        out = torch.empty_like(grad)
        out[..., 0] = 0
        out[..., 1:] = grad[..., :-1]
        out[..., :-1] -= grad[..., :-1]
        return out


def motion(x: Tensor) -> Tensor:
    r"""The difference to the next frame; there is none after the last.

    Shapes:
        - **input:** :math:`(*, T)`
        - **output:** :math:`(*, T)`

    Example:
        >>> import torch
        >>> motion(torch.tensor([1.0, 4.0, 9.0]))
        tensor([3., 5., 0.])
    """
    if torch.compiler.is_compiling():
        return torch.diff(x, dim=-1, append=x[..., -1:])
    return _Motion.apply(x)
