"""Normalisation and the other reductions as ops: derivatives up to the second, winners, fakes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit.ops.autograd import softmax as code
from tests.ops.oracles import dense_softmax, random_graph

SIZE, ENTRIES = 4, 15
GRAPH = random_graph(6, SIZE - 1, ENTRIES)
BACKENDS = ["numba", "torch", "reference"]


def numbers(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("row", [0, 1])
def test_weights_and_both_derivatives(row, name):
    size = (7, SIZE)[row]
    score, toward = numbers(2, ENTRIES, 3).requires_grad_(), numbers(2, ENTRIES, 3)
    found = code.softmax(GRAPH, row, score, size, name)
    wanted = torch.stack([dense_softmax(GRAPH[row], each, size) for each in score])
    results = []
    for out in (found, wanted):
        (grad,) = torch.autograd.grad(out, score, toward, create_graph=True)
        (second,) = torch.autograd.grad(grad.square().sum(), score)
        results.append([out, grad, second])
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("name", BACKENDS)
def test_the_gradient_is_an_op_with_gradients_of_both_operands(name):
    alpha, grad = numbers(2, ENTRIES, 3).requires_grad_(), numbers(2, ENTRIES, 3)
    grad = (grad + 1).requires_grad_()
    one = torch.stack([GRAPH[1], GRAPH[1]])

    def dense(alpha: Tensor, grad: Tensor) -> Tensor:
        inside = (one[0] == torch.arange(SIZE).view(-1, 1)).double()
        total = inside.t() @ (inside @ (alpha * grad))
        return alpha * (grad - total)

    out = code.softmax_backward(GRAPH, 1, alpha, grad, SIZE, name)
    torch.testing.assert_close(out, dense(alpha, grad))
    toward = numbers(2, ENTRIES, 4)[..., :3]
    found = torch.autograd.grad(out, [alpha, grad], toward, create_graph=True)
    wanted = torch.autograd.grad(dense(alpha, grad), [alpha, grad], toward)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("name", BACKENDS)
def test_winners_get_the_gradient(name):
    x = torch.tensor([[1.0, 5.0], [3.0, 5.0], [3.0, 4.0], [9.0, -1.0]]).double()
    x = torch.stack([x, -x]).requires_grad_()
    index = torch.tensor([[0, 0, 0, 2]])
    value, arg = code.segment_max(index, 0, x, 3, name)
    assert value.tolist() == [[[3, 5], [0, 0], [9, -1]], [[-1, -4], [0, 0], [-9, 1]]]
    assert arg.tolist() == [[[1, 0], [4, 4], [3, 3]], [[0, 2], [4, 4], [3, 3]]]
    assert not arg.requires_grad
    toward = torch.arange(1.0, 13.0).double().view(2, 3, 2)
    (grad,) = torch.autograd.grad(value, x, toward)
    wanted = [[[0, 2], [1, 0], [0, 0], [5, 6]], [[7, 0], [0, 0], [0, 8], [11, 12]]]
    assert grad.tolist() == wanted


@pytest.mark.parametrize("name", BACKENDS)
def test_logarithms_of_sums(name):
    x, toward = numbers(2, ENTRIES, 3).requires_grad_(), numbers(2, SIZE, 3)
    found = code.segment_lse(GRAPH, 1, x, SIZE, name)
    assert (found[:, SIZE - 1] == -torch.inf).all()
    table = (GRAPH[1] == torch.arange(SIZE - 1).view(-1, 1)).view(1, SIZE - 1, ENTRIES, 1)
    wanted = x.unsqueeze(1).masked_fill(~table, -torch.inf).logsumexp(2)
    torch.testing.assert_close(found[:, : SIZE - 1], wanted)
    grads = [
        torch.autograd.grad(out[:, : SIZE - 1], x, toward[:, : SIZE - 1], create_graph=True)[0]
        for out in (found, wanted)
    ]
    torch.testing.assert_close(*grads)
    second = [torch.autograd.grad(grad.square().sum(), x)[0] for grad in grads]
    torch.testing.assert_close(*second)


def largest(x: Tensor) -> tuple[Tensor, Tensor]:
    return code.segment_max(GRAPH, 1, x, SIZE, "auto")


def test_transforms_get_the_same():
    x, way = numbers(2, ENTRIES, 3), numbers(2, ENTRIES, 4)[..., :3]
    calls = {
        "softmax": lambda v: code.softmax(GRAPH, 1, v, SIZE, "auto"),
        "backward": lambda v: code.softmax_backward(GRAPH, 1, v, v.sin(), SIZE, "auto"),
        "max": lambda v: code.segment_max(GRAPH, 1, v, SIZE, "auto")[0],
        "lse": lambda v: code.segment_lse(GRAPH, 1, v, SIZE - 1, "auto"),
    }
    for call in calls.values():
        out, moved = torch.func.jvp(call, (x,), (way,))
        torch.testing.assert_close(out, call(x))
        near = (call(x + 1e-6 * way) - call(x - 1e-6 * way)) / 2e-6
        torch.testing.assert_close(moved, near, rtol=1e-5, atol=1e-7)
    (_, positions), _ = torch.func.jvp(largest, (x,), (way,))
    assert torch.equal(positions, largest(x)[1])


def test_a_recorder_is_told_shapes_and_dtypes():
    with torch._subclasses.FakeTensorMode():
        edges = torch.empty(2, ENTRIES, dtype=torch.long)
        x = torch.empty(3, ENTRIES, 2).half().transpose(1, 2).contiguous().transpose(1, 2)
        value, arg = code.segment_max(edges, 1, x, SIZE, "torch")
        weight = code.softmax(edges, 1, x, SIZE, "torch")
        grad = code.softmax_backward(edges, 1, x, x, SIZE, "torch")
        lse = code.segment_lse(edges, 1, x, SIZE, "torch")
    for out, shape in ((value, (3, SIZE, 2)), (lse, (3, SIZE, 2)), (arg, (3, SIZE, 2))):
        assert tuple(out.shape) == shape
        assert out.dtype == (torch.int64 if out is arg else torch.half)
    for out in (weight, grad):
        assert tuple(out.shape) == (3, ENTRIES, 2)
        assert out.is_contiguous()
