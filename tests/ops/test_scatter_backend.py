"""The backend of torch_scatter, on a stand-in for the package that says what it was asked."""

from __future__ import annotations

import importlib
import itertools
import sys
import types

import pytest
import torch

from graphkit import ops
from graphkit.ops import backends, torch_backend
from graphkit.ops.layout.rows import Rows
from tests.ops.compared import DOUBLE, FLOAT, TARGETS, assert_dense, cut_graph


def scatter_add(source, index, dim, out):
    assert index.dtype == torch.int64
    return out.index_add_(dim, index, source)


def segment_sum_csr(source, indptr):
    assert indptr.dtype == torch.int64
    assert source.is_contiguous()
    bounds = indptr[0].tolist()
    pairs = itertools.pairwise(bounds)
    return torch.stack([source[:, first:last].sum(1) for first, last in pairs], 1)


def segment_max_csr(source, indptr):
    assert indptr.dtype == torch.int64
    assert source.size(1)
    bounds, values, places = indptr[0].tolist(), [], []
    for first, last in itertools.pairwise(bounds):
        if first == last:
            values.append(torch.zeros_like(source[:, 0]))
            places.append(torch.full_like(source[:, 0], source.size(1)).long())
        else:
            part = source[:, first:last]
            values.append(part.amax(1))
            places.append((part == values[-1].unsqueeze(1)).long().argmax(1) + first)
    return torch.stack(values, 1), torch.stack(places, 1)


@pytest.fixture
def scatter(monkeypatch):
    """The module, imported on top of the stand-in; the package itself may be missing."""
    package = types.ModuleType("torch_scatter")
    package.__spec__ = importlib.machinery.ModuleSpec("torch_scatter", None)
    for function in (scatter_add, segment_sum_csr, segment_max_csr):
        setattr(package, function.__name__, function)
    monkeypatch.setitem(sys.modules, "torch_scatter", package)
    monkeypatch.delitem(sys.modules, "graphkit.ops.scatter_backend", raising=False)
    backends._module.cache_clear()
    with ops.backend("torch_scatter"):
        yield backends.implementation("torch_scatter", torch.ones(1))
    backends._module.cache_clear()
    sys.modules.pop("graphkit.ops.scatter_backend", None)


NAMES = ["spmm", "spmm_unweighted", "sddmm", "edge_softmax", "gat_attention_edges"]


@pytest.mark.usefixtures("scatter")
@pytest.mark.parametrize("name", [*NAMES, "segment_sum", "segment_max", "segment_mean"])
@pytest.mark.parametrize("order", ["none", "target"])
@pytest.mark.parametrize(("dtype", "budget"), [(DOUBLE, 1 << 22), (FLOAT, 900)])
def test_equals_dense_algebra(name, order, dtype, budget, monkeypatch):
    monkeypatch.setattr(torch_backend, "BUDGET", budget)
    edges = cut_graph()[:, :90]
    edges = edges if order == "none" else edges[:, edges[1].argsort(stable=True)]
    assert_dense(name, (3, 5), dtype, edges=edges)


@pytest.mark.parametrize("name", ["spmm", "sddmm", "gat_attention", "segment_max", "segment_sum"])
def test_no_edges(name, scatter):
    assert_dense(name, (2, 3), edges=torch.empty(2, 0, dtype=torch.long))


def test_a_batch_of_weights(scatter):
    assert_dense("spmm", (2, 3), batch=2, edges=cut_graph()[:, :90])


def test_positions_are_those_before_sorting(scatter):
    x = torch.tensor([1.0, 5.0, 5.0, -2.0, -1.0])
    index = torch.tensor([2, 0, 0, 2, 3])
    value, arg = ops.segment_reduce(x, index, 5, "max", True)
    assert value.tolist() == [5, 0, 1, -1, 0]
    assert arg.tolist() == [1, 5, 0, 4, 5]
    value, arg = ops.segment_reduce(x, index.sort().values, 5, "max", True)
    assert arg.tolist() == [1, 5, 2, 4, 5]


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_low_precision_is_summed_in_single(kind, scatter):
    ones, index = torch.ones(3001, 1, dtype=kind), torch.zeros(3001, dtype=torch.long)
    total = scatter.segment_sum(Rows(index, 1), ones.unsqueeze(0))
    out = ops.spmm(torch.zeros(2, 3001, dtype=torch.long), None, ones[:1])
    assert total.dtype == out.dtype == kind
    assert total.item() == out.item() == torch.tensor(3001.0).to(kind).item()


def test_sums_in_any_order_are_refused_on_cuda_alone(scatter, monkeypatch):
    on_cuda = types.SimpleNamespace(is_cuda=True)
    scatter._refuse_nondeterminism(on_cuda)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    scatter._refuse_nondeterminism(torch.ones(1))
    with pytest.raises(RuntimeError, match="choose 'triton' or 'torch'"):
        scatter._refuse_nondeterminism(on_cuda)
    ops.spmm(cut_graph()[:, :5], None, torch.ones(20, 2), TARGETS)
