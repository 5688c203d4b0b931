"""Sums along edges as ops: gradients only for what asks for one, and what a recorder is told."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit.ops.autograd import sums
from tests.ops.oracles import dense_sddmm, dense_spmm, incidence, random_graph

SOURCES, TARGETS, EDGES = 6, 4, 15
GRAPH = random_graph(SOURCES, TARGETS, EDGES)
BACKENDS = ["numba", "torch", "reference"]


def numbers(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def spmm(weight: Tensor | None, x: Tensor, transposed: bool, name: str) -> Tensor:
    return sums.spmm(GRAPH, weight, x, SOURCES if transposed else TARGETS, transposed, name)


def dense(weight: Tensor | None, x: Tensor, transposed: bool) -> Tensor:
    edges, size = (GRAPH.flip(0), SOURCES) if transposed else (GRAPH, TARGETS)
    outs = []
    for b, value in enumerate(x):
        own = None if weight is None else weight[b if len(weight) > 1 else 0]
        outs.append(dense_spmm(edges, own, value, size))
    return torch.stack(outs)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("weights", [0, 1, 2])
@pytest.mark.parametrize("asking", [(True, True), (True, False), (False, True)])
def test_sums_and_the_gradients_that_are_asked_for(asking, weights, transposed, name):
    values = [numbers(weights, EDGES, 3) if weights else None]
    values.append(numbers(2, TARGETS if transposed else SOURCES, 3, 2))
    leaves = [
        value.requires_grad_()
        for value, asked in zip(values, asking, strict=True)
        if asked and value is not None
    ]
    out, wanted = spmm(*values, transposed, name), dense(*values, transposed)
    torch.testing.assert_close(out, wanted)
    if not leaves:
        assert not out.requires_grad
        return
    toward = numbers(*out.shape)
    grads = torch.autograd.grad(out, leaves, toward, create_graph=True)
    others = torch.autograd.grad(wanted, leaves, toward, create_graph=True)
    torch.testing.assert_close(grads, others)
    if len(leaves) == 2:
        again = [sum(g.square().sum() for g in each) for each in (grads, others)]
        found, second = (torch.autograd.grad(value, leaves) for value in again)
        torch.testing.assert_close(found, second)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("asking", [(True, True), (True, False), (False, True)])
def test_products_and_the_gradients_that_are_asked_for(asking, name):
    values = [numbers(2, SOURCES, 3, 2), numbers(2, TARGETS, 3, 2)]
    leaves = [v.requires_grad_() for v, asked in zip(values, asking, strict=True) if asked]
    out = sums.sddmm(GRAPH, *values, name)
    wanted = torch.stack([dense_sddmm(GRAPH, *ends) for ends in zip(*values, strict=True)])
    torch.testing.assert_close(out, wanted)
    grads, others = (torch.autograd.grad(v, leaves, numbers(*out.shape)) for v in (out, wanted))
    torch.testing.assert_close(grads, others)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("row", [0, 1])
def test_groups_are_the_adjoint_of_copies(row, name):
    size = (SOURCES, TARGETS)[row]
    x, y = numbers(2, EDGES, 3).requires_grad_(), numbers(2, size, 3).requires_grad_()
    inside = incidence(GRAPH[row], size)
    total, copies = sums.segment_sum(GRAPH, row, x, size, name), sums.gather(GRAPH, row, y, name)
    torch.testing.assert_close(total, inside @ x)
    torch.testing.assert_close(copies, inside.t() @ y)
    (grad,) = torch.autograd.grad(total, x, y.detach())
    torch.testing.assert_close(grad, copies)
    (grad,) = torch.autograd.grad(copies, y, x.detach())
    torch.testing.assert_close(grad, total)


def test_transforms_get_the_same():
    weight, x = numbers(1, EDGES, 3), numbers(2, SOURCES, 3, 2)
    calls = {
        "spmm": (lambda v: spmm(weight, v, False, "auto"), x),
        "spmm to sources": (lambda v: spmm(weight, v, True, "auto"), numbers(2, TARGETS, 3, 2)),
        "sddmm": (lambda v: sums.sddmm(GRAPH, v, v[:, :TARGETS], "auto"), x),
        "segment_sum": (lambda v: sums.segment_sum(GRAPH, 1, v, TARGETS, "auto"), weight),
        "gather": (lambda v: sums.gather(GRAPH, 0, v, "auto"), x[..., 0]),
    }
    for name, (call, value) in calls.items():
        out, moved = torch.func.jvp(call, (value,), (value,))
        torch.testing.assert_close(out, call(value))
        # Linear, but for the product of a value with itself.
        torch.testing.assert_close(moved, (2 if name == "sddmm" else 1) * out)


def test_a_recorder_is_told_shapes_and_dtypes():
    with torch._subclasses.FakeTensorMode():
        edges = torch.empty(2, EDGES, dtype=torch.long)
        x, y = torch.empty(2, SOURCES, 3, 5).half(), torch.empty(2, TARGETS, 3, 5).half()
        entries = torch.empty(2, EDGES, 7).half()
        outs = {
            (2, TARGETS, 3, 5): sums.spmm(edges, None, x, TARGETS, False, "torch"),
            (2, EDGES, 3): sums.sddmm(edges, x, y, "torch"),
            (2, TARGETS, 7): sums.segment_sum(edges, 1, entries, TARGETS, "torch"),
            (2, EDGES, 15): sums.gather(edges, 0, x.flatten(2), "torch"),
        }
    for shape, out in outs.items():
        assert tuple(out.shape) == shape
        assert out.dtype == torch.half
