"""When a kernel is called by one thread, by PyTorch's or by a pool, and with which ranges."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest
import torch

from graphkit.ops.cpu import threads
from graphkit.ops.cpu.kernels.compiling import kernel


@pytest.fixture(autouse=True)
def state(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "_pool", None)
    monkeypatch.setattr(threads, "_pool_size", 0)
    monkeypatch.setattr(threads, "_forked", False)
    yield
    torch.set_num_threads(before)


def ranges(units, work, count, tasks=0):
    """The ranges that a plain function is called with, in their order."""
    torch.set_num_threads(count)
    seen = []
    threads.run(
        lambda first, last, more: seen.append((first, last, more)), units, work, 7, tasks=tasks
    )
    assert {more for *_, more in seen} == {7}
    return sorted((first, last) for first, last, _ in seen)


def cut(units, tasks):
    bounds = [units * task // tasks for task in range(tasks + 1)]
    return list(itertools.pairwise(bounds))


def test_little_work_or_one_thread_is_one_call():
    assert ranges(40, threads.SMALL - 1, 2) == [(0, 40)]
    assert ranges(40, 1 << 30, 1) == [(0, 40)]
    assert ranges(1, 1 << 30, 3) == [(0, 1)]
    # A plain function is not compiled: a pool costs more to wake than PyTorch's threads.
    assert ranges(40, threads.SMALL_FOR_POOL - 1, 2) == [(0, 40)]


@pytest.mark.parametrize(
    ("units", "count", "tasks", "wanted"),
    [(40, 2, 0, 8), (40, 3, 0, 12), (5, 2, 0, 5), (40, 2, 3, 3), (4, 2, 9, 4), (37, 2, 0, 8)],
)
def test_ranges_of_a_pool(units, count, tasks, wanted):
    assert ranges(units, threads.SMALL_FOR_POOL, count, tasks) == cut(units, wanted)


@kernel
def note_ranges(first, last, sizes):
    sizes[first] = last - first


@pytest.mark.skipif(threads._address() == 0, reason="PyTorch's OpenMP has no GOMP_parallel")
@pytest.mark.parametrize(("tasks", "wanted"), [(0, 8), (3, 3)])
def test_ranges_of_a_compiled_kernel(tasks, wanted, monkeypatch):
    torch.set_num_threads(2)
    monkeypatch.setattr(threads, "_run_in_pool", None)
    for work, cuts in ((threads.SMALL, wanted), (threads.SMALL - 1, 1)):
        sizes = np.zeros(40, np.int64)
        threads.run(note_ranges, 40, work, sizes, tasks=tasks)
        assert [(int(f), int(f + sizes[f])) for f in sizes.nonzero()[0]] == cut(40, cuts)


def test_who_makes_up_a_team(monkeypatch):
    monkeypatch.setattr(threads, "_address", lambda: 99)
    torch.set_num_threads(3)
    assert threads.team(threads.SMALL) == (99, 3)
    assert threads.team(threads.SMALL - 1) == (0, 1)
    torch.set_num_threads(1)
    assert threads.team(1 << 40) == (0, 1)
    torch.set_num_threads(2)
    assert threads.team(1 << 40) == (99, 2)
    threads._executor(1)
    threads._forget()
    assert threads.team(1 << 40) == (0, 1)
    assert threads._pool is None


def test_the_address_is_found_once(monkeypatch):
    assert threads._address() == threads._address()
    monkeypatch.setattr(threads.ctypes, "CDLL", lambda name: object())
    assert threads._address.__wrapped__() == 0

    def missing(name):
        raise OSError

    monkeypatch.setattr(threads.ctypes, "CDLL", missing)
    assert threads._address.__wrapped__() == 0


def test_a_pool_grows_but_does_not_shrink():
    first = threads._executor(1)
    assert threads._executor(1) is first
    larger = threads._executor(2)
    assert larger is not first
    assert threads._executor(1) is larger
    assert larger._max_workers == 2


def test_the_caller_works_with_as_many_others_as_there_are_threads():
    torch.set_num_threads(3)
    together, seen = threading.Barrier(3, timeout=30), set()

    def meet(first, last):
        # Three ranges that wait for each other need three threads.
        together.wait()
        seen.add(threading.get_ident())

    threads.run(meet, 3, 1 << 30)
    assert len(seen) == 3
    assert threading.get_ident() in seen


def test_all_ranges_end_before_an_exception_is_raised():
    torch.set_num_threads(2)
    done, first_left = [], threading.Event()

    def half_broken(first, last):
        if threading.current_thread() is threading.main_thread():
            first_left.set()
            raise FloatingPointError("here")
        first_left.wait(10)
        done.append(first)

    with pytest.raises(FloatingPointError, match="here"):
        threads.run(half_broken, 8, 1 << 30)
    assert len(done) >= 1

    def broken_elsewhere(first, last):
        if threading.current_thread() is not threading.main_thread():
            first_left.set()
            raise FloatingPointError("there")
        first_left.wait(10)

    first_left.clear()
    with pytest.raises(FloatingPointError, match="there"):
        threads.run(broken_elsewhere, 8, 1 << 30)
