"""Results as a table and as a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.harness.outputs import write_figure


def as_table(results: list[dict[str, Any]], copy: float) -> Table:
    """One line per problem; ratios and times as median with quartiles."""
    table = Table(title=f"Copy bandwidth {copy / 1e9:.1f} GB/s (read + write)")
    for column in ("problem", "allocator", "ms", "rival ms", "times faster"):
        table.add_column(column)
    for column in ("first call ms", "ns/edge", "of copy", "extra MB", "rival MB"):
        table.add_column(column, justify="right")
    for result in results:
        table.add_row(*_cells(result, copy))
    return table


def _cells(result: dict[str, Any], copy: float) -> list[str]:
    ratio = result.get("ratio")
    speed = result.get("bytes_per_second")
    memory = result.get("megabytes", {})
    return [
        result["label"],
        result["allocator"],
        f"{1e3 * result['seconds']['median']:.2f}",
        f"{1e3 * result['rival_seconds']['median']:.2f}" if ratio else "-",
        f"{ratio['median']:.1f} ({ratio['low']:.1f}-{ratio['high']:.1f})" if ratio else "-",
        f"{1e3 * result['first_call']:.1f}",
        f"{result['nanoseconds_per_edge']:.1f}",
        f"{100 * speed / copy:.0f} %" if speed else "-",
        f"{memory['ours']:.0f}" if memory else "-",
        f"{memory['rival']:.0f}" if memory else "-",
    ]


def plot(results: list[dict[str, Any]], file: Path) -> None:
    """Bars of the ratios, with quartiles.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('the plot needs matplotlib: pip install "graphkit[bench]"') from error
    shown = [result for result in results if "ratio" in result]
    figure = Figure(figsize=(9, 1 + 0.32 * len(shown)), layout="constrained")
    axes = figure.subplots()
    medians = [result["ratio"]["median"] for result in shown]
    errors = [
        [result["ratio"]["median"] - result["ratio"]["low"] for result in shown],
        [result["ratio"]["high"] - result["ratio"]["median"] for result in shown],
    ]
    labels = [f"{result['label']}, {result['allocator']}" for result in shown]
    axes.barh(labels, medians, xerr=errors, color="#4477aa")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set(xscale="log", xlabel="times faster than PyG")
    axes.invert_yaxis()
    write_figure(figure, file)
