"""Times and checks of SPAGAN's parts: finding paths, a training step, paths of trained attention.

``python -m benchmarks.speed.paths`` prints one line per measurement.
"""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from benchmarks.problems.nodes import load
from graphkit.ops import shortest_paths


def seconds(function: Callable[[], Any], repeats: int) -> float:
    """Median time of a call, after two calls that do not count."""
    for _ in range(2):
        function()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def seconds_in_turns(functions: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median times of several functions whose calls alternate, so that all see the same noise."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for repeat in range(repeats + 3):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            if repeat >= 3:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def path_times(name: str, repeats: int = 5) -> dict[str, float]:
    """Hop mode against scipy's Dijkstra with predecessors, all sources, in one process."""
    import scipy.sparse as sp
    from scipy.sparse.csgraph import dijkstra

    data = load(name)
    cost = torch.rand(data.num_edges, generator=torch.Generator().manual_seed(0))
    shape = (data.num_nodes, data.num_nodes)
    matrix = sp.csr_matrix((cost.double().numpy(), data.edge_index.numpy()), shape=shape)
    hop = seconds(lambda: shortest_paths(data.edge_index, cost, num_nodes=shape[0]), repeats)
    started = time.perf_counter()
    dijkstra(matrix, return_predecessors=True)
    scipy_seconds = time.perf_counter() - started
    return {"hop": hop, "scipy": scipy_seconds, "times_faster": scipy_seconds / hop}


def training_step(layer: nn.Module, *inputs: Any) -> Callable[[], None]:
    """Forward, backward and an optimizer step."""
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.005)

    def step() -> None:
        optimizer.zero_grad()
        layer(*inputs).square().mean().backward()
        optimizer.step()

    return step


def step_times(name: str, repeats: int = 50) -> dict[str, float]:
    """A training step of ``SPAGANConv`` (8 heads of 8) and of PyG's ``GATConv``, in turns."""
    from torch_geometric.nn import GATConv

    from graphkit.nn import SPAGANConv

    data = load(name)
    paths = shortest_paths(data.edge_index.flip(0), num_nodes=data.num_nodes)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
        sparse = data.x.to_sparse_csr()
    width = data.num_features
    x, edges = data.x, data.edge_index
    steps = {
        "GATConv": training_step(GATConv(width, 8, 8, dropout=0.6), x, edges),
        "SPAGANConv": training_step(SPAGANConv(width, 8, 8, dropout=0.6), x, edges, paths),
        "SPAGANConv max": training_step(
            SPAGANConv(width, 8, 8, dropout=0.6, pool="max"), x, edges, paths
        ),
        "SPAGANConv sparse x": training_step(
            SPAGANConv(width, 8, 8, dropout=0.6), sparse, edges, paths
        ),
    }
    times = seconds_in_turns(steps, repeats)
    return {**times, "ratio": times["SPAGANConv"] / times["GATConv"]}


def trained_costs(data: Data, seed: int) -> tuple[Tensor, Tensor]:
    """Edges (centre first) and costs from the attention of a GAT trained with early stopping."""
    from graphkit.nn import SPAGAN
    from graphkit.nn.models.spagan import attention_costs
    from graphkit.train import NodeTask, Trainer, seed_everything

    seed_everything(seed)
    model = SPAGAN(data.num_features, 8, int(data.y.max()) + 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005, weight_decay=5e-4)
    trainer = Trainer(1000, patience=50, min_epochs=200, seed=seed, progress=False)
    trainer.fit(model, optimizer, NodeTask(data))
    assert model.gat is not None
    with torch.no_grad():
        _, (edges, alpha) = model.gat[0].eval()(
            data.x, data.edge_index, return_attention_weights=True
        )
    return edges.flip(0), attention_costs(edges, alpha)


def agreement(name: str, seed: int = 0, ratio: float = 0.5) -> dict[str, float]:
    """Share of (source, end) pairs that hop and exact mode have in common, and of all found."""
    data = load(name, sparse_features=True)
    edges, cost = trained_costs(data, seed)
    ends = []
    for method in ("hop", "exact"):
        paths = shortest_paths(edges, cost, 3, ratio, method, num_nodes=data.num_nodes)[3]
        ends.append(set((paths[:, 0] * data.num_nodes + paths[:, 2]).tolist()))
    hop, exact = ends
    return {
        "jaccard": len(hop & exact) / max(len(hop | exact), 1),
        "hop_paths": float(len(hop)),
        "exact_paths": float(len(exact)),
    }


def run(*, quick: bool = False, names: tuple[str, ...] = ("Cora", "CiteSeer")) -> dict[str, Any]:
    """All measurements, by data set."""
    measured: dict[str, Any] = {}
    for name in names:
        measured[name] = {
            "paths": path_times(name),
            "step": step_times(name, 5 if quick else 50),
        }
        if not quick:
            measured[name]["agreement, ratio 0.5"] = agreement(name)
            measured[name]["agreement, all paths"] = agreement(name, ratio=math.inf)
    return measured


def main() -> None:
    """Prints every measurement."""
    for name, groups in run().items():
        for group, values in groups.items():
            listed = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
            print(f"{name} {group}: {listed}")


if __name__ == "__main__":
    main()
