"""What the kernels are handed: tables or edges, shared scores, masks, dtypes."""

from __future__ import annotations

import pytest
import torch

from graphkit.ops import reference
from graphkit.ops.cpu import attention as code
from graphkit.ops.dropout import keys, threshold
from graphkit.ops.layout.rows import graph_of
from tests.ops.compared import SOURCES, TARGETS, TRIED, assert_dense, cut_graph


@pytest.mark.parametrize(("shape", "dtype", "order", "batch", "scale"), TRIED)
@pytest.mark.parametrize("name", ["gat_attention", "gat_attention_edges"])
def test_equals_dense_algebra(name, shape, dtype, order, batch, scale):
    assert_dense(name, shape, dtype, order, batch, scale)


@pytest.mark.parametrize("edges", [35, 36, 37])
def test_tables_for_targets_up_to_as_many_as_edges(edges, monkeypatch):
    """Three units, so three tables of twelve targets: 36 values."""
    monkeypatch.setattr(code, "segment_sum", watched := Watched(code.segment_sum))
    assert_dense("gat_attention", (2, 3), batch=3, edges=cut_graph()[:, :edges])
    assert watched.calls == (1 if edges < 36 else 0)


class Watched:
    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.function(*arguments)


def operands(kind, edges, score_edges):
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, SOURCES, 3, 5), (2, SOURCES, 3), (2, TARGETS, 3)]
    shapes += [(score_edges, edges.size(1), 3)] if score_edges else []
    values = [torch.randn(s, generator=generator, dtype=torch.float64).to(kind) for s in shapes]
    return values if score_edges else [*values, None]


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("score_edges", [0, 1, 2])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_both_passes_are_those_of_the_definition(dropout, score_edges, kind):
    edges, seed = cut_graph(), torch.tensor([8])
    graph, values = graph_of(edges, SOURCES, TARGETS), operands(kind, edges, score_edges)
    settings = (seed, 0.3, dropout)
    out, statistics = code.gat_forward(graph, *values, *settings)
    wanted = reference.gat_forward(graph, *values, *settings)
    limit = 1e-9 if kind == torch.float64 else 2e-2
    torch.testing.assert_close((out, statistics), wanted, rtol=limit, atol=limit)
    grad = out.flip(0)
    found = code.gat_backward(graph, *values, *wanted, grad, *settings)
    others = reference.gat_backward(graph, *values, *wanted, grad, *settings)
    for one, other in zip(found, others, strict=True):
        assert (one.shape, one.dtype) == (other.shape, kind)
        if other.numel():
            error = (one.double() - other.double()).abs().max()
            assert error <= 3 * limit * other.double().abs().max()


def test_masks_are_asked_for_by_three_words():
    words = code._keys(torch.tensor([8]), 0.25)
    assert words.tolist() == [*keys(8), threshold(0.25)]
    assert words.dtype == "uint32"
    assert code._keys(torch.tensor([8]), 0.0).size == 0
    like = torch.zeros(1, dtype=torch.float32).numpy()
    assert [code._scale(like, p) for p in (0.0, 0.75, 1.0)] == [1, 4, 0]
    assert code._scale(like, 0.5).dtype == like.dtype
