"""A graph larger than comfort: written to disk, trained on, and run through, each part resumable.

``python -m benchmarks scale --large FOLDER`` does what is not done yet in that folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn
from torch_geometric.sampler import NodeSamplerInput

from benchmarks.scale.ledger import Ledger
from graphkit import json_values
from graphkit.guard import reading
from graphkit.sampling import (
    EdgeSource,
    GraphSource,
    NeighborLoader,
    NeighborSampler,
    layerwise,
    open_graph,
    write_graph,
)

CHANNELS, CLASSES, CHUNK, SAVED_EVERY = 64, 16, 1_000_000, 3
EXPONENT, NOISE = 2.5, 2.0
BATCH, SAMPLED_BATCHES = 1024, 50


def ends(generator: np.random.Generator, num_nodes: int, size: int) -> Any:
    """Nodes drawn by a power law: the r-th of them in proportion to a power of r."""
    # Inverse of the distribution function, so that no table of all nodes is searched.
    power = 1.0 / (1.0 - 1.0 / (EXPONENT - 1.0))
    rank = np.minimum((num_nodes * generator.random(size) ** power).astype(np.int64), num_nodes - 1)
    # Neighbouring ranks lie far apart, as in graphs of people.
    return (rank * 2_654_435_761 + 12_345) % num_nodes


def source(num_nodes: int, num_edges: int, seed: int = 0) -> GraphSource:
    """A seeded power-law graph with features and labels, chunk by chunk.

    The class of a node is the rest of its number by 16. Every other edge ends in its source's
    class, and features are the class under noise, so that neighbours tell what a node alone hides.
    """

    def edges() -> Iterator[Any]:
        for number, start in enumerate(range(0, num_edges, CHUNK)):
            generator = np.random.default_rng([seed, 1, number])
            size = min(CHUNK, num_edges - start)
            near = ends(generator, num_nodes, size)
            far = generator.integers(num_nodes, size=size)
            alike = far - far % CLASSES + near % CLASSES
            alike = np.where((generator.random(size) < 0.5) & (alike < num_nodes), alike, far)
            yield near, alike, {}

    def rows(kind: int) -> Iterator[Any]:
        for number, start in enumerate(range(0, num_nodes, CHUNK)):
            generator = np.random.default_rng([seed, 2, number])
            label = np.arange(start, min(start + CHUNK, num_nodes)) % CLASSES
            if kind == 0:
                x = NOISE * generator.standard_normal((label.size, CHANNELS), np.float32)
                x[np.arange(label.size), label] += 1.0
                yield x.astype(np.float32, copy=False)
            else:
                yield label

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

    def stack(self, after: Callable[[], None]) -> list[Any]:
        """The layers, one by one; ``after`` is called with each piece of work behind it."""

        def piece(layer: Callable[[Tensor, Tensor], Tensor]) -> Any:
            def step(x: Tensor, edges: Tensor) -> Tensor:
                out = layer(x, edges)
                after()
                return out

            return step

        return [piece(lambda x, edges: self.first(x, edges).relu()), piece(self.second)]


def digest_of(arrays: Any) -> str:
    """A hash of arrays: two runs gave the same bits if it is the same."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def sample(stores: Any, num_nodes: int, ledger: Ledger) -> None:
    """Neighbours of random seeds at [15, 10], edges only."""
    ledger.begin("sampling")
    sampler = NeighborSampler(stores, [15, 10], seed=0)
    order = torch.randperm(num_nodes, generator=torch.Generator().manual_seed(3))
    edges = 0
    for seeds in order.split(BATCH)[:SAMPLED_BATCHES]:
        edges += sampler.sample_from_nodes(NodeSamplerInput(None, seeds)).row.numel()
    ledger.end({"edges": edges, "batch_size": BATCH})


