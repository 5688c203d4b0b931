"""Sampled edges per second and core beside others' samplers: ``benchmarks speed sampling``.

The graph has the size of ogbn-arxiv and a power law of targets. Every step samples 1024 seeds at
[15, 10], on one thread. PyG's own sampler needs pyg-lib or torch-sparse and is timed where one of
them is installed; DGL's classic one (``sample_blocks``) where DGL is. Always there: NumPy, hop by
hop without a loop over nodes; it draws with replacement, which is less work. Ratios are per edge.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric import typing as pyg
from torch_geometric.data import Data
from torch_geometric.sampler import NeighborSampler as PyGSampler
from torch_geometric.sampler import NodeSamplerInput

from benchmarks.speed.dgl_here import load_dgl
from benchmarks.speed.graphs import random_edges
from benchmarks.speed.parts import RATIOS
from benchmarks.speed.timing import spread
from benchmarks.speed.turns import in_turns
from graphkit.sampling import NeighborSampler

__all__ = ["rows"]

NODES, EDGES, FANOUT, SEEDS = 169_343, 1_166_243, [15, 10], 1024
Sample = Callable[[Tensor], int]


def with_numpy(edge_index: Tensor, nodes: int) -> Sample:
    """Hop by hop in arrays: draws with replacement, then numbers for the nodes."""
    order = np.argsort(edge_index[1].numpy(), kind="stable")
    row = edge_index[0].numpy()[order]
    start = np.concatenate([[0], np.bincount(edge_index[1].numpy(), minlength=nodes).cumsum()])
    generator = np.random.default_rng(0)

    def sample(seeds: Tensor) -> int:
        known = front = seeds.numpy()
        edges = 0
        for count in FANOUT:
            size = start[front + 1] - start[front]
            front, size = front[size > 0], size[size > 0]
            # As many as there are at most, as without replacement.
            taken = np.minimum(size, count)
            drawn = generator.random(int(taken.sum())) * np.repeat(size, taken)
            far = row[np.repeat(start[front], taken) + drawn.astype(np.int64)]
            edges += far.size
            together, place = np.unique(np.concatenate([known, far]), return_inverse=True)
            assert place.size == known.size + far.size
            known, front = together, np.setdiff1d(far, known)
        return edges

    return sample


def with_sampler(sampler: Any) -> Sample:
    """A sampler with PyG's methods."""

    def sample(seeds: Tensor) -> int:
        return int(sampler.sample_from_nodes(NodeSamplerInput(None, seeds)).row.numel())

    return sample


def with_dgl(dgl: Any, edge_index: Tensor, nodes: int) -> Sample:
    """DGL's sampler; its numbers of neighbours begin at the inputs."""
    graph = dgl.graph((edge_index[0], edge_index[1]), num_nodes=nodes)
    graph.create_formats_()
    sampler = dgl.dataloading.NeighborSampler(FANOUT[::-1])

    def sample(seeds: Tensor) -> int:
        return sum(int(block.num_edges()) for block in sampler.sample_blocks(graph, seeds)[2])

    return sample


def rivals(edge_index: Tensor, nodes: int) -> dict[str, Sample]:
    """Others' samplers that are here."""
    others = {"NumPy, with replacement": with_numpy(edge_index, nodes)}
    if pyg.WITH_PYG_LIB or pyg.WITH_TORCH_SPARSE:
        engine = "pyg-lib" if pyg.WITH_PYG_LIB else "torch-sparse"
        data = Data(edge_index=edge_index, num_nodes=nodes)
        others[engine] = with_sampler(PyGSampler(data, FANOUT))
    dgl = load_dgl()
    if dgl is not None:
        others["DGL"] = with_dgl(dgl, edge_index, nodes)
    return others


def passes(sample: Sample, batches: list[Tensor]) -> Callable[[], int]:
    """A call that samples all batches and counts edges."""
    return lambda: sum(sample(seeds) for seeds in batches)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """A line for our own rate and one per rival."""
    nodes, edges, turns = (500, 5_000, 3) if quick else (NODES, EDGES, 9)
    edge_index = random_edges(nodes, edges, "power")
    order = torch.randperm(nodes, generator=torch.Generator().manual_seed(0))
    batches = list(order.split(SEEDS)[: 2 if quick else 10])
    data = Data(edge_index=edge_index, num_nodes=nodes)
    with one_thread():
        ours = passes(with_sampler(NeighborSampler(data, FANOUT)), batches)
        ours()
        rates = []
        for _ in range(turns):
            spent = time.process_time()
            count = ours()
            rates.append(count / (time.process_time() - spent))
        found: list[dict[str, Any]] = [
            {
                "what": f"{statistics.median(rates) / 1e6:.1f} M edges per processor second",
                "sampled_edges_per_processor_second": spread(rates),
                "load": os.getloadavg()[0],
            }
        ]
        for name, sample in rivals(edge_index, nodes).items():
            theirs = passes(sample, batches)
            their_count = theirs()
            row: dict[str, Any] = {"what": "sampling", "rival": name, "edges": count}
            row |= {"rival_edges": their_count} | in_turns(ours, theirs, turns)
            # Samplers differ in whom they expand again: what counts is the cost of an edge.
            for key in RATIOS:
                row[key] = {k: v * count / their_count for k, v in row[key].items()}
            found.append(row)
    return found
