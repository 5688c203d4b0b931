"""How time and memory of finding paths grow with the graph: ``python -m benchmarks scale``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor

from benchmarks.harness.environment import environment, peak_memory_mb, reset_peak_memory
from benchmarks.harness.outputs import write_figure
from graphkit.plot import load_pyplot

EDGES = (50_000, 150_000, 500_000, 1_500_000, 5_000_000)


def power_law_graph(num_nodes: int, num_edges: int, exponent: float = 2.5, seed: int = 0) -> Tensor:
    r"""Edges in both directions whose ends are drawn with weights :math:`r^{-1/(\gamma - 1)}`.

    Expected degrees then follow a power law with exponent :math:`\gamma`.
    """
    generator = torch.Generator().manual_seed(seed)
    rank = torch.arange(1, num_nodes + 1, dtype=torch.float64)
    share = rank.pow(-1.0 / (exponent - 1.0)).cumsum(0)
    drawn = torch.rand(2, num_edges // 2, generator=generator, dtype=torch.float64) * share[-1]
    ends = torch.searchsorted(share, drawn).clamp(max=num_nodes - 1)
    ends = torch.randperm(num_nodes, generator=generator)[ends]
    return torch.cat([ends, ends.flip(0)], dim=1)


def measure(num_edges: int) -> dict[str, Any]:
    """Time and memory of all paths of three nodes on one graph of ten edges per node."""
    from graphkit.ops import PathIndex

    num_nodes = max(num_edges // 10, 2)
    edge_index = power_law_graph(num_nodes, num_edges)
    cost = torch.rand(edge_index.size(1), generator=torch.Generator().manual_seed(1))
    reset_peak_memory()
    started = time.perf_counter()
    index = PathIndex(edge_index, cost, num_nodes)
    built = time.perf_counter()
    paths = index.query()[3]
    return {
        "nodes": num_nodes,
        "edges": edge_index.size(1),
        "largest_degree": int(index.degree.max()),
        "sort_seconds": built - started,
        "search_seconds": time.perf_counter() - built,
        "paths": paths.size(0),
        "peak_memory_mb": peak_memory_mb(),
    }


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Time against edges, both axes logarithmic, with a line of slope one."""
    pyplot = load_pyplot(windows=False)
    edges = [row["edges"] for row in rows]
    total = [row["sort_seconds"] + row["search_seconds"] for row in rows]
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    axes.loglog(edges, total, "o-", label="sorting and searching")
    axes.loglog(edges, [row["search_seconds"] for row in rows], "s--", label="searching")
    axes.loglog(edges, [total[-1] * e / edges[-1] for e in edges], "k:", label="linear")
    axes.set_xlabel("edges of a power-law graph, ten per node")
    axes.set_ylabel("seconds for all paths of three nodes")
    axes.legend()
    axes.grid(alpha=0.3)
    write_figure(figure, path)
    pyplot.close(figure)


def run(*, quick: bool = False, plot: Path) -> dict[str, Any]:
    """Measures graphs of growing size, prints a table and writes the curve.

    Args:
        quick (bool, optional): Small sizes only. (default: :obj:`False`)
        plot (Path): Where the picture goes.
    """
    sizes = EDGES[:2] if quick else EDGES
    console = Console()
    measure(1_000)
    rows = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for size in progress.track(sizes, description="finding paths"):
            rows.append(measure(size))
    table = Table(title="all paths of three nodes, ratio 0.5, power-law graphs")
    for name in rows[0]:
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(f"{v:,.2f}" if isinstance(v, float) else f"{v:,}" for v in row.values()))
    console.print(table)
    draw(rows, plot)
    console.print(f"plot: {plot.resolve()}", soft_wrap=True, highlight=False)
    return {"paths": rows, "environment": environment()}
