"""Small graphs, served in one call, get what the kernels for large ones give."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit.ops.attention import self_attention
from graphkit.ops.cpu import self_attention as small
from graphkit.ops.layout.rows import graph_of
from tests.ops.oracles import random_graph


def gradients(edge_index: Tensor, shape: tuple[int, ...], dropout: float) -> list[Tensor]:
    torch.manual_seed(0)
    x = torch.randn(*shape[:-1], 2 * shape[-1], dtype=torch.float64)[..., ::2].requires_grad_()
    src, dst = (torch.randn(1, *shape[-2:], dtype=x.dtype).requires_grad_() for _ in range(2))
    out = self_attention(edge_index, x, src, dst, 0.2, dropout)
    # The gradient of a sum is one value everywhere, in memory for one value.
    return [out.detach(), *torch.autograd.grad(out.square().sum() + out.sum(), [x, src, dst])]


@pytest.mark.parametrize("edges", [0, 1, 300])
@pytest.mark.parametrize("shape", [(40, 8, 8), (3, 40, 3, 5), (40, 1, 1)])
@pytest.mark.parametrize("dropout", [0.0, 0.5, 1.0])
def test_one_call_is_the_calls_that_it_is_made_of(
    edges: int, shape: tuple[int, ...], dropout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge_index = random_graph(40, 40, edges)
    for index in (edge_index, edge_index[:, edge_index[1].argsort()]):
        found = gradients(index, shape, dropout)
        with monkeypatch.context() as context:
            context.setattr(small, "SMALL", -1)
            expected = gradients(index, shape, dropout)
        for value, other in zip(found, expected, strict=True):
            torch.testing.assert_close(value, other)


def test_small_is_what_edges_and_nodes_say() -> None:
    x = torch.randn(1, 10, 8, 8)
    assert small.is_small(graph_of(random_graph(10, 10, 2**14), 10, 10), x)
    assert not small.is_small(graph_of(random_graph(10, 10, 2**14 + 1), 10, 10), x)
    assert not small.is_small(graph_of(random_graph(10, 10, 4), 10, 10), x.bfloat16())
    many = torch.empty(1, 2**20, 1, 1)
    assert not small.is_small(graph_of(random_graph(10, 10, 4), 2**20, 2**20), many)


@pytest.mark.parametrize("sort", [False, True])
def test_a_plan_outlives_its_graph(sort: bool) -> None:
    """Another graph may get the name of one that is gone, and with it the plan of that."""
    edges = random_graph(10, 10, 30)
    edges = edges[:, edges[1].argsort()] if sort else edges
    x = torch.randn(1, 10, 2, 3)
    plan = small._plan_of(graph_of(edges, 10, 10), x)
    told = {address for way in (plan.forward, plan.backward) for address in way[0] if address}
    assert len(told) == (5 if sort else 6)
    assert told == {value.data_ptr() for value in plan.kept}
