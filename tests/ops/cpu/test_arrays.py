"""Tensors as arrays, and the chunks that they are walked in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphkit.ops.cpu import arrays
from graphkit.ops.layout.rows import Rows
from tests.ops.compared import SOURCES, TARGETS, cut_graph
from tests.ops.oracles import dense_spmm


@pytest.mark.parametrize(
    ("size", "entries", "batch", "parts"),
    [
        *((0, 0, 1, 1), (24, 999, 1, 1), (24, 1000, 1, 2), (24, 2023, 1, 2), (24, 2024, 127, 3)),
        *((24, 2024, 128, 1), (1 << 17, 0, 1, 128), (126 * 1024, 1023, 1, 127)),
        *((1 << 18, 0, 1, 128), (1 << 18, 0, 128, 1)),
    ],
)
def test_a_chunk_is_about_a_thousand_rows_and_entries(size, entries, batch, parts):
    rows = Rows(torch.zeros(entries, dtype=torch.long), size)
    assert arrays.parts_of(rows, batch) == parts


def test_walks_share_their_order_but_not_their_slots():
    rows = Rows(cut_graph()[1], TARGETS)
    first, second = (arrays.walk_of(rows, 2) for _ in range(2))
    assert first.slots is not second.slots
    assert first.slots.tolist() == [-1] * (2 * 2 * 3)
    assert (first.batch, first.parts, first.units) == (2, 3, 6)
    assert first.perm is second.perm
    assert [id(part) for part in first.chunks[1:]] == [
        id(part) for part in (first.rows, first.entries, first.indptr)
    ]
    assert first.chunks[0] == 3
    assert arrays.walk_of(rows, 5).units == 15
    assert np.array_equal(first.perm, rows.values.argsort(stable=True))
    ordered = arrays.walk_of(Rows(rows.values.sort().values, TARGETS), 1)
    assert ordered.perm.size == 0
    assert ordered.perm.dtype == ordered.indptr.dtype == np.int32


def test_groups_have_memory_of_their_own():
    values = torch.tensor([2, 9, 0, 9, 1])[::2]
    groups = arrays.groups_of(Rows(values, 3))
    assert groups.tolist() == [2, 0, 1]
    assert groups.dtype == np.int32
    values[0] = 1
    assert groups.tolist() == [2, 0, 1]
    straight = torch.tensor([2, 0, 1], dtype=torch.int32)
    groups = arrays.groups_of(Rows(straight, 3))
    straight[0] = 0
    assert groups.tolist() == [2, 0, 1]
    crossed = torch.tensor([[2, 0], [1, 0]], dtype=torch.int32).t().reshape(-1)
    assert arrays.groups_of(Rows(crossed, 3)).flags.c_contiguous


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_values_are_flat_in_the_dtype_that_is_computed_in(kind):
    x = torch.arange(6.0).to(kind).view(2, 3).t().requires_grad_()
    wide = np.float64 if kind == torch.float64 else np.float32
    assert arrays.flat(x).tolist() == [0, 3, 1, 4, 2, 5]
    assert arrays.flat(x).dtype == wide
    new = arrays.empty(x, 4, 5)
    assert tuple(new.shape) == (4, 5)
    assert new.numpy().dtype == wide
    assert not new.requires_grad


def test_memory_is_shared_where_nothing_has_to_be_moved():
    x = torch.zeros(2, 3)
    arrays.flat(x)[4] = 7
    assert x[1, 1] == 7


@pytest.mark.parametrize("weights", [0, 1, 2])
def test_sums_over_groups(weights):
    edges, generator = cut_graph(), torch.Generator().manual_seed(0)
    x = torch.randn(2, SOURCES, 2, 3, generator=generator, dtype=torch.float64)
    weight = torch.randn(weights, edges.size(1), 2, generator=generator, dtype=torch.float64)
    rows = Rows(edges[1], TARGETS)
    others = edges[0, edges[1].argsort(stable=True)].int().numpy()
    out = arrays.sum_groups(rows, others, weight if weights else None, x)
    for b in range(2):
        own = weight[min(b, weights - 1)] if weights else None
        torch.testing.assert_close(out[b], dense_spmm(edges, own, x[b], TARGETS))


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
def test_sums_of_entries(kind, ordered):
    index = cut_graph("target" if ordered else "none")[1]
    x = torch.ones(2, index.numel(), 3, dtype=kind)
    out = arrays.segment_sum(Rows(index, TARGETS), x)
    assert out.dtype == kind
    counts = index.bincount(minlength=TARGETS).to(kind)
    assert torch.equal(out, counts.view(1, -1, 1).expand(2, -1, 3))
