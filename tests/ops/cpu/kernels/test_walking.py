"""Every entry belongs to one chunk, and pieces of a row have slots in its order."""

import itertools

import numpy as np
import pytest

from graphkit.ops.cpu.kernels import sorting, walking

row_end, slot_of, entry_at = (
    helper.py_func for helper in (walking.row_end, walking.slot_of, walking.entry_at)
)


@pytest.mark.parametrize("parts", [1, 2, 5, 16])
@pytest.mark.parametrize("counts", [[4, 0, 30, 1, 0], [0, 0, 9], [60]])
def test_a_walk_visits_rows_in_whole_or_in_pieces(counts, parts):
    indptr = np.concatenate([[0], np.cumsum(counts)])
    rows, entries = sorting.cut(indptr.astype(np.int32), parts)
    whole, pieces = {}, {}
    for p in range(parts):
        start = entries[p]
        for r in range(rows[p], rows[p + 1] + 1):
            end, slot = row_end(r, p, rows, entries, indptr), slot_of(r, p, p, start, rows, indptr)
            if slot < 0:
                whole[r] = (start, end)
            elif start < end:
                assert slot in (2 * p, 2 * p + 1)
                assert slot not in pieces
                pieces[slot] = (r, start, end)
            start = end
        assert start == entries[p + 1]
    for r, (begin, after) in enumerate(itertools.pairwise(indptr)):
        found = [(start, end) for _, (row, start, end) in sorted(pieces.items()) if row == r]
        if r in whole:
            assert not found
            found = [whole[r]]
        # In the order of slots each piece begins where the one before it ends.
        bounds = [begin, *(end for _, end in found)]
        assert [start for start, _ in found] == bounds[:-1]
        assert bounds[-1] == after


def test_slots_of_a_unit_in_a_batch():
    rows, indptr = np.array([0, 2]), np.array([0, 3, 5, 9])
    assert slot_of(2, 6, 0, 5, rows, indptr) == 13
    assert slot_of(1, 6, 0, 4, rows, indptr) == 12
    assert slot_of(1, 6, 0, 3, rows, indptr) == -1
    assert row_end(1, 0, rows, np.array([0, 7]), indptr) == 5
    assert row_end(2, 0, rows, np.array([0, 7]), indptr) == 7


def test_entries_of_a_given_order_and_of_another_one():
    assert entry_at(np.empty(0, np.int32), 3) == 3
    assert entry_at(np.array([5]), 0) == 5
