import numpy as np

from graphkit.ops.paths.searches import compiled as search


def star(leaves):
    """A hub 0 whose leaves are joined to it both ways, the i-th leaf at cost i."""
    rowptr = np.concatenate([[0], leaves + np.arange(leaves + 1)])
    col = np.concatenate([np.arange(1, leaves + 1), np.zeros(leaves, np.int64)])
    cost = np.concatenate([np.arange(1.0, leaves + 1), np.arange(1.0, leaves + 1)])
    return rowptr, col, cost


def test_arrays_grow_beyond_their_first_size():
    leaves = 3000
    quota, best = np.array([leaves]), np.zeros(leaves + 1, np.int32)
    nodes, hops = search.search_sources(*star(leaves), np.array([5]), quota, 3, best)
    ends = np.delete(np.arange(1, leaves + 1), 4)
    np.testing.assert_array_equal(nodes[:, 2], ends)
    assert (nodes[:, :2] == [5, 0]).all()
    assert (hops == 2).all()


def test_the_shared_table_is_left_clean():
    best = np.zeros(11, np.int32)
    sources = np.arange(11)
    search.search_sources(*star(10), sources, np.full(11, 2), 4, best)
    assert not best.any()


def test_compiled_and_plain_python_agree():
    arguments = (*star(6), np.arange(7), np.full(7, 3), 3)
    compiled = search.search_sources(*arguments, np.zeros(7, np.int32))
    plain = search.search_sources.py_func(*arguments, np.zeros(7, np.int32))
    np.testing.assert_array_equal(compiled[0][:, :3], plain[0][:, :3])
    np.testing.assert_array_equal(compiled[1], plain[1])
