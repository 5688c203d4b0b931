"""A small pool that runs kernels: as many threads as PyTorch uses, safe after a fork."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import torch

SMALL = 1 << 20
TASKS_PER_THREAD = 4
_pool: ThreadPoolExecutor | None = None
_pool_size = 0


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
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
