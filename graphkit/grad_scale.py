"""The same value, another gradient."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

__all__ = ["grad_scale"]


def grad_scale(x: Tensor, scale: float | Tensor) -> Tensor:
    r"""Gives :obj:`x` as it is, and multiplies the gradient that comes back through it.

    .. math::
        f(\mathbf{x}) = \mathbf{x}, \qquad
        \frac{\partial \mathcal{L}}{\partial \mathbf{x}} = s \,
        \frac{\partial \mathcal{L}}{\partial f(\mathbf{x})}

    With :math:`s = -1` it is the gradient reversal of the `"Unsupervised Domain Adaptation by
    Backpropagation" <https://arxiv.org/abs/1409.7495>`_ paper: what comes before it climbs the
    loss that what comes after it descends.  With :math:`s = 0` nothing comes back, but zeros.
    Gradients of gradients are scaled once per time they come through, and forward-mode
    derivatives are scaled as well.  The scale itself gets no gradient.  Costs one product in the
    backward pass, and no memory.

    Args:
        x (torch.Tensor): Values of any shape, real and floating.
        scale (float or torch.Tensor): The scale :math:`s`, one for all values or a tensor that
            broadcasts to the shape of :obj:`x`, such as one per sample.

    Shapes:
        - **input:** values :math:`(*)`, scale :math:`()` or broadcastable to :math:`(*)`
        - **output:** :math:`(*)`, a view of the values

    Raises:
        TypeError: If :obj:`x` is not floating.
        ValueError: If a scale that is a number is not finite, or one that is a tensor does not
            broadcast to :obj:`x`.

    Example:
        >>> import torch
        >>> from graphkit.grad_scale import grad_scale
        >>> x = torch.ones(2, requires_grad=True)
        >>> y = grad_scale(x, -1.0)
        >>> (3 * y).sum().backward()
        >>> y.tolist(), x.grad.tolist()
        ([1.0, 1.0], [-3.0, -3.0])
    """
    if not x.is_floating_point():
        raise TypeError(f"'x' must be a floating tensor, got {x.dtype}")
    if isinstance(scale, Tensor):
        # Of the dtype and device of the gradient, which a product must not widen or move.
        scale = scale.detach().to(x)
        if not _broadcasts(scale, x):
            raise ValueError(
                f"'scale' must broadcast to 'x' {list(x.shape)}, got {list(scale.shape)}"
            )
    elif not math.isfinite(scale):
        raise ValueError(f"'scale' must be finite, got {scale}")
    # Dynamo traces no autograd function that has a rule for forward mode.
    return _traceable(x, scale) if torch.compiler.is_compiling() else _Scale.apply(x, scale)


def _traceable(x: Tensor, scale: float | Tensor) -> Tensor:
    """The same in plain operations, which a compiler fuses."""
    constant = x.detach()
    # A difference of nothing that carries the gradient; infinity minus itself is not nothing.
    nothing = torch.where(constant.isfinite(), x - constant, 0.0)
    return constant + nothing * scale


def _broadcasts(scale: Tensor, x: Tensor) -> bool:
    """Whether the product with a scale keeps the shape of ``x``."""
    sizes = zip(reversed(scale.shape), reversed(x.shape), strict=False)
    return scale.dim() <= x.dim() and all(one in (1, other) for one, other in sizes)


class _Scale(Function):
    """Identity with scaled derivatives."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, scale: float | Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float | Tensor], output: Tensor) -> None:
        scale = inputs[1]
        # A tensor is saved, so that vmap and a change in place are noticed.
        ctx.number = None if isinstance(scale, Tensor) else scale
        if isinstance(scale, Tensor):
            ctx.save_for_backward(scale)
            ctx.save_for_forward(scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * (ctx.saved_tensors[0] if ctx.number is None else ctx.number), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: Any) -> Tensor:
        return tangent * (ctx.saved_tensors[0] if ctx.number is None else ctx.number)
