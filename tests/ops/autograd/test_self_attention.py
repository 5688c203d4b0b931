"""Self-attention as one op: small graphs, large ones, and every other backend."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from graphkit.ops.autograd import self_attention as code
from graphkit.ops.cpu import self_attention as small
from graphkit.ops.dropout import keep_scale
from tests.ops.oracles import dense_softmax, dense_spmm, random_graph

NODES, EDGES = 6, 20
GRAPH = random_graph(NODES, NODES - 1, EDGES)
SEED, SLOPE = torch.tensor([5]), 0.3


def operands() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, NODES, 3, 2), (1, 3, 2), (1, 3, 2)]
    return [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]


def dense(dropout: float, x: Tensor, src: Tensor, dst: Tensor) -> Tensor:
    score = (x * src).sum(-1)[:, GRAPH[0]] + (x * dst).sum(-1)[:, GRAPH[1]]
    score = F.leaky_relu(score, SLOPE)
    weight = torch.stack([dense_softmax(GRAPH[1], each, NODES) for each in score])
    weight = weight * keep_scale(SEED, weight, dropout) if dropout else weight
    return torch.stack([dense_spmm(GRAPH, w, v, NODES) for w, v in zip(weight, x, strict=True)])


@pytest.mark.parametrize("name", ["small", "large", "torch", "reference"])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_of_each_operand_alone_and_of_second_order(dropout, name, monkeypatch):
    monkeypatch.setattr(small, "SMALL", 1 << 40 if name == "small" else -1)
    backend = "numba" if name in ("small", "large") else name
    values = operands()
    for number in range(4):
        asked = range(3) if number == 3 else [number]
        given = [v.clone().requires_grad_(place in asked) for place, v in enumerate(values)]
        leaves = [given[place] for place in asked]
        out, statistics, *scores = code.self_attention(GRAPH, *given, SEED, SLOPE, dropout, backend)
        wanted = dense(dropout, *given)
        torch.testing.assert_close(out, wanted)
        for score, vector in zip(scores, given[1:], strict=True):
            torch.testing.assert_close(score, (given[0] * vector).sum(-1))
            assert not score.requires_grad
        assert not statistics.requires_grad
        toward = torch.linspace(-1, 2, out.numel()).double().view(out.shape)
        plain = torch.autograd.grad(out, leaves, toward, retain_graph=True)
        again = torch.autograd.grad(out, leaves, toward, create_graph=True)
        others = torch.autograd.grad(wanted, leaves, toward, create_graph=True)
        torch.testing.assert_close(plain, others)
        torch.testing.assert_close(again, others)
        second, third = (
            torch.autograd.grad(sum(g.square().sum() for g in each), leaves)
            for each in (again, others)
        )
        torch.testing.assert_close(second, third)


def test_one_call_only_for_small_graphs_of_a_backend_that_has_it(monkeypatch):
    called = []
    for place in ("is_small", "self_attention", "gat_forward"):
        from graphkit.ops.cpu import backend

        before = getattr(backend, place)
        monkeypatch.setattr(backend, place, lambda *a, b=before, p=place: called.append(p) or b(*a))
    for limit, last in ((1 << 40, "self_attention"), (-1, "gat_forward")):
        called.clear()
        monkeypatch.setattr(small, "SMALL", limit)
        code.self_attention(GRAPH, *operands(), SEED, SLOPE, 0.0, "numba")
        assert called == ["is_small", last]


@pytest.mark.parametrize("kind", [torch.half, torch.bfloat16, torch.float32])
def test_shapes_and_dtypes_for_recorders(kind):
    values = [value.to(kind) for value in operands()]
    plain = code.self_attention(GRAPH, *values, SEED, SLOPE, 0.0, "numba")
    with torch._subclasses.FakeTensorMode() as mode:
        faked = [mode.from_tensor(value) for value in values]
        index, seed = mode.from_tensor(GRAPH), mode.from_tensor(SEED)
        told = code.self_attention(index, *faked, seed, SLOPE, 0.0, "numba")
        grads = code.self_attention_backward(
            index, *faked, *told[2:], *told[:2], told[0], seed, SLOPE, 0.0, "numba"
        )
    for one, other in zip(plain, told, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
    assert plain[0].dtype == kind
    assert {value.dtype for value in plain[1:]} == {torch.float32}
    assert [grad.shape for grad in grads] == [value.shape for value in values]
    if kind == torch.half:
        wanted = dense(0.0, *(value.double() for value in values))
        torch.testing.assert_close(plain[0].double(), wanted, rtol=2e-3, atol=2e-3)


def test_transforms_see_through_both_ops():
    values = operands()
    moves = [value.sin() for value in values]
    call = lambda *v: code.self_attention(GRAPH, *v, SEED, SLOPE, 0.4, "auto")[0]  # noqa: E731
    out, moved = torch.func.jvp(call, tuple(values), tuple(moves))
    torch.testing.assert_close(out, dense(0.4, *values))
    ends = [
        dense(0.4, *(v + step * m for v, m in zip(values, moves, strict=True)))
        for step in (1e-6, -1e-6)
    ]
    torch.testing.assert_close(moved, (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-7)
    out, statistics, *scores = code.self_attention(GRAPH, *values, SEED, SLOPE, 0.4, "auto")
    given = (GRAPH, *values, *scores, out, statistics)
    plain = code.self_attention_backward(*given, out, SEED, SLOPE, 0.4, "auto")
    inside, same = torch.func.jvp(
        lambda grad: code.self_attention_backward(*given, grad, SEED, SLOPE, 0.4, "auto"),
        (out,),
        (out,),
    )
    torch.testing.assert_close(inside, plain)
    # Linear in the gradient that comes in, but for what is known about the sums.
    assert [value.shape for value in same] == [value.shape for value in plain]
