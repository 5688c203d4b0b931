"""Attention as an op: gradients of what asks for one, second derivatives, fakes, weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from graphkit.ops.autograd import attention
from graphkit.ops.dropout import keep_scale
from tests.ops.oracles import dense_softmax, dense_spmm, random_graph

SOURCES, TARGETS, EDGES = 6, 4, 15
GRAPH = random_graph(SOURCES, TARGETS - 1, EDGES)
SEED, SLOPE = torch.tensor([5]), 0.3
BACKENDS = ["numba", "torch", "reference"]


def operands(edges: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(edges)
    shapes = [(2, SOURCES, 3, 2), (2, SOURCES, 3), (2, TARGETS, 3)]
    shapes += [(edges, EDGES, 3)] if edges else []
    return [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]


def dense(dropout: float, x: Tensor, src: Tensor, dst: Tensor, *edge: Tensor):
    score = src[:, GRAPH[0]] + dst[:, GRAPH[1]]
    score = F.leaky_relu(score + edge[0] if edge else score, SLOPE)
    weight = torch.stack([dense_softmax(GRAPH[1], each, TARGETS) for each in score])
    weight = weight * keep_scale(SEED, weight, dropout) if dropout else weight
    pairs = zip(weight, x, strict=True)
    return torch.stack([dense_spmm(GRAPH, w, v, TARGETS) for w, v in pairs]), weight


def run(call, name: str, dropout: float, values: list[Tensor]):
    given = [*values, None] if len(values) == 3 else values
    return call(GRAPH, *given, SEED, SLOPE, dropout, name)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("edges", [0, 1, 2])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_of_each_operand_alone_and_of_second_order(dropout, edges, name):
    values = operands(edges)
    wanted, _ = dense(dropout, *values)
    for number in range(len(values) + 1):
        asked = range(len(values)) if number == len(values) else [number]
        given = [v.clone().requires_grad_(place in asked) for place, v in enumerate(values)]
        leaves = [given[place] for place in asked]
        out, _ = run(attention.gat_forward, name, dropout, given)
        torch.testing.assert_close(out, wanted)
        toward = torch.linspace(-1, 2, out.numel()).double().view(out.shape)
        plain = torch.autograd.grad(out, leaves, toward, retain_graph=True)
        again = torch.autograd.grad(out, leaves, toward, create_graph=True)
        others = torch.autograd.grad(dense(dropout, *given)[0], leaves, toward, create_graph=True)
        torch.testing.assert_close(plain, others)
        torch.testing.assert_close(again, others)
        if number:
            second, third = (
                torch.autograd.grad(sum(g.square().sum() for g in each), leaves)
                for each in (again, others)
            )
            torch.testing.assert_close(second, third)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("edges", [0, 2])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_the_composed_way_gives_weights_as_well(dropout, edges, name):
    values = operands(edges)
    found = run(attention.composed, name, dropout, values)
    torch.testing.assert_close(found, dense(dropout, *values))


@pytest.mark.parametrize("edges", [0, 2])
def test_transforms_and_recorders(edges):
    values, moves = operands(edges), [v.sin() for v in operands(edges)]

    def call(*given):
        return run(attention.gat_forward, "auto", 0.4, list(given))[0]

    out, moved = torch.func.jvp(call, tuple(values), tuple(moves))
    torch.testing.assert_close(out, dense(0.4, *values)[0])
    near = [
        dense(0.4, *(v + step * m for v, m in zip(values, moves, strict=True)))[0]
        for step in (1e-6, -1e-6)
    ]
    torch.testing.assert_close(moved, (near[0] - near[1]) / 2e-6, rtol=1e-5, atol=1e-7)
    halves = [value.half() for value in values]
    with torch._subclasses.FakeTensorMode() as mode:
        faked = [mode.from_tensor(value) for value in halves]
        given = [*faked, None] if edges == 0 else faked
        index, seed = mode.from_tensor(GRAPH), mode.from_tensor(SEED)
        out, statistics = attention.gat_forward(index, *given, seed, SLOPE, 0.0, "auto")
        grads = attention.gat_backward(
            index, *given, out, statistics, out, seed, SLOPE, 0.0, "auto"
        )
    assert (tuple(out.shape), out.dtype) == ((2, TARGETS, 3, 2), torch.half)
    assert (tuple(statistics.shape), statistics.dtype) == ((2, TARGETS, 2, 3), torch.float32)
    shapes = [tuple(v.shape) for v in faked[:3]] + [(2, EDGES if edges else 0, 3)]
    assert [tuple(grad.shape) for grad in grads] == shapes


def test_the_backward_op_is_the_same_within_a_transform():
    values = operands(2)
    out, statistics = run(attention.gat_forward, "reference", 0.4, values)
    given = (GRAPH, *values, out, statistics)
    plain = attention.gat_backward(*given, out, SEED, SLOPE, 0.4, "auto")
    inside = torch.func.jvp(
        lambda grad: attention.gat_backward(*given, grad, SEED, SLOPE, 0.4, "auto"),
        (out,),
        (out,),
    )
    torch.testing.assert_close(inside[0], plain)
    torch.testing.assert_close(inside[1][0], plain[0])


def test_statistics_have_no_gradient():
    values = [value.requires_grad_() for value in operands(0)]
    assert not run(attention.gat_forward, "numba", 0.0, values)[1].requires_grad
