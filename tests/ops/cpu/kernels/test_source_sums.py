"""What sources get of numbers that lie in the order of the targets."""

from __future__ import annotations

import pytest
import torch

from graphkit.ops.cpu.pair_attention import _source_sums
from graphkit.ops.layout.rows import graph_of
from tests.ops.compared import SOURCES, TARGETS, cut_graph


@pytest.mark.parametrize("order", ["none", "target", "source"])
@pytest.mark.parametrize(
    ("heads", "width", "wide", "dtype"), [(8, 8, 16, torch.float32), (3, 5, 2, torch.float64)]
)
def test_both_sums_are_those_of_dense_algebra(heads, width, wide, dtype, order):
    edges, generator = cut_graph(order), torch.Generator().manual_seed(0)
    shapes = [(2, edges.size(1), 2, heads), (2, TARGETS, heads, width), (2, TARGETS, heads, wide)]
    terms, query, grad = (torch.randn(s, generator=generator, dtype=dtype) for s in shapes)
    # Edge e has its terms where it stands among the edges by target, equal ones as given.
    places = edges[1].argsort(stable=True).argsort()
    found = _source_sums(graph_of(edges, SOURCES, TARGETS), terms, query, grad)
    for out, place, x in zip(found, (0, 1), (query, grad), strict=True):
        of_edges = terms[:, places, place].unsqueeze(-1) * x[:, edges[1]]
        wanted = of_edges.new_zeros(2, SOURCES, *x.shape[2:]).index_add(1, edges[0], of_edges)
        torch.testing.assert_close(out, wanted, rtol=1e-4, atol=1e-4)
