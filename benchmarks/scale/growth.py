"""How sampling, training and inference grow: ``python -m benchmarks scale --growth FOLDER``.

Every size runs in a process of its own, so that its peak of memory is its own. The larger ones are
killed in the middle of training and of inference, and resumed; they are run again without kills,
which must come to the same bits.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.harness.environment import ROOT, environment
from benchmarks.harness.outputs import write_figure
from benchmarks.scale.ledger import read_figures
from graphkit.files import replacing
from graphkit.guard import reading
from graphkit.json_values import number
from graphkit.plot import load_pyplot

__all__ = ["run_growth"]

SIZES = (100_000, 1_000_000, 10_000_000)
QUICK = (3_000, 10_000)
TWICE = (1_000_000, 10_000_000)
"""Sizes whose run is killed, and made again without kills."""
PARTS = ("writing", "sampling", "training", "inference")
KILLED = ("training", "inference")
RESULTS = ROOT / "benchmarks" / "results" / "scale.json"


def start(folder: Path, nodes: int) -> subprocess.Popen[bytes]:
    """A process that does what is not done yet for a size."""
    words = ["-m", "benchmarks", "scale", "--large", str(folder), "--nodes", str(nodes)]
    return subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL)


def figures_of(folder: Path) -> dict[str, Any]:
    """What a folder says of its parts."""
    return read_figures(folder / "figures.json")


def row_of(folder: Path, figures: dict[str, Any]) -> dict[str, Any]:
    """What the table needs of a size whose parts are all done.

    Raises:
        DamagedDataError: If its account lacks some of it.
    """
    with reading(folder / "figures.json", advice=f"delete '{folder}', and the size is run anew"):
        number(figures["writing"]["megabytes"], "'megabytes'")
        return {key: figures[key] for key in ("nodes", "edges", *PARTS)}


def finish(folder: Path, nodes: int) -> dict[str, Any]:
    """The figures of a size, after its process has come to its end.

    Raises:
        RuntimeError: If it failed.
    """
    process = start(folder, nodes)
    try:
        status = process.wait()
    except BaseException:
        process.kill()
        raise
    if status:
        raise RuntimeError(f"the run of {nodes:,} nodes in '{folder}' ended with status {status}")
    return figures_of(folder)


def kill_in(folder: Path, nodes: int, part: str) -> None:
    """Starts a run and kills it in the middle of a part, once it has put something on disk.

    Raises:
        RuntimeError: If it ended before.
    """
    process, before, entries = start(folder, nodes), 0.0, 0
    while process.poll() is None:
        time.sleep(0.1)
        now = figures_of(folder).get(part, {})
        if now.get("done"):
            break
        spent = now.get("seconds", 0.0)
        entries, before = entries + (spent > before), spent
        # The first entry is that of the start; with the third there is something to go on from.
        if entries == 3:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            return
    process.kill()
    raise RuntimeError(f"{part} of {nodes:,} nodes was over before it could be killed")


def run_killed(folder: Path, nodes: int) -> dict[str, Any]:
    """The figures of a size whose run was killed once in each part, and resumed."""
    for part in KILLED:
        # What an earlier command has killed and resumed is not killed again.
        if figures_of(folder).get(part, {}).get("starts", 0) < 2:
            kill_in(folder, nodes, part)
    return finish(folder, nodes)


def run_undisturbed(folder: Path, nodes: int, killed: dict[str, Any]) -> dict[str, Any]:
    """Runs a size again beside its graph, without kills, and compares.

    Raises:
        RuntimeError: If other bits came out.
    """
    place = folder / "undisturbed"
    place.mkdir(exist_ok=True)
    for graph in folder.glob("graph-*"):
        if not (place / graph.name).exists():
            (place / graph.name).symlink_to(graph.resolve())
    found = finish(place, nodes)
    with reading(folder / "figures.json"):
        digests = [(found[part]["digest"], killed[part]["digest"]) for part in KILLED]
    for part, (ours, theirs) in zip(KILLED, digests, strict=True):
        if ours != theirs:
            raise RuntimeError(f"{part} of {nodes:,} nodes, killed and resumed, gave other bits")
    return found


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """A line per size and part."""
    table = Table(title="power-law graphs on disk, ten edges per node, 64 features")
    for name in ("nodes", "part", "seconds", "processor seconds", "peak MB"):
        table.add_column(name, justify="right")
    for row in rows:
        for part in PARTS:
            spent = row[part]
            keys = ("seconds", "cpu_seconds", "peak_memory_mb")
            table.add_row(f"{row['nodes']:,}", part, *(f"{spent[key]:,.1f}" for key in keys))
    console.print(table)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Processor time and memory against edges, all axes logarithmic, with a line of slope one."""
    pyplot = load_pyplot(windows=False)
    edges = [row["edges"] for row in rows]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for part, mark in zip(PARTS, "osD^", strict=True):
        left.loglog(edges, [row[part]["cpu_seconds"] for row in rows], f"{mark}-", label=part)
        memory = [row[part]["peak_memory_mb"] / 1024 for row in rows]
        right.loglog(edges, memory, f"{mark}-", label=part)
    last = rows[-1]["inference"]["cpu_seconds"]
    left.loglog(edges, [last * e / edges[-1] for e in edges], "k:", label="linear")
    disk = [row["writing"]["megabytes"] / 1024 for row in rows]
    right.loglog(edges, disk, "k:", label="the graph on disk")
    left.set_ylabel("processor seconds")
    right.set_ylabel("peak resident memory, GiB")
    for axes in (left, right):
        axes.set_xlabel("edges")
        axes.grid(alpha=0.3)
    left.legend(fontsize=8)
    right.legend(fontsize=8)
    write_figure(figure, path)
    pyplot.close(figure)


