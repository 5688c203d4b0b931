"""Small graphs for tests of samplers, and what is true of any batch drawn from them."""

from __future__ import annotations

from typing import Any

import torch
from torch_geometric.data import Data, HeteroData

TYPES = [("author", "writes", "paper"), ("paper", "cites", "paper"), ("paper", "by", "author")]


def graph(num_nodes: int = 60, num_edges: int = 400, seed: int = 0) -> Data:
    """A random graph with parallel edges and loops; its last node has no edges."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(num_nodes - 1, (2, num_edges), generator=generator)
    return Data(
        x=torch.randn(num_nodes, 6, generator=generator),
        edge_index=edge_index,
        edge_attr=torch.rand(num_edges, generator=generator),
        y=torch.arange(num_nodes),
    )


def hetero(seed: int = 0) -> HeteroData:
    """Authors and papers with three types of edges."""
    generator = torch.Generator().manual_seed(seed)
    data = HeteroData()
    sizes = {"author": 15, "paper": 25}
    for kind, size in sizes.items():
        data[kind].x = torch.randn(size, 5, generator=generator)
    for key in TYPES:
        ends = [torch.randint(sizes[kind], (80,), generator=generator) for kind in key[::2]]
        data[key].edge_index = torch.stack(ends)
    return data


def check_homogeneous(data: Data, batch: Data, seeds: Any, counts: list[int]) -> None:
    """Edges are the graph's own, hops nest, and no centre has drawn too often."""
    assert batch.n_id[: batch.batch_size].tolist() == list(seeds)
    assert torch.equal(batch.n_id[batch.edge_index], data.edge_index[:, batch.e_id])
    assert torch.equal(batch.edge_attr, data.edge_attr[batch.e_id])
    assert torch.equal(batch.x, data.x[batch.n_id])
    nodes, edges = batch.num_sampled_nodes, batch.num_sampled_edges
    assert sum(nodes) == batch.num_nodes
    assert sum(edges) == batch.num_edges
    found, start = nodes[0], 0
    for hop, count in enumerate(counts):
        row, col = batch.edge_index[:, start : start + edges[hop]]
        # A hop's centres are the nodes that the hop before it has found.
        if col.numel():
            assert int(col.min()) >= found - nodes[hop]
            assert int(col.max()) < found
            drawn = torch.bincount(col, minlength=found)
            assert count < 0 or int(drawn.max()) <= count
        start, found = start + edges[hop], found + nodes[hop + 1]
        assert row.numel() == 0 or int(row.max()) < found