def train(stores: Any, folder: Path, num_nodes: int, seeds: int, ledger: Ledger) -> GAT:
    """One pass over some seeds, from the last checkpoint on."""
    from graphkit.train import load_checkpoint, save_checkpoint

    torch.manual_seed(0)
    model = GAT()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    file, done, edges, loss = folder / "training.pt", 0, 0, 0.0
    if file.exists():
        state = load_checkpoint(file)
        with reading(file, advice="delete it, and training starts anew"):
            done, edges = (json_values.whole(state[name], name) for name in ("done", "edges"))
            loss = json_values.number(state["loss"], "loss")
            if not 0 <= done <= seeds or edges < 0:
                raise ValueError(f"it has trained on {done:,} of {seeds:,} seeds")
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
    if ledger.is_done("training"):
        return model
    ledger.begin("training")
    # The same seeds in the same order at every start.
    order = torch.randperm(num_nodes, generator=torch.Generator().manual_seed(1))[:seeds]
    # Places in the order, not the seeds left: a batch draws the same before and after a kill.
    loader = NeighborLoader(
        stores,
        [10, 10],
        order,
        batch_size=BATCH,
        sampler=range(done, seeds),
        generator=torch.Generator().manual_seed(2),
    )
    with Progress(console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task("training", total=seeds, completed=done)
        for number, batch in enumerate(loader if done < seeds else []):
            optimizer.zero_grad()
            out = model(batch.x, batch.edge_index)[: batch.batch_size]
            step = F.cross_entropy(out, batch.y[: batch.batch_size])
            step.backward()
            optimizer.step()
            edges, done = edges + batch.num_edges, done + batch.batch_size
            loss = float(step.detach())
            bar.update(row, completed=done)
            if number % SAVED_EVERY == SAVED_EVERY - 1 or done == seeds:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                state |= {"done": done, "edges": edges, "loss": loss, "graphkit_checkpoint": 1}
                save_checkpoint(state, file)
                ledger.spend()
    weights = digest_of(p.detach().numpy() for p in model.parameters())
    ledger.end({"seeds": seeds, "edges": edges, "last_loss": loss, "digest": weights})
    return model


def infer(stores: Any, folder: Path, model: GAT, ledger: Ledger) -> None:
    """Outputs for all nodes, from the last chunk on disk on."""
    ledger.begin("inference")
    # One hop is known of attention: nothing has to be tried out.
    out = layerwise(model.stack(ledger.spend), stores, folder / "outputs", hops=1)
    right, parts = 0, out.split(CHUNK)
    for number, part in enumerate(parts):
        rows = slice(number * CHUNK, number * CHUNK + part.size(0))
        y = stores[0].get_tensor(None, "y", index=rows)
        right += int((part.argmax(1) == y).sum())
    facts = {"nodes": out.size(0), "accuracy": right / out.size(0)}
    ledger.end({**facts, "digest": digest_of(part.numpy() for part in parts)})


def run_large(
    folder: Path,
    num_nodes: int = 10_000_000,
    num_edges: int = 100_000_000,
    seeds: int | None = None,
) -> dict[str, Any]:
    """Writes, samples, trains and infers, as far as the folder has not got it.

    Args:
        folder (Path): Where graph, checkpoint and outputs lie.
        num_nodes, num_edges (int, optional): Sizes.
        seeds (int, optional): Nodes to train on. (default: one in a hundred)

    Returns:
        Seconds, processor seconds and peak memory by part.

    Raises:
        ValueError: If the folder holds a run of another size, whose parts would pass for done.
    """
    console, sizes = Console(), {"nodes": num_nodes, "edges": num_edges}
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(folder / "figures.json")
    before = [ledger.figures.get(name, size) for name, size in sizes.items()]
    if before != list(sizes.values()):
        raise ValueError(
            f"'{folder}' holds a run of {before[0]:,} nodes and {before[1]:,} edges; give another "
            "folder"
        )
    ledger.figures |= sizes
    graph = folder / f"graph-{num_nodes}-{num_edges}"
    # Each part looks at what the folder has, so that a killed run goes on where it was.
    if not graph.exists():
        ledger.begin("writing")
        with console.status("writing the graph"):
            write_graph(graph, source(num_nodes, num_edges))
        ledger.end({"megabytes": sum(f.stat().st_size for f in graph.rglob("*.npy")) / 1e6})
    stores = open_graph(graph)
    if not ledger.is_done("sampling"):
        sample(stores, num_nodes, ledger)
    model = train(stores, folder, num_nodes, seeds or num_nodes // 100, ledger)
    if not ledger.is_done("inference"):
        infer(stores, folder, model, ledger)
    for part in ("writing", "sampling", "training", "inference"):
        console.print(part, ledger.figures.get(part, "done before"))
    return ledger.figures