def run_growth(
    folder: Path, *, quick: bool = False, record: bool = False, plot: Path
) -> dict[str, Any]:
    """Runs all sizes, as far as the folder has not got them; prints a table and draws the curves.

    Args:
        folder (Path): Where graphs, checkpoints and outputs lie: 10 GB.
        quick (bool, optional): Small sizes only, without kills. (default: :obj:`False`)
        record (bool, optional): Keep figures and plot in ``benchmarks/results``.
        plot (Path): Where the picture goes.
    """
    console = Console()
    found: dict[str, Any] = {"rows": [], "undisturbed": [], "environment": environment()}
    files = [folder / "growth.json", *([RESULTS] if record else [])]

    def keep(name: str, row: dict[str, Any]) -> None:
        """Keeps what is known so far: the whole takes long."""
        found[name] = sorted([*found[name], row], key=lambda row: row["nodes"])
        for file in files:
            with replacing(file) as out:
                out.write(json.dumps(found, indent=1).encode() + b"\n")

    folder.mkdir(parents=True, exist_ok=True)
    with Console(stderr=True).status("") as status:
        # The largest first: it says most.
        for nodes in sorted(QUICK if quick else SIZES, reverse=True):
            status.update(f"{nodes:,} nodes")
            run = run_killed if nodes in TWICE else finish
            keep("rows", row_of(folder / str(nodes), run(folder / str(nodes), nodes)))
        for path in (plot, *([RESULTS.with_suffix(".png")] if record else [])):
            draw(found["rows"], path)
        for row in [row for row in found["rows"] if row["nodes"] in TWICE]:
            nodes = row["nodes"]
            status.update(f"{nodes:,} nodes, undisturbed")
            again = run_undisturbed(folder / str(nodes), nodes, row)
            # The graph is the one that was written before.
            keep("undisturbed", {key: again[key] for key in ("nodes", "edges", *PARTS[1:])})
    show(found["rows"], console)
    console.print(f"plot: {plot.resolve()}", soft_wrap=True, highlight=False)
    return found
