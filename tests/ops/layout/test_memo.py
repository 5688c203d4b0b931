"""Layouts are kept with their tensor, shared by its views, and never stale."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch_geometric import EdgeIndex

from graphkit import ops
from graphkit.ops.layout import rows
from graphkit.ops.layout.memo import remember


def _edges() -> torch.Tensor:
    return torch.tensor([[0, 1, 2, 0], [1, 1, 0, 2]])


@pytest.fixture
def sorts(monkeypatch):
    """Counts how often a row is sorted."""
    calls = []
    sort = rows.sort_rows

    def counted(values, size):
        calls.append(size)
        return sort(values, size)

    monkeypatch.setattr(rows, "sort_rows", counted)
    return calls


def test_one_sort_per_row_serves_every_op(sorts):
    edge_index, x = _edges(), torch.randn(3, 2, requires_grad=True)
    for _ in range(3):
        ops.spmm(edge_index, None, x).sum().backward()
        ops.edge_softmax(edge_index, torch.randn(4), 3)
        ops.segment_reduce(torch.randn(4), edge_index[1], 3)
    assert len(sorts) == 2


def test_an_in_place_write_is_noticed(sorts):
    edge_index, x = _edges(), torch.eye(3)
    before = ops.spmm(edge_index, None, x)
    edge_index[1, 0] = 2
    after = ops.spmm(edge_index, None, x)
    torch.testing.assert_close(after, ops.spmm(edge_index.clone(), None, x))
    assert not torch.equal(before, after)
    row = edge_index[0]
    row[1] = 2
    torch.testing.assert_close(ops.spmm(edge_index, None, x), ops.spmm(edge_index.clone(), None, x))
    edge_index[0, 0] = 9
    with pytest.raises(IndexError, match=r"edge_index\[0\] holds 9, but only 0\.\.2 are valid"):
        ops.spmm(edge_index, None, x)


def test_a_write_unseen_by_pytorch_needs_clear_cache():
    edge_index, x = _edges(), torch.eye(3)
    ops.spmm(edge_index, None, x)
    edge_index.numpy()[1, 0] = 2
    ops.clear_cache()
    torch.testing.assert_close(ops.spmm(edge_index, None, x), ops.spmm(edge_index.clone(), None, x))


def test_moved_memory_is_noticed():
    edge_index, x = _edges(), torch.eye(3)
    ops.spmm(edge_index, None, x)
    other = torch.tensor([[0, 0, 0, 0], [2, 2, 2, 2]])
    edge_index.data = other
    torch.testing.assert_close(ops.spmm(edge_index, None, x), ops.spmm(other, None, x))


def test_layouts_die_with_their_tensor():
    edge_index = _edges()

    class Value:
        pass

    value = remember(edge_index, "key", Value)
    assert remember(edge_index, "key", Value) is value
    watch = weakref.ref(value)
    ops.spmm(edge_index, None, torch.eye(3))
    del value, edge_index
    gc.collect()
    assert watch() is None


def test_tensors_of_inference_mode_are_read_anew():
    with torch.inference_mode():
        edge_index, x = _edges(), torch.eye(3)
        ops.spmm(edge_index, None, x)
        edge_index[1, 0] = 2
        torch.testing.assert_close(
            ops.spmm(edge_index, None, x), ops.spmm(edge_index.clone(), None, x)
        )


@pytest.mark.parametrize("order", ["row", "col"])
def test_a_sorted_edge_index_hands_in_its_views(order, sorts):
    edge_index, x = _edges(), torch.randn(3, 4, requires_grad=True)
    sorted_edges = EdgeIndex(edge_index, sparse_size=(3, 3)).sort_by(order).values
    sorted_edges.validate()
    out = ops.spmm(sorted_edges, None, x)
    torch.testing.assert_close(out, ops.spmm(edge_index, None, x))
    sorts.clear()
    out.sum().backward()
    ops.spmm(sorted_edges, None, x).sum().backward()
    assert len(sorts) <= 1
