"""Attention of GATv2 as an op: derivatives up to the third, dtypes, fakes, weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from graphkit.ops.autograd import additive_attention as code
from graphkit.ops.dropout import keep_scale
from tests.ops.oracles import dense_softmax, dense_spmm, random_graph

SOURCES, TARGETS, EDGES, HEADS, WIDTH = 6, 4, 15, 3, 2
GRAPH = random_graph(SOURCES, TARGETS - 1, EDGES)
SEED, SLOPE = torch.tensor([5]), 0.3
BACKENDS = ["numba", "torch", "reference"]


def operands(batch: int = 1, attrs: int = 2, kind: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(batch)
    shapes = [(2, SOURCES, HEADS, WIDTH), (2, TARGETS, HEADS, WIDTH), (HEADS, WIDTH)]
    shapes += [(batch, EDGES, attrs), (attrs, HEADS, WIDTH)]
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(kind) for s in shapes]


def dense_score(src: Tensor, dst: Tensor, att: Tensor, attr: Tensor, lin: Tensor) -> Tensor:
    met = src[:, GRAPH[0]] + dst[:, GRAPH[1]] + torch.einsum("bed,dhc->behc", attr, lin)
    return (F.leaky_relu(met, SLOPE) * att).sum(-1)


def dense(dropout: float, *x: Tensor) -> tuple[Tensor, Tensor]:
    weight = torch.stack([dense_softmax(GRAPH[1], each, TARGETS) for each in dense_score(*x)])
    weight = weight * keep_scale(SEED, weight, dropout) if dropout else weight
    pairs = zip(weight, x[0], strict=True)
    return torch.stack([dense_spmm(GRAPH, w, v, TARGETS) for w, v in pairs]), weight


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(("batch", "attrs"), [(1, 2), (2, 1), (1, 0)])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_of_each_operand_alone_and_of_second_order(dropout, batch, attrs, name):
    values = operands(batch, attrs)
    for number in range(len(values) + 1):
        asked = range(len(values)) if number == len(values) else [number]
        given = [v.clone().requires_grad_(place in asked) for place, v in enumerate(values)]
        leaves = [given[place] for place in asked]
        out, statistics = code.gatv2_forward(GRAPH, *given, SEED, SLOPE, dropout, name)
        wanted, _ = dense(dropout, *given)
        torch.testing.assert_close(out, wanted)
        assert not statistics.requires_grad
        toward = torch.linspace(-1, 2, out.numel()).double().view(out.shape)
        plain = torch.autograd.grad(out, leaves, toward, retain_graph=True)
        again = torch.autograd.grad(out, leaves, toward, create_graph=True)
        others = torch.autograd.grad(wanted, leaves, toward, create_graph=True)
        torch.testing.assert_close(plain, others)
        torch.testing.assert_close(again, others)
    second, third = (
        torch.autograd.grad(sum(g.square().sum() for g in each), leaves) for each in (again, others)
    )
    torch.testing.assert_close(second, third)


@pytest.mark.parametrize("batch", [1, 2])
def test_scores_up_to_the_third_derivative(batch):
    values, results = operands(batch), []
    for call in (lambda *v: code.gatv2_score(GRAPH, *v, SLOPE), dense_score):
        leaves = [value.clone().requires_grad_() for value in values]
        given, found = call(*leaves), []
        for _ in range(3):
            found.append(given)
            grads = torch.autograd.grad(given.square().sum(), leaves, create_graph=True)
            given = torch.cat([grad.flatten() for grad in grads])
        results.append([*found, given])
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("kind", [torch.float64, torch.half])
def test_the_composed_way_gives_weights_as_well(kind, dropout, name):
    values = operands(kind=kind)
    found = code.composed(GRAPH, *values, SEED, SLOPE, dropout, name)
    wanted = dense(dropout, *(value.double() for value in values))
    limit = 3e-3 if kind == torch.half else 1e-10
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == kind
        torch.testing.assert_close(one.double(), other, rtol=limit, atol=limit)


def test_transforms_see_through_every_op():
    values = operands()
    moves = [value.sin() for value in values]
    score = dense_score(*values)
    calls = {
        "forward": (
            lambda *v: code.gatv2_forward(GRAPH, *v, SEED, SLOPE, 0.4, "auto")[0],
            lambda *v: dense(0.4, *v)[0],
        ),
        "score": (lambda *v: code.gatv2_score(GRAPH, *v, SLOPE), dense_score),
        "score backward": (
            lambda *v: code.gatv2_score_backward(GRAPH, *v, score, SLOPE)[0],
            lambda *v: torch.func.grad(lambda x: (dense_score(x, *v[1:]) * score).sum())(v[0]),
        ),
    }
    for call, other in calls.values():
        out, moved = torch.func.jvp(call, tuple(values), tuple(moves))
        wanted, change = torch.func.jvp(other, tuple(values), tuple(moves))
        torch.testing.assert_close(out, wanted)
        torch.testing.assert_close(moved, change)
    out, statistics = code.gatv2_forward(GRAPH, *values, SEED, SLOPE, 0.4, "reference")
    given = (GRAPH, *values, out, statistics)
    plain = code.gatv2_backward(*given, out, SEED, SLOPE, 0.4, "auto")
    inside, _ = torch.func.jvp(
        lambda grad: code.gatv2_backward(*given, grad, SEED, SLOPE, 0.4, "auto"), (out,), (out,)
    )
    torch.testing.assert_close(inside, plain)


@pytest.mark.parametrize("kind", [torch.half, torch.float32])
def test_shapes_and_dtypes_for_recorders(kind):
    values = operands(kind=kind)
    score = code.gatv2_score(GRAPH, *values, SLOPE)
    out, statistics = code.gatv2_forward(GRAPH, *values, SEED, SLOPE, 0.0, "numba")
    plain = [score, *code.gatv2_score_backward(GRAPH, *values, score, SLOPE), out, statistics]
    given = (out, statistics, out, SEED, SLOPE, 0.0, "numba")
    plain += code.gatv2_backward(GRAPH, *values, *given)
    with torch._subclasses.FakeTensorMode() as mode:
        index, seed, *faked = (mode.from_tensor(v) for v in (GRAPH, SEED, *values))
        score = code.gatv2_score(index, *faked, SLOPE)
        out, statistics = code.gatv2_forward(index, *faked, seed, SLOPE, 0.0, "numba")
        told = [score, *code.gatv2_score_backward(index, *faked, score, SLOPE), out, statistics]
        given = (out, statistics, out, seed, SLOPE, 0.0, "numba")
        told += code.gatv2_backward(index, *faked, *given)
    for number, (one, other) in enumerate(zip(plain, told, strict=True)):
        assert (one.shape, one.dtype) == (other.shape, other.dtype), number
    assert plain[0].dtype == plain[7].dtype == torch.float32
