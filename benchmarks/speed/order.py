"""What an order of nodes is worth: ``python -m benchmarks speed order``.

A grid whose nodes were shuffled, a random graph and one with a power law, 64 channels, forward.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import grid

from benchmarks.speed.graphs import random_edges
from benchmarks.speed.turns import clocked, in_turns
from graphkit import ops
from graphkit.transforms import ReorderNodes

DEGREE, HEADS, CHANNELS = 20, 8, 8
Order = Literal["rcm", "degree"]


def graphs(side: int, edges: int) -> dict[str, tuple[Tensor, int]]:
    """Edges and number of nodes of each graph, in an order that says nothing."""
    found = {
        "grid": (grid(side, side)[0], side**2),
        "random": (random_edges(edges // DEGREE, edges), edges // DEGREE),
        "power law": (random_edges(edges // DEGREE, edges, "power"), edges // DEGREE),
    }
    return {
        name: (torch.randperm(count)[edge_index], count)
        for name, (edge_index, count) in found.items()
    }


def compare(name: str, edges: Tensor, count: int, by: Order, turns: int) -> list[dict[str, Any]]:
    """A sum and an attention on one graph, in the new order and in the given one, by turns."""
    x, score = torch.randn(count, HEADS, CHANNELS), torch.randn(count, HEADS)
    data = Data(edge_index=edges.clone(), num_nodes=count)
    spent, _ = clocked(lambda: ReorderNodes(by)(data))
    calls: dict[str, Callable[[Tensor], Tensor]] = {
        "sum": lambda index: ops.spmm(index, None, x, count),
        "attention": lambda index: ops.gat_attention(index, x, score, score),
    }
    return [
        {"what": f"{what}, {name}, by {by}", "order_seconds": spent}
        | in_turns(partial(call, data.edge_index), partial(call, edges), turns)
        for what, call in calls.items()
    ]


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """A row per graph, order and op; ``times faster`` is over the given order."""
    torch.manual_seed(0)
    found = graphs(*((30, 2_000) if quick else (500, 10**6)))
    return [
        row
        for name, graph in found.items()
        for by in get_args(Order)
        for row in compare(name, *graph, by, 3 if quick else 9)
    ]
