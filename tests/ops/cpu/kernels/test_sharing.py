"""A kernel's ranges, by one thread or several."""

import itertools

import numpy as np
import pytest

from graphkit.ops.cpu import threads
from graphkit.ops.cpu.kernels import sharing
from graphkit.ops.cpu.kernels.compiling import kernel

TEAMS = [0, pytest.param(1, marks=pytest.mark.skipif(not threads._address(), reason="no OpenMP"))]


@kernel
def number_ranges(first, last, seen, sizes, calls):
    sizes[first] = last - first
    for unit in range(first, last):
        if unit == calls[0]:
            raise ValueError("told to")
        seen[unit] += 1


@kernel
def shared_out(team, count, units, seen, sizes, calls):
    tasks = sharing.tasks_for(units, count)
    sharing.share_tasks(number_ranges, team, count, tasks, units, (seen, sizes, calls))


@pytest.mark.parametrize("team", TEAMS)
@pytest.mark.parametrize(("tasks", "units"), [(1, 10), (3, 10), (10, 10), (4, 0)])
def test_ranges_cover_all_units_once(tasks, units, team):
    address = threads._address() if team else 0
    seen, sizes = np.zeros(11, np.int64), np.zeros(11, np.int64)
    sharing.shared(number_ranges)(address, 2, tasks, units, seen, sizes, np.array([-1]))
    assert seen.tolist() == [1] * units + [0] * (11 - units)
    bounds = [units * task // tasks for task in range(tasks + 1)]
    for first, last in itertools.pairwise(bounds):
        assert sizes[first] == last - first


@pytest.mark.parametrize(("count", "units", "ranges"), [(1, 40, 4), (2, 40, 8), (3, 5, 5)])
def test_four_ranges_for_each_thread_but_no_more_than_units(count, units, ranges):
    seen, sizes = np.zeros(units, np.int64), np.zeros(units, np.int64)
    shared_out(0, count, units, seen, sizes, np.array([-1]))
    assert (seen == 1).all()
    assert (sizes > 0).sum() == ranges
    assert sizes.sum() == units


def test_one_range_that_fails_stops_no_other():
    seen, sizes = np.zeros(10, np.int64), np.zeros(10, np.int64)
    with pytest.raises(MemoryError, match="of a kernel's buffers"):
        sharing.shared(number_ranges)(0, 1, 5, 10, seen, sizes, np.array([2]))
    assert seen.tolist() == [1, 1, 0, 0, *[1] * 6]


def test_a_kernel_is_shared_by_one_function_named_after_its_text():
    function = sharing.shared(number_ranges)
    assert function is sharing.shared(number_ranges)
    name = function.py_func.__qualname__
    assert name.startswith("number_ranges_shared_")
    assert len(name) == len("number_ranges_shared_") + 12
    assert function.py_func.__module__ == sharing.__name__
