"""Checks of derivatives taken otherwise than by ``backward``: forward mode and ``torch.func``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from graphkit.testing.asserts import assert_close
from graphkit.testing.layer.base import LayerBase

Inputs = tuple[Tensor, ...]


class DerivativeChecks(LayerBase):
    """Does every way to differentiate it give the same derivative?

    The truth is ``torch.autograd.grad``, which the other checks compare with dense algebra. A
    layer whose kernels cannot be differentiated in some way must refuse and decline the check
    in ``not_claimed``: a tangent that is zero, or lacks a part, is the worst answer.
    """

    def test_forward_mode(self) -> None:
        """Dual numbers carry the tangents of features and parameters that autograd implies."""
        run, inputs = self._function()
        tangents = tuple(torch.randn_like(value) for value in inputs)
        expected = _tangent_by_autograd(run, inputs, tangents)
        with forward_ad.dual_level():
            duals = (forward_ad.make_dual(*pair) for pair in zip(inputs, tangents, strict=True))
            tangent = forward_ad.unpack_dual(run(*duals)).tangent
        assert tangent is not None, "the output carries no tangent"
        assert_close(tangent, expected, "tangents of dual numbers")

    def test_func_jvp(self) -> None:
        """``torch.func.jvp`` gives the output and the tangent that autograd implies."""
        run, inputs = self._function()
        tangents = tuple(torch.randn_like(value) for value in inputs)
        out, tangent, *_ = torch.func.jvp(run, inputs, tangents)
        assert_close(out, run(*inputs), "outputs")
        expected = _tangent_by_autograd(run, inputs, tangents)
        assert_close(tangent, expected, "tangents of torch.func.jvp")

    def test_func_grad(self) -> None:
        """``torch.func.grad`` equals autograd, also with the edges among the arguments."""
        run, inputs = self._function()
        _, edge_index, _ = self.sample("self_loops")

        def loss(inputs: Inputs, edge_index: Tensor) -> Tensor:
            return run(*inputs, edge_index=edge_index).square().sum()

        gradients = torch.func.grad(loss)(inputs, edge_index)
        leaves = tuple(value.clone().requires_grad_() for value in inputs)
        expected = torch.autograd.grad(
            loss(leaves, edge_index), leaves, allow_unused=True, materialize_grads=True
        )
        for gradient, value in zip(gradients, expected, strict=True):
            assert_close(gradient, value, "gradients of torch.func.grad")

    def test_func_vmap(self) -> None:
        """``vmap`` over features, and over their gradients, is a loop."""
        run, (x, *parameters) = self._function()
        several = torch.stack([x, x.flip(0), 2 * x])

        def loss(x: Tensor) -> Tensor:
            return run(x, *parameters).square().sum()

        out = torch.func.vmap(lambda x: run(x, *parameters))(several)
        assert_close(out, torch.stack([run(x, *parameters) for x in several]), "outputs of vmap")
        gradients = torch.func.vmap(torch.func.grad(loss))(several)
        for gradient, x in zip(gradients, several, strict=True):
            leaf = x.clone().requires_grad_()
            (expected,) = torch.autograd.grad(loss(leaf), leaf)
            assert_close(gradient, expected, "gradients of vmap(grad)")

    def test_func_jacobian(self) -> None:
        """``jacrev``, ``jacfwd`` and batched gradients give autograd's Jacobian."""
        run, (x, *parameters) = self._function("other")

        def function(x: Tensor) -> Tensor:
            return run(x, *parameters)

        expected = torch.autograd.functional.jacobian(function, x)
        together = torch.autograd.functional.jacobian(function, x, vectorize=True)
        assert_close(together, expected, "batched gradients")
        assert_close(torch.func.jacrev(function)(x), expected, "jacrev")
        assert_close(torch.func.jacfwd(function)(x), expected, "jacfwd")

    def _function(self, name: str = "self_loops") -> tuple[Callable[..., Tensor], Inputs]:
        """The layer as a function of its features and parameters, and values for them."""
        layer = self.build()
        x, edges, extra = self.sample(name)
        names = [name for name, _ in layer.named_parameters()]
        caller = _Caller(self, layer, extra)

        def run(x: Tensor, *parameters: Tensor, edge_index: Tensor = edges) -> Tensor:
            given = {f"layer.{n}": p for n, p in zip(names, parameters, strict=True)}
            return torch.func.functional_call(caller, given, (x, edge_index))

        return run, (x, *(value.detach() for value in layer.parameters()))


class _Caller(nn.Module):
    """A module that calls the layer as its suite says, so that parameters can be replaced."""

    def __init__(self, suite: LayerBase, layer: nn.Module, extra: dict[str, Tensor]) -> None:
        super().__init__()
        self.layer, self.suite, self.extra = layer, suite, extra

    def forward(self, x: Tensor, edge_index: Tensor) -> Any:
        return self.suite.call(self.layer, x, edge_index, **self.extra)


def _tangent_by_autograd(run: Callable[..., Tensor], inputs: Inputs, tangents: Inputs) -> Tensor:
    """The directional derivative by reverse mode: a gradient that is linear in its weight."""
    leaves = tuple(value.clone().requires_grad_() for value in inputs)
    out = run(*leaves)
    weight = torch.zeros_like(out, requires_grad=True)
    gradients = torch.autograd.grad(
        out, leaves, weight, create_graph=True, allow_unused=True, materialize_grads=True
    )
    total = sum((g * t).sum() for g, t in zip(gradients, tangents, strict=True))
    assert isinstance(total, Tensor)
    (tangent,) = torch.autograd.grad(total, weight, allow_unused=True, materialize_grads=True)
    return tangent
