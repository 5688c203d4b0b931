"""Paired timing, copy bandwidth, and peak memory of one call."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.harness.environment import peak_memory_mb, reset_peak_memory
from benchmarks.speed.inputs import Problem, build
from graphkit import ops


def step(call: Callable[[], Tensor], values: list[Tensor], backward: bool) -> None:
    """One forward pass, or one forward and backward pass with fresh gradients."""
    if not backward:
        with torch.no_grad():
            call()
        return
    for value in values:
        value.grad = None
    call().sum().backward()


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def copy_bandwidth(megabytes: int = 256, repeats: int = 7) -> float:
    """Bytes read plus written per second by the best of several large copies."""
    source = torch.ones(megabytes << 18)
    target = torch.empty_like(source)
    target.copy_(source)
    return 2 * source.nbytes / min(seconds(lambda: target.copy_(source)) for _ in range(repeats))


def spread(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    ordered = sorted(values)
    low, high = (ordered[round(q * (len(ordered) - 1))] for q in (0.25, 0.75))
    return {"median": statistics.median(ordered), "low": low, "high": high}


def compare(problem: Problem, repeats: int, with_rival: bool = True) -> dict[str, Any]:
    """Times ours and the rival by turns; the ratio is taken within each turn."""
    ours, rival, values, moved = build(problem)
    ops.clear_cache()
    step(ours, values, problem.backward)
    ops.clear_cache()
    first = seconds(lambda: step(ours, values, problem.backward))
    mine, theirs = [], []
    if with_rival:
        step(rival, values, problem.backward)
    for _ in range(repeats):
        mine.append(seconds(lambda: step(ours, values, problem.backward)))
        if with_rival:
            theirs.append(seconds(lambda: step(rival, values, problem.backward)))
    result = problem.describe() | {
        "seconds": spread(mine),
        "best": min(mine),
        "first_call": first,
        "nanoseconds_per_edge": 1e9 * statistics.median(mine) / problem.edges,
    }
    if with_rival:
        ratios = [b / a for a, b in zip(mine, theirs, strict=True)]
        result |= {"rival_seconds": spread(theirs), "ratio": spread(ratios)}
    if not problem.backward:
        result["bytes_per_second"] = moved / statistics.median(mine)
        result["best_bytes_per_second"] = moved / min(mine)
    return result


def extra_memory(problem: Problem, side: str) -> float:
    """Megabytes that one step adds to the resident memory at its peak.

    To be called in a process whose allocator gives memory back at once.
    """
    ours, rival, values, _ = build(problem)
    call = ours if side == "ours" else rival
    step(call, values, problem.backward)
    for value in values:
        value.grad = None
    reset_peak_memory()
    before = peak_memory_mb()
    step(call, values, problem.backward)
    return peak_memory_mb() - before
