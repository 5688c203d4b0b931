"""A graph larger than comfort: written to disk, trained on, and run through, each part resumable.

``python -m benchmarks scale --large FOLDER`` does what is not done yet in that folder.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn

from benchmarks.harness.environment import environment, peak_memory_mb, reset_peak_memory
from graphkit.datasets.store.reading.text import read_json
from graphkit.files import replacing
from graphkit.sampling import (
    EdgeSource,
    GraphSource,
    NeighborLoader,
    layerwise,
    open_graph,
    write_graph,
)

CHANNELS, CLASSES, CHUNK, SAVED_EVERY = 64, 16, 1_000_000, 20
EXPONENT = 2.5


def ends(generator: np.random.Generator, num_nodes: int, size: int) -> Any:
    """Nodes drawn by a power law: the r-th of them in proportion to a power of r."""
    # Inverse of the distribution function, so that no table of all nodes is searched.
    power = 1.0 / (1.0 - 1.0 / (EXPONENT - 1.0))
    rank = np.minimum((num_nodes * generator.random(size) ** power).astype(np.int64), num_nodes - 1)
    # Neighbouring ranks lie far apart, as in graphs of people.
    return (rank * 2_654_435_761 + 12_345) % num_nodes


def source(num_nodes: int, num_edges: int, seed: int = 0) -> GraphSource:
    """A seeded power-law graph with features and labels, chunk by chunk."""

    def edges() -> Iterator[Any]:
        for number, start in enumerate(range(0, num_edges, CHUNK)):
            generator = np.random.default_rng([seed, 1, number])
            size = min(CHUNK, num_edges - start)
            yield ends(generator, num_nodes, size), generator.integers(num_nodes, size=size), {}

    def rows(kind: int) -> Iterator[Any]:
        for number, start in enumerate(range(0, num_nodes, CHUNK)):
            generator = np.random.default_rng([seed, 2, number])
            x = generator.standard_normal((min(CHUNK, num_nodes - start), CHANNELS), np.float32)
            yield x if kind == 0 else x[:, :CLASSES].argmax(1).astype(np.int64)

    nodes = {"x": lambda: rows(0), "y": lambda: rows(1)}
    return GraphSource({None: num_nodes}, {None: nodes}, {None: EdgeSource(edges)})


class GAT(nn.Module):
    """Two layers of attention."""

    def __init__(self) -> None:
        super().__init__()
        from graphkit.nn import FusedGATConv

        self.first = FusedGATConv(CHANNELS, 16, heads=4)
        self.second = FusedGATConv(64, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.second(self.first(x, edge_index).relu(), edge_index)

    def stack(self) -> list[Any]:
        """The layers, one by one."""
        return [lambda x, edges: self.first(x, edges).relu(), self.second]


def train(stores: Any, folder: Path, num_nodes: int, seeds: int) -> tuple[GAT, dict[str, Any]]:
    """One pass over some seeds, from the last checkpoint on."""
    from graphkit.train import load_checkpoint, save_checkpoint

    torch.manual_seed(0)
    model = GAT()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    file, done, loss = folder / "training.pt", 0, 0.0
    if file.exists():
        state = load_checkpoint(file)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        done, loss = state["done"], state["loss"]
    # The same seeds in the same order at every start.
    order = torch.randperm(num_nodes, generator=torch.Generator().manual_seed(1))[:seeds]
    first, started, edges = done, time.perf_counter(), 0
    if done < seeds:
        # Places in the order, not the seeds left: a batch draws the same before and after a kill.
        loader = NeighborLoader(
            stores,
            [10, 10],
            order,
            batch_size=1024,
            sampler=range(done, seeds),
            generator=torch.Generator().manual_seed(2),
        )
        for number, batch in enumerate(loader):
            optimizer.zero_grad()
            out = model(batch.x, batch.edge_index)[: batch.batch_size]
            step = F.cross_entropy(out, batch.y[: batch.batch_size])
            step.backward()
            optimizer.step()
            edges, done, loss = (
                edges + batch.num_edges,
                done + batch.batch_size,
                float(step.detach()),
            )
            if number % SAVED_EVERY == SAVED_EVERY - 1 or done == seeds:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                save_checkpoint(
                    {"graphkit_checkpoint": 1, "done": done, "loss": loss, **state}, file
                )
    seconds = time.perf_counter() - started
    return model, {"seeds": done - first, "edges": edges, "seconds": seconds, "last_loss": loss}


def run_large(
    folder: Path, num_nodes: int = 10_000_000, num_edges: int = 100_000_000, seeds: int = 100_000
) -> dict[str, Any]:
    """Writes, trains and infers, as far as the folder has not got it; returns time and memory.

    Args:
        folder (Path): Where graph, checkpoint and outputs lie.
        num_nodes, num_edges, seeds (int, optional): Sizes.
    """
    console = Console()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "figures.json"
    figures = dict(read_json(file)) if file.exists() else {"environment": environment()}
    reset_peak_memory()

    def note(name: str, started: float, more: dict[str, Any]) -> None:
        """Keeps the figures of a part as soon as it is done."""
        spent = {"seconds": time.perf_counter() - started, "peak_memory_mb": peak_memory_mb()}
        figures[name] = {**spent, **more}
        console.print(name, figures[name])
        with replacing(file) as out:
            out.write(json.dumps(figures, indent=2).encode())

    started = time.perf_counter()
    # Each part looks at what the folder has, so that a killed run goes on where it was.
    graph = folder / f"graph-{num_nodes}-{num_edges}"
    if not graph.exists():
        write_graph(graph, source(num_nodes, num_edges))
        note("writing", started, {})
    started = time.perf_counter()
    stores = open_graph(graph)
    note("opening", started, {})
    started = time.perf_counter()
    model, training = train(stores, folder, num_nodes, seeds)
    if training["seeds"]:
        note("training", started, training)
    started = time.perf_counter()
    # One hop is known of attention: nothing has to be tried out.
    out = layerwise(model.stack(), stores, folder / "outputs", hops=1)
    if "inference" not in figures:
        y = stores[0].get_tensor(None, "y", index=slice(0, CHUNK))
        accuracy = float((out[:CHUNK].argmax(1) == y).float().mean())
        note("inference", started, {"nodes": out.size(0), "accuracy": accuracy})
    return figures
