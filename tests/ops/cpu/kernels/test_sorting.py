import numpy as np
import pytest

from graphkit.ops.cpu.kernels import sorting


@pytest.mark.parametrize(
    ("values", "is_sorted"),
    [([], True), ([1], True), ([0, 0, 2], True), ([1, 0], False), ([2, 2, 3, 0], False)],
)
def test_bounds_of_groups_and_whether_they_come_in_order(values, is_sorted):
    indptr = np.full(5, 9, np.int32)
    assert sorting.count_groups(np.array(values, np.int32), indptr) == is_sorted
    assert indptr.tolist() == [sum(value < group for value in values) for group in range(5)]


def test_entries_keep_their_order_in_a_group():
    values = np.array([2, 0, 3, 2, 0, 2], np.int32)
    indptr, perm = np.empty(5, np.int32), np.empty(6, np.int32)
    sorting.count_groups(values, indptr)
    sorting.place(values, indptr, perm)
    assert perm.tolist() == [1, 4, 0, 3, 5, 2]
    assert indptr.tolist() == [0, 2, 2, 5, 6]


def merge_path(counts: list[int], parts: int) -> tuple[list[int], list[int]]:
    """Rows and entries that were passed after each share of the steps: an entry, or a row's end."""
    steps = [step for count in counts for step in [*"e" * count, "r"]]
    ends = [len(steps) * part // parts for part in range(parts + 1)]
    return tuple([steps[:end].count(kind) for end in ends] for kind in "re")


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 64])
@pytest.mark.parametrize(
    "counts", [[0], [5, 0, 0, 1], [0, 0, 100, 0], [1] * 40, [0] * 9, [3, 1, 4, 1, 5, 9]]
)
def test_shares_are_those_of_the_merge_path(counts, parts):
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    rows, entries = sorting.cut(indptr, parts)
    assert (rows.tolist(), entries.tolist()) == merge_path(counts, parts)
    assert rows.dtype == entries.dtype == np.int64
