"""PyTorch's scatter ops: within the budget, edge by edge if need be, the same numbers."""

from __future__ import annotations

import pytest
import torch

from graphkit import ops
from graphkit.ops import torch_backend
from tests.ops.compared import DOUBLE, FLOAT, SOURCES, TARGETS, assert_dense, cut_graph

NAMES = ["spmm", "spmm_unweighted", "sddmm", "gat_attention_edges", "edge_softmax"]


@pytest.mark.parametrize(
    ("edges", "values", "wanted"),
    [
        *((0, 4, []), (1, 0, [(0, 12)]), (12, 1, [(0, 12)]), (13, 1, [(0, 12), (12, 24)])),
        *((7, 4, [(0, 3), (3, 6), (6, 9)]), (3, 5, [(0, 2), (2, 4)])),
        *((2, 12, [(0, 1), (1, 2)]), (2, 99, [(0, 1), (1, 2)])),
    ],
)
def test_ranges_stay_within_the_budget(edges, values, wanted, monkeypatch):
    monkeypatch.setattr(torch_backend, "BUDGET", 12)
    found = list(torch_backend.slices(edges, values))
    assert [(part.start, part.stop) for part in found] == wanted
    assert all(part.step is None for part in found)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dtype", "batch"), [(DOUBLE, 0), (DOUBLE, 2), (FLOAT, 0)])
@pytest.mark.parametrize("budget", [1 << 22, 9000])
def test_equals_dense_algebra(name, dtype, batch, budget, monkeypatch):
    monkeypatch.setattr(torch_backend, "BUDGET", budget)
    with ops.backend("torch"):
        assert_dense(name, (3, 5), dtype, batch=batch)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("budget", [1, 6 * 2100 // 2, 6 * 2100])
def test_messages_are_no_more_than_the_budget(budget, transposed, monkeypatch):
    from graphkit.ops.layout.rows import graph_of

    monkeypatch.setattr(torch_backend, "BUDGET", budget)
    graph = graph_of(cut_graph(), SOURCES, TARGETS)
    sizes, before = [], torch.Tensor.index_select

    def watched(self, *arguments):
        out = before(self, *arguments)
        sizes.append(out.numel())
        return out

    monkeypatch.setattr(torch.Tensor, "index_select", watched)
    x = torch.ones(1, TARGETS if transposed else SOURCES, 2, 3)
    out = torch_backend.spmm(graph, None, x, transposed)
    assert max(sizes) <= max(budget, 6)
    assert len(sizes) == -(-2100 // max(1, budget // 6))
    counts = graph.source.counts if transposed else graph.target.counts
    assert torch.equal(out[0, :, 0, 0], counts.float())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_low_precision_is_summed_in_single(kind):
    edges = torch.zeros(2, 3001, dtype=torch.long)
    with ops.backend("torch"):
        # Ones are lost in a sum of thousands that is kept in half precision.
        out = ops.spmm(edges, None, torch.ones(1, 1, 1, dtype=kind))
        products = ops.sddmm(edges[:, :1], *(torch.ones(1, 1, 3001, dtype=kind),) * 2)
    assert out.dtype == products.dtype == kind
    assert out.item() == products.item() == torch.tensor(3001.0).to(kind).item()
