"""Attention by dot products as an op: both sums, every gradient, dtypes, fakes, weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit.ops.autograd import product_attention as code
from graphkit.ops.dropout import keep_scale
from tests.ops.oracles import dense_softmax, incidence, random_graph

SOURCES, TARGETS, EDGES, HEADS, WIDTH = 6, 4, 15, 3, 2
GRAPH = random_graph(SOURCES, TARGETS - 1, EDGES)
INTO = incidence(GRAPH[1], TARGETS)
SEED, SCALE = torch.tensor([5]), 0.7
BACKENDS = ["numba", "torch", "reference"]


def operands(batch: int = 1, attrs: int = 2, kind: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(batch)
    shapes = [(2, TARGETS, HEADS, WIDTH), (2, SOURCES, HEADS, WIDTH), (2, SOURCES, HEADS, 3)]
    shapes += [(batch, EDGES, attrs), (2, TARGETS, HEADS, attrs)]
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(kind) for s in shapes]


def dense(dropout: float, query: Tensor, key: Tensor, value: Tensor, attr: Tensor, more: Tensor):
    score = (query[:, GRAPH[1]] * key[:, GRAPH[0]]).sum(-1)
    score = SCALE * (score + (more[:, GRAPH[1]] * attr.unsqueeze(2)).sum(-1))
    weight = torch.stack([dense_softmax(GRAPH[1], each, TARGETS) for each in score])
    kept = weight * keep_scale(SEED, weight, dropout) if dropout else weight
    out = torch.einsum("me,beh,behc->bmhc", INTO, kept, value[:, GRAPH[0]])
    edge_out = torch.einsum("me,beh,bed->bmhd", INTO, kept, attr.expand(2, -1, -1))
    return out, edge_out, weight


def heard(outs: tuple[Tensor, ...]) -> Tensor:
    return sum((out.sin() * (n + 1)).sum() for n, out in enumerate(outs[:2]))


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(("batch", "attrs"), [(1, 2), (2, 1), (1, 0)])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_of_each_operand_alone_and_of_second_order(dropout, batch, attrs, name):
    values = operands(batch, attrs)
    for number in range(len(values) + 1):
        asked = range(len(values)) if number == len(values) else [number]
        given = [v.clone().requires_grad_(place in asked) for place, v in enumerate(values)]
        leaves = [given[place] for place in asked]
        *outs, statistics = code.dot_forward(GRAPH, *given, SEED, SCALE, dropout, name)
        wanted = dense(dropout, *given)[:2]
        torch.testing.assert_close(outs, list(wanted))
        assert not statistics.requires_grad
        plain = torch.autograd.grad(heard(outs), leaves, retain_graph=True)
        again = torch.autograd.grad(heard(outs), leaves, create_graph=True)
        others = torch.autograd.grad(
            heard(wanted), leaves, create_graph=True, materialize_grads=True
        )
        torch.testing.assert_close(plain, others)
        torch.testing.assert_close(again, others)
    second, third = (
        torch.autograd.grad(sum(g.square().sum() for g in each), leaves, materialize_grads=True)
        for each in (again, others)
    )
    torch.testing.assert_close(second, third)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("attrs", [2, 0])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("kind", [torch.float64, torch.half])
def test_the_composed_way_gives_weights_before_they_are_dropped(kind, dropout, attrs, name):
    values = operands(attrs=attrs, kind=kind)
    found = code.composed(GRAPH, *values, SEED, SCALE, dropout, name)
    wanted = dense(dropout, *(value.double() for value in values))
    limit = 3e-3 if kind == torch.half else 1e-10
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == kind
        torch.testing.assert_close(one.double(), other, rtol=limit, atol=limit)


def test_transforms_see_through_both_ops():
    values = operands()
    moves = [value.sin() for value in values]
    found = torch.func.jvp(
        lambda *v: code.dot_forward(GRAPH, *v, SEED, SCALE, 0.4, "auto")[:2],
        tuple(values),
        tuple(moves),
    )
    wanted = torch.func.jvp(lambda *v: dense(0.4, *v)[:2], tuple(values), tuple(moves))
    torch.testing.assert_close(found, wanted)
    *outs, statistics = code.dot_forward(GRAPH, *values, SEED, SCALE, 0.4, "reference")
    given = (GRAPH, *values, *outs, statistics)
    plain = code.dot_backward(*given, *outs, SEED, SCALE, 0.4, "auto")
    inside, _ = torch.func.jvp(
        lambda grad: code.dot_backward(*given, grad, outs[1], SEED, SCALE, 0.4, "auto"),
        (outs[0],),
        (outs[0],),
    )
    torch.testing.assert_close(inside, plain)


@pytest.mark.parametrize("kind", [torch.half, torch.float32])
@pytest.mark.parametrize("attrs", [2, 0])
def test_shapes_and_dtypes_for_recorders(attrs, kind):
    values = operands(attrs=attrs, kind=kind)

    def every(index: Tensor, seed: Tensor, values: list[Tensor]) -> list[Tensor]:
        *outs, statistics = code.dot_forward(index, *values, seed, SCALE, 0.0, "numba")
        settings = (seed, SCALE, 0.0, "numba")
        grads = code.dot_backward(index, *values, *outs, statistics, *outs, *settings)
        return [*outs, statistics, *grads]

    plain = every(GRAPH, SEED, values)
    with torch._subclasses.FakeTensorMode() as mode:
        index, seed, *faked = (mode.from_tensor(v) for v in (GRAPH, SEED, *values))
        told = every(index, seed, faked)
    for number, (one, other) in enumerate(zip(plain, told, strict=True)):
        assert (one.shape, one.dtype) == (other.shape, other.dtype), number
    assert plain[2].dtype == torch.float32
