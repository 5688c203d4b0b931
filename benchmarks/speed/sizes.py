"""Graph attention beside PyG's (and DGL's, where it is installed) at every size of graph.

``python -m benchmarks speed sizes``: forward and backward, eight heads of eight, by turns. Each
size in processes of its own: with memory as a program gets it from its system, and with an
allocator that keeps what was freed.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv

from benchmarks.speed.child import MEMORY, RETURN_MEMORY, measure, run_module
from benchmarks.speed.dgl_here import load_dgl
from benchmarks.speed.graphs import random_edges
from benchmarks.speed.inputs import Problem
from benchmarks.speed.turns import in_turns
from graphkit.nn import FusedGATConv

HEADS, CHANNELS = 8, 8
SIZES = {
    "1,000 / 10,000": (1_000, 10_000, 60),
    "Cora's size": (2_708, 10_556, 60),
    "20,000 / 400,000": (20_000, 400_000, 15),
    "50,000 / 1,000,000": (50_000, 1_000_000, 7),
}


def step(layer: Callable[..., Tensor], parameters: list[Tensor], x: Tensor) -> Callable[[], None]:
    """Forward and backward of a layer that knows its graph, with fresh gradients."""

    def run() -> None:
        for value in (x, *parameters):
            value.grad = None
        layer(x).sum().backward()

    return run


def rivals(width: int, edges: Tensor, nodes: int) -> dict[str, tuple[nn.Module, Callable]]:
    """The same layer of other libraries, and how each of them is called."""
    theirs = GATConv(width, CHANNELS, HEADS, add_self_loops=False)
    found: dict[str, tuple[nn.Module, Callable]] = {"PyG": (theirs, lambda x: theirs(x, edges))}
    dgl = load_dgl()
    if dgl is not None:
        layers = importlib.import_module("dgl.nn.pytorch")
        graph = dgl.graph((edges[0], edges[1]), num_nodes=nodes)
        other = layers.GATConv(width, CHANNELS, HEADS, allow_zero_in_degree=True)
        found["DGL"] = (other, lambda x: other(graph, x))
    return found


def compare(what: str, nodes: int, edges: int, turns: int) -> list[dict[str, Any]]:
    """Ours beside every rival on one graph."""
    torch.manual_seed(0)
    width, index = HEADS * CHANNELS, random_edges(nodes, edges)
    x = torch.randn(nodes, width, requires_grad=True)
    ours = FusedGATConv(width, CHANNELS, HEADS, add_self_loops=False)
    mine = step(lambda x: ours(x, index), list(ours.parameters()), x)
    return [
        {"what": f"attention, {what}", "rival": name}
        | in_turns(mine, step(call, list(layer.parameters()), x), turns, seconds=15)
        for name, (layer, call) in rivals(width, index, nodes).items()
    ]


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """Four sizes, twice; and what a step needs beside its inputs at 400,000 edges."""
    found = []
    for name, size in ({"quick": (200, 2_000, 3)} if quick else SIZES).items():
        for memory, environment in MEMORY.items():
            words = [json.dumps([f"{name}, {memory}", *size])]
            found += run_module("benchmarks.speed.sizes", words, environment)
    problem = Problem(nodes=200, edges=2_000) if quick else Problem()
    task = {"kind": "memory", "problem": problem.describe()}
    ours, rival = (
        measure(task | {"side": side}, RETURN_MEMORY)["megabytes"] for side in ("ours", "rival")
    )
    found.append({"what": problem.label, "megabytes": ours, "rival_megabytes": rival})
    return found


if __name__ == "__main__":
    print(json.dumps(compare(*json.loads(sys.argv[1]))))
