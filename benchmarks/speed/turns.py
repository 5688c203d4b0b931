"""Two calls by turns in one process: both see the same noise, so their ratio means something."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.speed.timing import spread

Step = Callable[[], object]


def clocked(call: Step) -> tuple[float, float]:
    """Wall and processor seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def in_turns(ours: Step, rival: Step, turns: int, seconds: float = float("inf")) -> dict[str, Any]:
    """Times both, after one call of each to warm up; ratios are taken within each turn.

    Args:
        ours (callable): A step of ours.
        rival (callable): The same step of somebody else's.
        turns (int): The number of turns, at most.
        seconds (float, optional): No turn begins later than this, but three are taken at least.
            (default: no limit)
    """
    clocked(ours)
    clocked(rival)
    begin = time.perf_counter()
    times: list[tuple[tuple[float, float], tuple[float, float]]] = []
    while len(times) < turns and (len(times) < 3 or time.perf_counter() - begin < seconds):
        times.append((clocked(ours), clocked(rival)))
    return {
        "turns": len(times),
        "threads": torch.get_num_threads(),
        # Processes that wanted a core besides this one make wall times void.
        "load": os.getloadavg()[0],
        "seconds": spread([a[0] for a, _ in times]),
        "rival_seconds": spread([b[0] for _, b in times]),
        "times_faster": spread([b[0] / a[0] for a, b in times]),
        "times_less_processor": spread([b[1] / max(a[1], 1e-9) for a, b in times]),
    }
