"""The sum of two linear maps of two inputs, as one step that PyTorch differentiates."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphkit.nn.hooks import is_untouched
from graphkit.ops.situation import is_plain, is_transformed

__all__ = ["linear_pair"]


def linear_pair(first: nn.Module, x: Tensor, second: nn.Module, y: Tensor) -> Tensor:
    r"""``first(x) + second(y)``, where nobody could tell in one step.

    .. math::
        \mathbf{W}_1 \mathbf{x} + \mathbf{b} + \mathbf{W}_2 \mathbf{y}

    The second product is added to the first where that lies, and the backward pass lays the
    gradient out once for its four products: a tensor of the output's size is made once, not three
    times. Replaced or hooked maps, autocast, transforms and mixed dtypes get the sum itself.

    Args:
        first (torch.nn.Module): The map of ``x``, perhaps with a bias.
        x (torch.Tensor): ``[*, F1]``.
        second (torch.nn.Module): The map of ``y``, as wide.
        y (torch.Tensor): ``[*, F2]``.

    Returns:
        ``[*, C]``.
    """
    given = (x, getattr(first, "weight", None), y, getattr(second, "weight", None))
    bias: Any = getattr(first, "bias", None)
    if not _is_usual(first, second, *given, bias):
        return first(x) + second(y)
    return _LinearPair.apply(*given, bias)


def _is_usual(first: nn.Module, second: nn.Module, *values: Any) -> bool:
    if not (is_untouched(first) and is_untouched(second)) or second.bias is not None:
        return False
    x, weight, y, other, _ = values
    if not isinstance(weight, Tensor) or not isinstance(other, Tensor):
        return False
    if is_transformed(values) or not is_plain(values) or torch.is_autocast_enabled(x.device.type):
        return False
    fits = x.shape[:-1] == y.shape[:-1] and x.layout == y.layout == torch.strided
    return fits and len({value.dtype for value in values if value is not None}) == 1


class _LinearPair(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, y: Tensor, other: Tensor, bias: Any) -> Tensor:
        ctx.save_for_backward(x, weight, y, other)
        left, right = (value.reshape(-1, value.size(-1)) for value in (x, y))
        out = torch.nn.functional.linear(left, weight, bias).addmm_(right, other.t())
        return out.view(*x.shape[:-1], out.size(-1))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, y, other = ctx.saved_tensors
        # Laid out once: each product would make a copy of its own of what, say, a sum handed out.
        grad = grads[0].reshape(-1, weight.size(0)).contiguous()
        found: list[Tensor | None] = []
        for position, (value, matrix) in enumerate(((x, weight), (y, other))):
            needs = ctx.needs_input_grad[2 * position : 2 * position + 2]
            product = grad @ matrix if needs[0] else None
            # No view where none is needed: autograd adds to a tensor that is its own, in place.
            if product is not None and value.dim() != 2:
                product = product.view(value.shape)
            found.append(product)
            flat = value.reshape(-1, value.size(-1))
            found.append(grad.t() @ flat if needs[1] else None)
        return *found, grad.sum(0) if ctx.needs_input_grad[4] else None
