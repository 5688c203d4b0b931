"""PyG's layers beside their fused twins: the same model, weights and draws; accuracy and time.

Every model is trained twice, with PyG's layers and with :func:`graphkit.accelerate`'s, then steps
of both are timed by turns in one process, on a random graph of a size that layers are needed for.
``NAME_ms_pyg`` and ``NAME_ms_fused`` are medians of a training step, forward and backward;
``NAME_faster`` is the median ratio within a turn. Accuracy differs by the order of sums alone, and
by the masks of attention's dropout.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.data import Data

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.nodes import load
from benchmarks.rivals.nodes import build
from benchmarks.speed.graphs import random_edges
from graphkit.nn import accelerate
from graphkit.train import NodeTask, seed_everything

__all__ = ["MAIN", "load", "run"]

MAIN = "faster"


def run(
    dataset: dict[str, Any],
    models: dict[str, dict[str, Any]],
    *,
    seed: int,
    fit: Fitter,
    nodes: int = 8000,
    edges: int = 120000,
    turns: int = 5,
) -> dict[str, float]:
    """One seed: ``models`` are sections ``model`` by name; ``turns`` steps of each are timed on a
    graph of so many ``nodes`` and ``edges``."""
    data = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    large = Data(
        x=torch.rand(nodes, data.num_features),
        edge_index=random_edges(nodes, edges),
        y=torch.randint(0, int(data.y.max()) + 1, (nodes,)),
        train_mask=torch.ones(nodes, dtype=torch.bool),
    )
    metrics: dict[str, float] = {}
    for name, settings in models.items():
        pair = {}
        for kind in ("pyg", "fused"):
            seed_everything(seed)
            network = build(settings, data.num_features, int(data.y.max()) + 1)
            network = accelerate(network).model if kind == "fused" else network
            seed_everything(seed)
            result = fit(network, NodeTask(data), tag=f"{name}-{kind}")
            metrics[f"{name}_accuracy_{kind}"] = result.metrics["test_accuracy"]
            pair[kind] = step(network, large)
        times = by_turns(pair, turns)
        for kind, values in times.items():
            metrics[f"{name}_ms_{kind}"] = 1000 * statistics.median(values)
        ratios = [a / b for a, b in zip(times["pyg"], times["fused"], strict=True)]
        metrics[f"{name}_faster"] = statistics.median(ratios)
    faster = [metrics[f"{name}_faster"] for name in models]
    return {"faster": statistics.geometric_mean(faster), **metrics}


def step(network: nn.Module, data: Data) -> Callable[[], None]:
    """A training step without the optimizer's part."""

    def call() -> None:
        network.zero_grad()
        out = network(data.x, data.edge_index)
        F.cross_entropy(out[data.train_mask], data.y[data.train_mask]).backward()

    network.train()
    return call


def by_turns(calls: dict[str, Callable[[], None]], turns: int) -> dict[str, list[float]]:
    """Seconds of each call in each turn, after one that is not counted."""
    times: dict[str, list[float]] = {kind: [] for kind in calls}
    for turn in range(turns + 1):
        for kind, call in calls.items():
            began = time.perf_counter()
            call()
            if turn:
                times[kind].append(time.perf_counter() - began)
    return times
