"""Weighted sums and dot products: rows that are cut, batches, weights that serve all of one."""

from __future__ import annotations

import pytest
import torch

from graphkit import ops
from tests.ops.compared import SOURCES, TARGETS, TRIED, assert_dense, cut_graph
from tests.ops.oracles import dense_spmm

NAMES = ["spmm", "spmm_unweighted", "sddmm"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("shape", "dtype", "order", "batch", "scale"), TRIED)
def test_equals_dense_algebra(name, shape, dtype, order, batch, scale):
    assert_dense(name, shape, dtype, order, batch, scale)


@pytest.mark.parametrize("columns", [63, 64, 65, 128])
@pytest.mark.parametrize("order", ["none", "target"])
@pytest.mark.parametrize("name", NAMES)
def test_columns_around_a_tile(name, columns, order):
    assert_dense(name, (1, columns), torch.float32, order)


@pytest.mark.parametrize("edges", [0, 1, 40])
def test_few_edges(edges):
    for name in NAMES:
        assert_dense(name, (2, 64), edges=cut_graph()[:, :edges])


def test_one_weight_per_edge_for_all_graphs_of_a_batch():
    edges, generator = cut_graph(), torch.Generator().manual_seed(0)
    weight = torch.randn(edges.size(1), 2, generator=generator, dtype=torch.float64)
    x = torch.randn(3, SOURCES, 2, 5, generator=generator, dtype=torch.float64)
    out = ops.spmm(edges, weight, x, TARGETS)
    for found, value in zip(out, x, strict=True):
        torch.testing.assert_close(found, dense_spmm(edges, weight, value, TARGETS))


@pytest.mark.parametrize("order", ["none", "target"])
@pytest.mark.parametrize("width", [3, 64])
def test_groups_are_summed_wherever_their_entries_lie(order, width):
    index = cut_graph(order)[1]
    x = torch.arange(index.numel() * width, dtype=torch.float64).view(-1, width)
    out = ops.segment_reduce(x, index, TARGETS)
    inside = (index == torch.arange(TARGETS).view(-1, 1)).double()
    # Whole numbers: sums are exact in any order.
    assert torch.equal(out, inside @ x)
