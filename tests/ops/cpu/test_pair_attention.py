"""What the kernels of pairs are handed: shared features, masks, dtypes, memory of the outputs."""

from __future__ import annotations

import pytest
import torch

from graphkit.ops import pairwise, reference
from graphkit.ops.cpu import pair_attention as code
from graphkit.ops.layout.rows import graph_of
from tests.ops.compared import SOURCES, TARGETS, TRIED, assert_dense, cut_graph

NAMES = ["gatv2_attention", "gatv2_attention_edges", "dot_attention", "dot_attention_edges"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("shape", "dtype", "order", "batch", "scale"), TRIED[:5])
def test_equals_dense_algebra(name, shape, dtype, order, batch, scale):
    assert_dense(name, shape, dtype, order, batch, scale)


def operands(name, kind, batch, attrs):
    generator = torch.Generator().manual_seed(0)
    source, target = (2, SOURCES, 3, 5), (2, TARGETS, 3, 5)
    shapes = {
        "gatv2": [source, target, (3, 5), (batch, 2100, attrs), (attrs, 3, 5)],
        "dot": [target, source, (2, SOURCES, 3, 4), (batch, 2100, attrs), (2, TARGETS, 3, attrs)],
    }[name]
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(kind) for s in shapes]


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
@pytest.mark.parametrize(("batch", "attrs"), [(1, 2), (2, 3), (1, 0)])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("name", ["gatv2", "dot"])
def test_both_passes_are_those_of_the_definition(name, dropout, batch, attrs, kind):
    edges, values = cut_graph(), operands(name, kind, batch, attrs)
    graph, settings = graph_of(edges, SOURCES, TARGETS), (torch.tensor([8]), 0.3, dropout)
    calls = [getattr(code, f"{name}_{way}") for way in ("forward", "backward")]
    others = [getattr(pairwise, f"{name}_{way}") for way in ("forward", "backward")]
    found = calls[0](graph, *values, *settings)
    wanted = others[0](reference, graph, *values, *settings)
    grads = [out.flip(0) for out in wanted[:-1]]
    found += calls[1](graph, *values, *wanted, *grads, *settings)
    wanted += others[1](reference, graph, *values, *wanted, *grads, *settings)
    limit = 1e-9 if kind == torch.float64 else 2e-2
    for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
        assert (one.shape, one.dtype) == (other.shape, other.dtype), number
        if other.numel():
            error = (one.double() - other.double()).abs().max()
            assert error <= limit * other.double().abs().max(), number


@pytest.mark.parametrize("attrs", [0, 2])
def test_outputs_have_memory_of_their_own(attrs):
    values = operands("dot", torch.float64, 1, attrs)
    graph = graph_of(cut_graph(), SOURCES, TARGETS)
    *outs, _ = code.dot_forward(graph, *values, torch.tensor([8]), 0.3, 0.0)
    assert all(out.is_contiguous() for out in outs)
    first, second = (out.untyped_storage().data_ptr() for out in outs)
    assert first != second
    assert tuple(outs[1].shape) == (2, TARGETS, 3, attrs)


def test_everything_dropped_leaves_nothing():
    graph = graph_of(cut_graph(), SOURCES, TARGETS)
    for name, call in (("gatv2", code.gatv2_forward), ("dot", code.dot_forward)):
        values = operands(name, torch.float64, 1, 2)
        assert (call(graph, *values, torch.tensor([8]), 0.3, 1.0)[0] == 0).all()
