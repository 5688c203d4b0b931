"""The sum of two linear maps in one step, and when it is none."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from torch import nn

from graphkit.nn import linear_pair as module
from graphkit.nn.linear_pair import linear_pair


def maps(bias: bool = True) -> tuple[nn.Linear, nn.Linear]:
    torch.manual_seed(3)
    return nn.Linear(5, 3, bias=bias).double(), nn.Linear(4, 3, bias=False).double()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(7,), (2, 7), (0,)])
def test_it_is_the_sum(shape, bias):
    first, second = maps(bias)
    x, y = (torch.randn(*shape, size, dtype=torch.float64, requires_grad=True) for size in (5, 4))
    values = [x, y, *first.parameters(), *second.parameters()]
    out, wanted = linear_pair(first, x, second, y), first(x) + second(y)
    torch.testing.assert_close(out, wanted)
    assert type(out.grad_fn).__name__ == "_LinearPairBackward"
    found, expected = (torch.autograd.grad(value.square().sum(), values) for value in (out, wanted))
    for grad, other in zip(found, expected, strict=True):
        torch.testing.assert_close(grad, other)


def test_gradients_of_any_order():
    first, second = maps()
    parameters = [first.weight, second.weight, first.bias]
    values = [torch.randn(3, size, dtype=torch.float64) for size in (5, 4)]
    values = [value.requires_grad_() for value in (*values, *parameters)]

    def call(x, y, weight, other, bias):
        return module._LinearPair.apply(x, weight, y, other, bias).tanh()

    assert torch.autograd.gradcheck(call, values)
    assert torch.autograd.gradgradcheck(call, values)


def test_hooks_transforms_and_autocast_get_the_maps_themselves():
    first, second = maps()
    x, y = torch.randn(3, 5, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    wanted = first(x) + second(y)
    tangent = torch.func.jvp(lambda x: linear_pair(first, x, second, y), (x,), (x,))[1]
    torch.testing.assert_close(tangent, x @ first.weight.t())
    with mock.patch.object(module._LinearPair, "apply", side_effect=AssertionError("one step")):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            linear_pair(first.float(), x.float(), second.float(), y.float())
        first.double(), second.double()
        handle = second.register_forward_hook(lambda module, inputs, out: 2 * out)
        torch.testing.assert_close(linear_pair(first, x, second, y), wanted + second(y) / 2)
        handle.remove()
        handle = nn.modules.module.register_module_forward_hook(lambda m, i, out: 3 * out)
        torch.testing.assert_close(linear_pair(first, x, second, y), 3 * wanted)
        handle.remove()
        with pytest.raises(AssertionError, match="one step"):
            linear_pair(first, x, second, y)
