"""A training step of the fused layers beside PyG's own, on the same weights.

``python -m benchmarks speed twins``: each layer in a process of its own. On large graphs twice:
with memory as a program gets it from its system, and with an allocator that keeps what was freed.
PyG's layers ask for a matrix of edges times channels in each step, of which the system hands out
every page anew: how long that takes depends on what ran in the process before, so nothing did.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch_geometric.nn import GATv2Conv, GCNConv, GINConv, SAGEConv, TransformerConv

from benchmarks.speed.child import MEMORY, run_module
from benchmarks.speed.graphs import random_edges
from benchmarks.speed.turns import in_turns
from graphkit.nn import accelerate

HEADS, CHANNELS, EDGE_DIM = 8, 8, 4
WIDTH = HEADS * CHANNELS


def made(name: str, edge_dim: int | None) -> nn.Module:
    """PyG's layer, as wide as eight heads of eight."""
    if name == "GATv2Conv":
        return GATv2Conv(WIDTH, CHANNELS, HEADS, add_self_loops=False, edge_dim=edge_dim)
    if name == "TransformerConv":
        return TransformerConv(WIDTH, CHANNELS, HEADS, edge_dim=edge_dim)
    if name == "GINConv":
        return GINConv(nn.Linear(WIDTH, WIDTH))
    return {"GCNConv": GCNConv, "SAGEConv": SAGEConv}[name](WIDTH, WIDTH)


ATTENTIONS = ("GATv2Conv", "TransformerConv")
SUMS = ("GCNConv", "SAGEConv", "GINConv")


def step(layer: nn.Module, inputs: list[Any]) -> Callable[[], None]:
    """Forward and backward, down to the gradients of features and parameters."""

    def run() -> None:
        layer.zero_grad()
        inputs[0].grad = None
        layer(*inputs).sum().backward()

    return run


def compare(name: str, nodes: int, edges: int, edge_dim: int | None, turns: int) -> dict[str, Any]:
    """Both layers by turns in one process; ratios are taken within each turn."""
    torch.manual_seed(0)
    rival = made(name, edge_dim)
    ours = accelerate(rival, copy=True).model
    inputs: list[Any] = [torch.randn(nodes, WIDTH, requires_grad=True), random_edges(nodes, edges)]
    if edge_dim is not None:
        inputs.append(torch.randn(edges, edge_dim))
    with torch.no_grad():
        error = float((ours(*inputs) - rival(*inputs)).abs().max())
    steps = step(ours, inputs), step(rival, inputs)
    grads = []
    for layer, run in zip((ours, rival), steps, strict=True):
        run()
        values = (inputs[0], *layer.parameters())
        grads.append([value.grad for value in values if value.grad is not None])
    # Beside the largest of all: some are zero but for rounding, as that of the keys' bias.
    largest = max(float(grad.abs().max()) for grad in grads[1])
    wrong = [float((a - b).abs().max()) / largest for a, b in zip(*grads, strict=True)]
    return {
        "what": name,
        "size": f"{nodes:,} / {edges:,}" + ("" if edge_dim is None else f", edge_dim={edge_dim}"),
        "largest_error": error,
        "largest_gradient_error": max(wrong),
    } | in_turns(*steps, turns, seconds=9)


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """All layers at 20,000 nodes and 400,000 edges, and small; attentions with edge features."""
    large, small = (
        ((2_000, 40_000), (200, 2_000)) if quick else ((20_000, 400_000), (1_000, 10_000))
    )
    turns = {large: 3 if quick else 15, small: 3 if quick else 60}
    cases: list[tuple[str, tuple[int, int], int | None]] = [
        (name, size, None) for name in (*ATTENTIONS, *SUMS) for size in (large, small)
    ]
    cases += [(name, large, EDGE_DIM) for name in ATTENTIONS]
    found = []
    for name, size, edge_dim in cases:
        words = [json.dumps([name, *size, edge_dim, turns[size]])]
        for memory, environment in MEMORY.items() if size == large else [("", {})]:
            row = run_module("benchmarks.speed.twins", words, environment)
            row["size"] += f", {memory}" if memory else ""
            found.append(row)
    return found


if __name__ == "__main__":
    print(json.dumps(compare(*json.loads(sys.argv[1]))))
