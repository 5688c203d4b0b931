"""Who gets the kernel, the library op or plain PyTorch, and gradients of what is needed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from graphkit.ops.autograd.op import Op, gradients_of, views

CALLED: list[str] = []


def doubled_for_test(x: Tensor, y: Tensor | None, factor: float) -> Tensor:
    CALLED.append("kernel")
    return factor * x.detach() if y is None else factor * x.detach() + y.detach()


def save(ctx, inputs, output):
    CALLED.append("save")
    ctx.factor, ctx.alone = inputs[2], inputs[1] is None


def backward(ctx, grad):
    CALLED.append("backward")
    return ctx.factor * grad, None if ctx.alone else grad, None


def composed(x, y, factor):
    CALLED.append("composed")
    return factor * x if y is None else factor * x + y


def fake(x, y, factor):
    return torch.empty_like(x)


OP = Op(
    doubled_for_test,
    values=(0, 1),
    fake=fake,
    composed=composed,
    save=save,
    backward=backward,
)


class Recorder(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def nothing_called():
    CALLED.clear()


def test_plain_calls_are_the_kernel_alone():
    x = torch.ones(2)
    assert OP(x, None, 2.0).tolist() == [2, 2]
    with torch.no_grad():
        OP(x.clone().requires_grad_(), None, 2.0)
    assert CALLED == ["kernel", "kernel"]


@pytest.mark.parametrize("place", [0, 1])
def test_any_value_that_needs_a_gradient_gets_one(place):
    values = [torch.ones(2), torch.ones(2)]
    values[place].requires_grad_()
    out = OP(*values, 2.0)
    assert CALLED == ["kernel", "save"]
    (grad,) = torch.autograd.grad(out, values[place], torch.tensor([1.0, 3.0]))
    assert grad.tolist() == [[2, 6], [1, 3]][place]
    assert CALLED == ["kernel", "save", "backward"]


def test_transforms_see_through():
    _, moved = torch.func.jvp(lambda x: OP(x, None, 2.0), (torch.ones(2),), (torch.ones(2),))
    assert moved.tolist() == [2, 2]
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(torch.ones(2), torch.ones(2))
        OP(torch.ones(2), dual, 2.0)
    assert CALLED == ["composed", "composed"]


def test_recorders_get_a_library_op():
    with torch._subclasses.FakeTensorMode():
        assert OP(torch.ones(3), None, 2.0).shape == (3,)
    assert CALLED == []
    with Recorder():
        assert OP(torch.ones(3), None, 2.0).tolist() == [2, 2, 2]
    assert CALLED == ["kernel"]
    assert torch.ops.graphkit.doubled_for_test(torch.ones(1), None, 3.0).item() == 3


def test_the_library_op_has_gradients_too():
    x = torch.ones(2, requires_grad=True)
    out = torch.ops.graphkit.doubled_for_test(x, None, 2.0)
    assert torch.autograd.grad(out.sum(), x)[0].tolist() == [2, 2]


def another_for_test(x: Tensor) -> Tensor:
    return x + 1


def test_an_op_without_a_derivative_has_none():
    op = Op(another_for_test, values=[0], fake=lambda x: x, composed=another_for_test)
    assert op.function is None
    assert op(torch.ones(1)).item() == 2


def test_views_are_other_tensors_of_the_same_graph():
    x = torch.ones(2, requires_grad=True)
    first, nothing = views([x, None])
    assert nothing is None
    assert first is not x
    assert torch.autograd.grad(first.sum(), x)[0].tolist() == [1, 1]


def test_gradients_of_what_is_needed_can_be_derived():
    x, y, z = (torch.tensor(float(n), requires_grad=True) for n in (2, 3, 4))
    found = gradients_of(x**3 * y, (x, y, z), torch.tensor(2.0), (True, False, True))
    assert (found[0].item(), found[1], found[2].item()) == (72, None, 0)
    assert torch.autograd.grad(found[0], x)[0].item() == 72
    with pytest.raises(ValueError, match="zip"):
        gradients_of(x, (x, y), None, (True,))


def test_an_output_that_hangs_on_nothing_is_not_heard():
    x, y = (torch.tensor(n, requires_grad=True) for n in (2.0, 3.0))
    grads = [torch.tensor(1.0), torch.tensor(5.0)]
    for outs, wanted in (([x * x, y.detach()], 4), ([y.detach(), x * x], 20)):
        found = gradients_of(outs, (x, y), grads, (True, True))
        assert [grad.item() for grad in found] == [wanted, 0]
    found = gradients_of([x * x, x * y], (x, y), grads, (True, True))
    assert [grad.item() for grad in found] == [19, 10]
    with pytest.raises(ValueError, match="zip"):
        gradients_of([x], (x, y), grads, (True, False))
