"""Backward rules at every nonlinearity of a model, whatever kind of model it is."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

Function = Callable[[Tensor], Tensor]
Rule = Callable[[Function, Tensor, int], Tensor]

ELEMENTWISE: tuple[Callable[..., Tensor], ...] = (
    F.celu,
    F.elu,
    F.gelu,
    F.hardshrink,
    F.hardswish,
    F.hardtanh,
    F.leaky_relu,
    F.logsigmoid,
    F.mish,
    F.prelu,
    F.relu6,
    F.rrelu,
    F.selu,
    F.silu,
    F.softplus,
    F.softshrink,
    F.softsign,
    F.tanhshrink,
    F.threshold,
)


def hardsigmoid(z: Tensor) -> Tensor:
    """PyTorch's own has no second derivative."""
    return F.relu6(z + 3) / 6


PLAIN: dict[Callable[..., Tensor], Callable[..., Tensor]] = {
    **{function: function for function in ELEMENTWISE},
    F.hardsigmoid: hardsigmoid,
    F.relu: torch.relu,
    torch.relu: torch.relu,
    torch.relu_: torch.relu,
    Tensor.relu: torch.relu,
    Tensor.relu_: torch.relu,
    torch.selu: F.selu,
    torch.selu_: F.selu,
    torch.celu: F.celu,
    torch.celu_: F.celu,
    torch.prelu: F.prelu,
    Tensor.prelu: F.prelu,
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
    F.leaky_relu_: F.leaky_relu,
    F.elu_: F.elu,
    F.selu_: F.selu,
    F.celu_: F.celu,
    F.hardtanh_: F.hardtanh,
    torch.threshold_: F.threshold,
}
"""Elementwise nonlinearities, and the form of each that changes nothing in place."""


def options_before_inplace(function: Callable[..., Tensor]) -> int | None:
    """How many positional arguments may follow the input; :obj:`None` if all may."""
    try:
        names = list(inspect.signature(function).parameters)
    except ValueError:
        return None
    return names.index("inplace") - 1 if "inplace" in names else None


OPTIONS = {function: options_before_inplace(function) for function in PLAIN}


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
        rest = rest[: OPTIONS[func]]
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
