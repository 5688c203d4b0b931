"""Backward rules at every nonlinearity of a model, whatever kind of model it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

Function = Callable[[Tensor], Tensor]
Rule = Callable[[Function, Tensor, int], Tensor]

PLAIN: dict[Callable[..., Tensor], Callable[..., Tensor]] = {
    F.relu: torch.relu,
    torch.relu: torch.relu,
    torch.relu_: torch.relu,
    Tensor.relu: torch.relu,
    Tensor.relu_: torch.relu,
    F.leaky_relu: F.leaky_relu,
    F.elu: F.elu,
    F.selu: F.selu,
    F.gelu: F.gelu,
    F.silu: F.silu,
    F.softplus: F.softplus,
    F.tanh: torch.tanh,
    torch.tanh: torch.tanh,
    torch.tanh_: torch.tanh,
    Tensor.tanh: torch.tanh,
    Tensor.tanh_: torch.tanh,
    F.sigmoid: torch.sigmoid,
    torch.sigmoid: torch.sigmoid,
    torch.sigmoid_: torch.sigmoid,
    Tensor.sigmoid: torch.sigmoid,
    Tensor.sigmoid_: torch.sigmoid,
}
"""Elementwise nonlinearities, and the form of each that changes nothing in place."""


class Nonlinearities(TorchFunctionMode):
    r"""Inside its ``with`` block, ``rule(function, z, call)`` stands in for every elementwise
    nonlinearity :math:`f(z)` that is called, as a module or as a function, in place or not.

    No hook is set and the model is not changed; modules that run several times are several calls.
    A nonlinearity called in place gives a new tensor, so its return value has to be used.

    Args:
        rule (callable): Gets the function, its input and the number of the call.

    Example:
        >>> with Nonlinearities(lambda function, z, call: z):
        ...     torch.nn.ReLU(inplace=True)(torch.tensor([-1.0, 1.0]))
        tensor([-1.,  1.])
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule, self.calls = rule, 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func not in PLAIN:
            return func(*args, **kwargs)
        kwargs.pop("inplace", None)
        z, rest = (args[0], args[1:]) if args else (kwargs.pop("input"), ())
        if PLAIN[func] is torch.relu:
            rest = ()
        elif func in (F.leaky_relu, F.elu):
            rest = rest[:1]
        elif func in (F.selu, F.silu):
            rest = ()
        call, self.calls = self.calls, self.calls + 1
        return self.rule(lambda value: PLAIN[func](value, *rest, **kwargs), z, call)


def with_slope(out: Tensor, z: Tensor, slope: Tensor) -> Tensor:
    """The value of ``out`` with the derivative ``slope`` with respect to ``z``."""
    line = z * slope.detach()
    return out.detach() + (line - line.detach())


def epsilon_rule(eps: float) -> Rule:
    r"""The slope :math:`f(z) / (z + \epsilon \, \mathrm{sign}(z))` of :math:`\epsilon`-LRP."""

    def rule(function: Function, z: Tensor, call: int) -> Tensor:
        out = function(z)
        return with_slope(out, z, out / (z + torch.where(z >= 0, eps, -eps)))

    return rule


def remember(store: list[Tensor]) -> Rule:
    """Keeps the inputs of all calls and changes nothing."""

    def rule(function: Function, z: Tensor, call: int) -> Tensor:
        store.append(z.detach())
        return function(z)

    return rule


def rescale_rule(references: list[Tensor], tiny: float = 1e-6) -> Rule:
    r"""The slope :math:`(f(z) - f(z_0)) / (z - z_0)` of DeepLIFT; the derivative near
    :math:`z_0`."""

    def rule(function: Function, z: Tensor, call: int) -> Tensor:
        out, reference = function(z), references[call]
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            (derivative,) = torch.autograd.grad(function(leaf).sum(), leaf)
        gap = (z - reference).detach()
        near = gap.abs() < tiny
        slope = (out - function(reference)) / torch.where(near, 1.0, gap)
        return with_slope(out, z, torch.where(near, derivative, slope))

    return rule
