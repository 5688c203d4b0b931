"""Layouts are kept with their tensor, shared by its views, and never stale."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch_geometric import EdgeIndex

from graphkit import ops
from graphkit.nn import FusedGATConv
from graphkit.ops.layout import memo, rows
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


def test_views_of_one_table_are_told_apart():
    table = torch.tensor([[0, 1, 2, 0], [2, 2, 2, 2], [1, 1, 0, 2]])
    for view in (table[::2], table[1:], table[:2], table[[0, 2]], table[::2].flip(0)):
        x = torch.eye(3, requires_grad=True)
        out, expected = ops.spmm(view, None, x), ops.spmm(view.clone(), None, x)
        torch.testing.assert_close(out, expected)
        weight = torch.arange(9.0).view(3, 3)
        grads = [torch.autograd.grad((y * weight).sum(), x)[0] for y in (out, expected)]
        torch.testing.assert_close(*grads)


def test_an_address_given_to_new_memory_is_noticed():
    """``.data =`` frees memory, and an allocator hands the next tensor the same address."""
    edge_index, x = _edges(), torch.eye(3)
    for number in range(20):
        fresh = torch.full((2, 4), number % 3)
        edge_index.data = torch.zeros(2, 4, dtype=torch.long)
        edge_index.data = fresh.clone()
        torch.testing.assert_close(ops.spmm(edge_index, None, x), ops.spmm(fresh, None, x))


def test_a_base_that_only_its_view_knows_keeps_its_layouts(sorts):
    def view() -> torch.Tensor:
        return torch.tensor([[0, 1, 2], [9, 9, 9], [1, 1, 0]])[::2]

    edge_index = view()
    for _ in range(3):
        gc.collect()
        ops.spmm(edge_index, None, torch.eye(3))
    assert len(sorts) == 1


def test_what_inference_mode_built_serves_training():
    edge_index, conv = _edges(), FusedGATConv(2, 2)
    with torch.inference_mode():
        conv(torch.randn(3, 2), edge_index)
    conv(torch.randn(3, 2), edge_index).sum().backward()
    assert conv.lin.weight.grad is not None


def test_edges_may_be_resized_after_a_call():
    edge_index = _edges()
    ops.edge_softmax(edge_index, torch.randn(4), 3)
    edge_index.resize_(2, 60).fill_(1)
    out = ops.spmm(edge_index, None, torch.eye(3))
    torch.testing.assert_close(out, torch.diag(torch.tensor([0.0, 60.0, 0.0])))


def test_old_values_go_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(memo, "MOST_VALUES", 8)
    edge_index, built = _edges(), []
    for key in [*range(20), 19, 0]:
        remember(edge_index, key, lambda key=key: built.append(key))
    assert built == [*range(20), 0]


def test_a_write_through_an_edge_index_is_noticed():
    edges = EdgeIndex([[0, 1, 2, 0], [0, 1, 1, 2]], sparse_size=(3, 3), sort_order="col")
    x = torch.eye(3)
    ops.spmm(edges, None, x)
    edges[1, 0] = 2
    plain = edges.as_tensor().clone()
    torch.testing.assert_close(ops.spmm(edges, None, x), ops.spmm(plain, None, x))


def test_a_wrong_claim_of_order_is_not_believed():
    edges = EdgeIndex([[0, 1, 2], [2, 1, 0]], sparse_size=(3, 3), sort_order="col")
    x = torch.eye(3)
    plain = edges.as_tensor().clone()
    torch.testing.assert_close(ops.spmm(edges, None, x), ops.spmm(plain, None, x))


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
