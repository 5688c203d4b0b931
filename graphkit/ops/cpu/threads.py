"""Kernels on as many threads as PyTorch uses, on the same ones where there is a way to them."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import torch

from graphkit.ops.cpu.kernels.sharing import TASKS_PER_THREAD, shared

SMALL = 1 << 17
SMALL_FOR_POOL = 1 << 20
_pool: ThreadPoolExecutor | None = None
_pool_size = 0
_forked = False


def run(
    kernel: Callable[..., None], units: int, work: int, *arguments: Any, tasks: int = 0
) -> None:
    """Calls ``kernel(first, last, *arguments)`` on ranges that cover ``0..units`` once.

    Runs in the calling thread alone when the work (about the number of multiplications) is
    small or PyTorch uses one thread, as in the workers of a data loader. Kernels release the
    GIL. With several threads range ``t`` begins at ``units * t // tasks``, for a number of
    ``tasks`` that may be given. The first exception of any range is raised here.
    """
    threads = min(torch.get_num_threads(), units)
    if threads <= 1 or work < SMALL:
        kernel(0, units, *arguments)
        return
    tasks = min(units, tasks or threads * TASKS_PER_THREAD)
    address, everybody = team(work)
    if address != 0 and hasattr(kernel, "py_func"):
        shared(kernel)(address, everybody, tasks, units, *arguments)
    elif work < max(SMALL, SMALL_FOR_POOL):
        kernel(0, units, *arguments)
    else:
        _run_in_pool(kernel, threads, tasks, units, *arguments)


def team(work: int) -> tuple[int, int]:
    """The address of OpenMP's ``GOMP_parallel`` as PyTorch calls it, and the number of threads.

    The address is 0 if one thread should do all of the work, and where there is no such function:
    PyTorch may be built without OpenMP. A forked process has none of its parent's threads, for
    which OpenMP would wait forever.
    """
    # All of PyTorch's threads, busy or not: OpenMP ends those that a team leaves out.
    threads = torch.get_num_threads()
    if _forked or threads <= 1 or work < SMALL:
        return 0, 1
    return _address(), threads


@functools.cache
def _address() -> int:
    try:
        # Looked up among what PyTorch was linked to: there may be more than one OpenMP.
        function = ctypes.CDLL(torch._C.__file__).GOMP_parallel
    except (OSError, AttributeError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _run_in_pool(
    kernel: Callable[..., None], threads: int, tasks: int, units: int, *arguments: Any
) -> None:
    ranges = iter([(units * t // tasks, units * (t + 1) // tasks) for t in range(tasks)])

    def serve() -> None:
        for first, last in ranges:
            kernel(first, last, *arguments)

    others = [_executor(threads - 1).submit(serve) for _ in range(threads - 1)]
    try:
        serve()
    finally:
        wait(others)
    for other in others:
        other.result()


def _executor(size: int) -> ThreadPoolExecutor:
    """The shared pool, with at least ``size`` threads."""
    global _pool, _pool_size
    if _pool is None or _pool_size < size:
        _pool, _pool_size = ThreadPoolExecutor(size, thread_name_prefix="graphkit"), size
    return _pool


def _forget() -> None:
    """A forked process has none of its parent's threads."""
    global _pool, _forked
    _pool, _forked = None, True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
