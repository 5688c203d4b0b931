"""Time per edge as graphs grow, and the share of copy bandwidth: ``benchmarks speed growth``.

Bytes count every gathered row once per edge, as if no cache kept it: a share above one says that
one did.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.speed.inputs import Problem, build
from benchmarks.speed.timing import copy_bandwidth, seconds, spread
from benchmarks.speed.timing import step as run_step

OPS = ("sum", "spmm", "gat")
DEGREE = 20


def timed(problem: Problem, copy: float, repeats: int) -> dict[str, Any]:
    """One op on one graph; the first calls, which sort the edges, are not counted."""
    ours, _, values, moved = build(problem)
    run_step(ours, values, problem.backward)
    times = [seconds(lambda: run_step(ours, values, problem.backward)) for _ in range(repeats)]
    result: dict[str, Any] = {
        "what": problem.label,
        "threads": torch.get_num_threads(),
        "nanoseconds_per_edge": spread([1e9 * t / problem.edges for t in times]),
    }
    if not problem.backward:
        result["share_of_copy"] = spread([moved / t / copy for t in times])
    return result


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """Sum, weighted sum and attention at 10^5, 10^6 and 10^7 edges, forward and with backward."""
    copy = copy_bandwidth(32 if quick else 256)
    sizes = (10**4,) if quick else (10**5, 10**6, 10**7)
    found: list[dict[str, Any]] = [{"what": "copy, bytes per second", "value": copy}]
    for op in OPS:
        for edges in sizes:
            for backward in (False, True):
                problem = Problem(op=op, nodes=edges // DEGREE, edges=edges, backward=backward)
                # Ten million edges take seconds: three of them say as much as nine small ones.
                found.append(timed(problem, copy, 3 if edges >= 10**7 else 9))
    return found
