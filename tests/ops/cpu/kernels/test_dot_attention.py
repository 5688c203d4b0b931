"""Scores of transformers: queries of edges, shared features and those of each graph."""

from __future__ import annotations

import pytest
import torch

from graphkit.ops.autograd.product_attention import dot_forward
from tests.ops.compared import SOURCES, TARGETS, TRIED, assert_dense, cut_graph
from tests.ops.oracles import dense_softmax, dense_spmm, incidence


@pytest.mark.parametrize("name", ["dot_attention", "dot_attention_edges"])
@pytest.mark.parametrize(("shape", "dtype", "order", "batch", "scale"), TRIED)
def test_equals_dense_algebra(name, shape, dtype, order, batch, scale):
    assert_dense(name, shape, dtype, order, batch, scale)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("heads", "attrs"), [(8, 1), (3, 4)])
def test_features_of_edges_may_differ_between_graphs(heads, attrs, shared):
    """Also the sums of edge features themselves, and values wider than keys."""
    edges, generator = cut_graph("target"), torch.Generator().manual_seed(2)
    shapes = [(2, TARGETS, heads, 5), (2, SOURCES, heads, 5), (2, SOURCES, heads, 7)]
    shapes += [(1 if shared else 2, edges.size(1), attrs), (2, TARGETS, heads, attrs)]
    values = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    leaves = [value.requires_grad_() for value in values]
    found = dot_forward(edges, *leaves, torch.tensor([0]), 0.7, 0.0, "numba")[:2]
    query, key, value, attr, edge_query = leaves
    into, sums, edge_sums = incidence(edges[1], TARGETS), [], []
    for b in range(2):
        features = attr[0 if shared else b]
        score = (query[b, edges[1]] * key[b, edges[0]]).sum(-1)
        score = score + (edge_query[b, edges[1]] * features.unsqueeze(1)).sum(-1)
        weight = dense_softmax(edges[1], 0.7 * score, TARGETS)
        sums.append(dense_spmm(edges, weight, value[b], TARGETS))
        edge_sums.append(torch.einsum("me,eh,ed->mhd", into, weight, features))
    wanted = torch.stack(sums), torch.stack(edge_sums)
    toward = [torch.randn(v.shape, generator=generator, dtype=torch.float64) for v in wanted]
    torch.testing.assert_close(found, wanted)
    grads = torch.autograd.grad(found, leaves, toward)
    for grad, other in zip(grads, torch.autograd.grad(wanted, leaves, toward), strict=True):
        torch.testing.assert_close(grad, other)
