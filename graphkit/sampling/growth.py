"""Hop by hop from seeds to the nodes behind them: the loop of neighbour sampling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.ops.cpu.threads import run
from graphkit.sampling.kernels import drawing, places
from graphkit.sampling.relations import Relation, Relations

ALL_BITS = (1 << 64) - 1
EMPTY = np.empty(0, np.int64)
WORK_PER_EDGE = 16
"""Multiplications that drawing an edge is worth, for the choice of threads."""


def mix(*numbers: int) -> int:
    """64 bits that hang on every bit of the numbers (SplitMix64)."""
    x = 0
    for number in numbers:
        x = (x + number + 0x9E3779B97F4A7C15) & ALL_BITS
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & ALL_BITS
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & ALL_BITS
        x ^= x >> 31
    return x


@dataclass
class Plan:
    """How neighbours are drawn.

    Args:
        counts (dict): For each edge type the neighbours per hop, -1 for all.
        hops (int): Number of hops.
        replace, disjoint, last, induced (bool): As in PyG's samplers.
        backward (bool): Whether neighbours are targets of edges.
    """

    counts: dict[Any, list[int]]
    hops: int
    replace: bool = False
    disjoint: bool = False
    last: bool = False
    induced: bool = False
    backward: bool = False


class Nodes:
    """The nodes of one type in a batch, in the order in which they were found."""

    def __init__(self, num_nodes: int) -> None:
        self.num_nodes, self.entered, self.total = num_nodes, 0, 0
        self.keys, self.values = np.full(1024, -1, np.int64), np.empty(1024, np.int64)
        self.pieces: list[Any] = []
        self.trees: list[Any] = []
        self.sizes: list[int] = []
        self.fresh: tuple[int, Any, Any] = (0, EMPTY, EMPTY)

    def make_room(self, more: int) -> None:
        """Grows the table so that it stays half empty with so many nodes more."""
        size = self.keys.size
        while size < 2 * (self.entered + more):
            size *= 2
        if size > self.keys.size:
            self.keys, self.values = places.moved(self.keys, self.values, size)

    def add(self, nodes: Any, trees: Any) -> None:
        """Appends nodes that stand in the table already."""
        self.pieces.append(nodes)
        self.trees.append(trees)
        self.total += nodes.size

    def close_hop(self, begin: int) -> None:
        """What was added since place ``begin`` is what the next hop starts from."""
        fresh, trees = join(self.pieces)[begin:], join(self.trees)
        self.fresh = (begin, fresh, trees[begin:] if trees.size else trees)
        self.sizes.append(self.total - begin)


@dataclass
class Sampled:
    """A batch: nodes and trees by node type, edges by edge type."""

    nodes: dict[Any, Nodes]
    rows: dict[Any, list[Any]] = field(default_factory=dict)
    cols: dict[Any, list[Any]] = field(default_factory=dict)
    edges: dict[Any, list[Any]] = field(default_factory=dict)


def join(pieces: list[Any]) -> Any:
    """Arrays end to end."""
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces) if pieces else EMPTY


def grow(
    graph: Relations, plan: Plan, seeds: dict[Any, Tensor], limits: Tensor | None, stream: int
) -> Sampled:
    """Samples the nodes behind some seeds.

    Args:
        graph (Relations): The graph.
        plan (Plan): How to draw.
        seeds (dict): Seeds by node type, within the graph.
        limits (torch.Tensor, optional): The time of each seed, type by type.
        stream (int): Where the random numbers begin.
    """
    out = Sampled({kind: Nodes(size) for kind, size in graph.num_nodes.items()})
    tree = 0
    for kind, seed in seeds.items():
        nodes, array = out.nodes[kind], seed.contiguous().numpy()
        trees = np.arange(tree, tree + array.size) if plan.disjoint else EMPTY
        nodes.make_room(array.size)
        args = (nodes.keys, nodes.values, array, trees, nodes.num_nodes)
        nodes.entered += places.enter_seeds(*args)
        nodes.add(array, trees)
        tree += array.size
    for nodes in out.nodes.values():
        nodes.close_hop(0)
    bounds = EMPTY if limits is None else limits.contiguous().numpy()
    for key in graph.edges:
        out.rows[key], out.cols[key], out.edges[key] = [], [], []
    for hop in range(plan.hops):
        begins = {kind: nodes.total for kind, nodes in out.nodes.items()}
        for number, (key, relation) in enumerate(graph.edges.items()):
            count = plan.counts[key][hop]
            found = hop_over(relation, plan, out, count, bounds, mix(stream, hop, number))
            for name, array in zip(("rows", "cols", "edges"), found, strict=True):
                getattr(out, name)[key].append(array)
        for kind, nodes in out.nodes.items():
            nodes.close_hop(begins[kind])
    if plan.induced:
        for key, relation in graph.edges.items():
            found = edges_between(relation, plan, out, bounds)
            out.rows[key], out.cols[key], out.edges[key] = ([each] for each in found)
    return out


def open_edges(
    relation: Relation, nodes: Any, trees: Any, bounds: Any, count: int, replace: bool, last: bool
) -> tuple[Any, Any, Any]:
    """The range of edges that each centre may draw from, and where its draws begin."""
    first, end = np.empty(nodes.size, np.int64), np.empty(nodes.size, np.int64)
    times = relation.times.numpy()
    limits = bounds if times.size else EMPTY
    if limits.dtype != times.dtype:
        limits, times = limits.astype(np.float64), times.astype(np.float64)
    arrays = (relation.colptr.numpy(), relation.row.numpy(), nodes, trees, limits, times)
    flags = (relation.by_node, relation.weights.numpy(), count, replace, last)
    return first, end, drawing.count_draws(*arrays, *flags, first, end)


def hop_over(
    relation: Relation, plan: Plan, out: Sampled, count: int, bounds: Any, seed: int
) -> tuple[Any, Any, Any]:
    """One hop over the edges of one type: places of both ends, and which edges they are."""
    begin, nodes, trees = out.nodes[relation.centre].fresh
    if nodes.size == 0 or count == 0:
        return EMPTY, EMPTY, EMPTY
    first, end, offsets = open_edges(relation, nodes, trees, bounds, count, plan.replace, plan.last)
    size, weights = int(offsets[-1]), relation.weights.numpy()
    picked = np.empty(size, np.int64)
    draws = (np.uint64(seed), first, end, offsets, weights, count < 0, plan.replace, picked)
    run(drawing.draw, nodes.size, size * WORK_PER_EDGE, *draws)
    far = out.nodes[relation.neighbour]
    far.make_room(size)
    rows, cols, found = (np.empty(size, np.int64) for _ in range(3))
    found_trees = np.empty(size if trees.size else 0, np.int64)
    table = (far.keys, far.values, relation.row.numpy(), picked, offsets, trees, begin)
    new = places.enter(*table, far.num_nodes, far.total, found, found_trees, rows, cols)
    far.entered += new
    # Copies: what stands behind the new nodes would else be kept as long as the batch.
    far.add(found[:new].copy(), found_trees[:new].copy())
    return (cols, rows, picked) if plan.backward else (rows, cols, picked)


def edges_between(
    relation: Relation, plan: Plan, out: Sampled, bounds: Any
) -> tuple[Any, Any, Any]:
    """All edges of one type between nodes of the batch, of the past if there are times."""
    near, far = out.nodes[relation.centre], out.nodes[relation.neighbour]
    nodes, trees = join(near.pieces), join(near.trees)
    first, end, _ = open_edges(relation, nodes, trees, bounds, -1, False, False)
    table = (far.keys, far.values, relation.row.numpy(), first, end, trees, far.num_nodes)
    size = places.induced(*table, EMPTY, EMPTY, EMPTY)
    rows, cols, found = (np.empty(size, np.int64) for _ in range(3))
    if size:
        places.induced(*table, rows, cols, found)
    return (cols, rows, found) if plan.backward else (rows, cols, found)


def as_tensor(pieces: list[Any]) -> Tensor:
    """Arrays end to end as a tensor that shares their memory."""
    return torch.from_numpy(join(pieces)) if pieces else torch.empty(0, dtype=torch.long)
