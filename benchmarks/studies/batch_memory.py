"""Memory of a training step of GraphSAGE over batch size: Computers and CS, up to full batch.

    python -m benchmarks.studies.batch_memory --record

The model is that of the recipes ``sage-batches-*``, and on Computers that of PyG's layers, too,
which make a row of features for every edge. Memory is the most that a step held, less what was held
before it; every step runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track

from benchmarks.harness.environment import ROOT, environment, peak_memory_mb, reset_peak_memory
from benchmarks.harness.outputs import write_figure
from benchmarks.harness.recipe import load as load_recipe
from benchmarks.protocols.mini_batches import load, sampled_task
from benchmarks.rivals.nodes import build
from graphkit.files import replacing

RESULTS = ROOT / "benchmarks" / "results" / "batch-memory.json"
SIZES = (64, 256, 1024, 4096)
CASES = {
    "Computers": ("sage-batches-computers", "SparseSAGE"),
    "Computers, PyG's layers": ("sage-batches-computers", "GraphSAGE"),
    "CS": ("sage-batches-cs", "SparseSAGE"),
}


def step(case: str, batch_size: int | None, answers: Any) -> None:
    """Puts the megabytes of one step; no batch size is a full batch."""
    torch.set_num_threads(1)
    name, model = CASES[case]
    sections = load_recipe(name).sections
    data = load(**sections["dataset"])
    settings = {**sections["model"], "name": model}
    network = build(settings, data.num_features, int(data.y.max()) + 1)
    task = sampled_task(data, sections["batches"]["num_neighbors"], batch_size or 1)
    # Two steps: the first one compiles kernels, and makes gradients that stay.
    for _ in range(2):
        reset_peak_memory()
        before = peak_memory_mb()
        if batch_size is None:
            out = network(data.x, data.edge_index)
            F.cross_entropy(out[data.train_mask], data.y[data.train_mask]).backward()
        else:
            task.loss(network, next(iter(task.batches(1)))).backward()
        spent = peak_memory_mb() - before
    answers.put(spent)


def measure(case: str, batch_size: int | None) -> float:
    """The megabytes of one step, in a process of its own."""
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=step, args=(case, batch_size, answers))
    process.start()
    megabytes = float(answers.get(timeout=600))
    process.join()
    return megabytes


def draw(found: dict[str, Any], path: Path) -> None:
    """A curve per case, the full batch at its number of seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for case, mark in zip(CASES, "osD", strict=True):
        curve = found["megabytes"][case]
        (line,) = axes.loglog(SIZES, [curve[str(size)] for size in SIZES], f"{mark}-", label=case)
        axes.axhline(curve["full"], color=line.get_color(), linestyle=":")
    axes.set_xlabel("seeds per batch, neighbours [10, 10]; dotted: full batch")
    axes.set_ylabel("MB of a training step")
    axes.legend()
    axes.grid(alpha=0.3)
    write_figure(figure, path)
    pyplot.close(figure)


def main() -> None:
    """All cases and sizes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--record", action="store_true", help="keep them in benchmarks/results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {"megabytes": {case: {} for case in CASES}}
    pairs = [(case, size) for case in CASES for size in (*SIZES, None)]
    for case, size in track(pairs, "steps", console=Console(stderr=True), transient=True):
        found["megabytes"][case]["full" if size is None else str(size)] = measure(case, size)
    Console().print(found["megabytes"])
    if options.record:
        with replacing(RESULTS) as file:
            file.write(
                json.dumps(found | {"environment": environment()}, indent=1).encode() + b"\n"
            )
        draw(found, RESULTS.with_suffix(".png"))


if __name__ == "__main__":
    main()
