"""``python -m benchmarks speed``: kernels beside PyG's, in time, memory and copy bandwidth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from benchmarks.harness.environment import environment
from benchmarks.speed.child import KEEP_MEMORY, RETURN_MEMORY, measure
from benchmarks.speed.inputs import Problem
from benchmarks.speed.table import as_table
from benchmarks.speed.table import plot as draw
from benchmarks.speed.timing import compare, copy_bandwidth

OPS = ("gat", "spmm", "sum", "sddmm", "softmax", "max")
MOST_RIVAL_MESSAGES = 3 * 10**8


def problems(quick: bool) -> Iterator[Problem]:
    """The anchor shape for every op; then (not ``quick``) sweeps over size, heads and skew."""
    base: dict[str, Any] = {"nodes": 2_000, "edges": 40_000} if quick else {}
    for op in OPS:
        for backward in (False, True):
            yield Problem(op=op, backward=backward, **base)
    if quick:
        return
    for op in ("sum", "spmm", "gat"):
        for edges in (10**4, 10**5, 10**6, 10**7):
            yield Problem(op=op, nodes=edges // 20, edges=edges, backward=False)
        for skew in ("power", "hub", "sorted"):
            yield Problem(op=op, nodes=50_000, edges=10**6, skew=skew, backward=False)
        for heads, channels in ((1, 8), (1, 64), (4, 32)):
            yield Problem(op=op, heads=heads, channels=channels, backward=False)
    yield Problem(op="gat", nodes=50_000, edges=10**6)


def run(
    *,
    quick: bool,
    json_file: Path | None = None,
    plot: Path | None = None,
    only: list[str] | None = None,
) -> dict[str, Any]:
    """Times every problem beside its rival and prints the table.

    Args:
        quick (bool): Small sizes, a few repeats, no memory.
        json_file (Path, optional): Where the results go. (default: :obj:`None`)
        plot (Path, optional): Where the plot of ratios goes. (default: :obj:`None`)
        only (list[str], optional): Ops to keep: gat, spmm, sum, sddmm, softmax, max.
            (default: :obj:`None`)

    Raises:
        ValueError: If ``only`` holds an unknown op.
    """
    unknown = set(only or ()) - set(OPS)
    if unknown:
        raise ValueError(f"only must hold ops among {list(OPS)}, got {sorted(unknown)}")
    timed = [problem for problem in problems(quick) if not only or problem.op in only]
    console = Console()
    results: list[dict[str, Any]] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("copy", total=len(timed) + 2 * (not quick))
        copy = copy_bandwidth(32 if quick else 256)
        for problem in timed:
            progress.update(bar, description=problem.label)
            results.append(_timed(problem, 5 if quick else 9))
            progress.advance(bar)
        if not quick and (not only or "gat" in only):
            results.append(_without_allocator(Problem()))
            progress.advance(bar)
            _add_memory(results, Problem())
            progress.advance(bar)
    console.print(as_table(results, copy))
    report = {"environment": environment(), "copy_bytes_per_second": copy, "results": results}
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(report, indent=1))
    if plot is not None:
        draw(results, plot)
    return report


def _timed(problem: Problem, repeats: int) -> dict[str, Any]:
    """Times one problem; leaves out a rival whose messages would not fit."""
    messages = problem.edges * problem.heads * problem.channels
    feasible = messages <= MOST_RIVAL_MESSAGES
    result = compare(problem, repeats, with_rival=feasible)
    return result | {"label": problem.label, "allocator": "default"}


def _without_allocator(problem: Problem) -> dict[str, Any]:
    """The same comparison where the allocator keeps the memory it has."""
    task = {"kind": "time", "problem": problem.describe(), "repeats": 9}
    return measure(task, KEEP_MEMORY) | {"label": problem.label, "allocator": "keeps memory"}


def _add_memory(results: list[dict[str, Any]], problem: Problem) -> None:
    """Adds what both sides need at their peak to the result of the same problem."""
    megabytes = {
        side: measure(
            {"kind": "memory", "problem": problem.describe(), "side": side}, RETURN_MEMORY
        )["megabytes"]
        for side in ("ours", "rival")
    }
    for result in results:
        if result["label"] == problem.label:
            result["megabytes"] = megabytes
