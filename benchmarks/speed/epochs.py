"""Whole training epochs before and after ``accelerate``: ``python -m benchmarks speed epochs``.

PyG's example scripts in meaning: the model, the optimizer and the loader stay, one line is added.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE, global_add_pool

from benchmarks.harness.environment import peak_memory_mb, reset_peak_memory
from benchmarks.problems import graphs as graph_sets
from benchmarks.problems import nodes as node_sets
from benchmarks.speed.child import RETURN_MEMORY, run_module
from benchmarks.speed.graphs import random_edges
from benchmarks.speed.turns import in_turns
from graphkit.nn import accelerate
from graphkit.sampling import NeighborLoader

Batches = Iterable[Any]
Case = tuple[nn.Module, Batches, Callable[[nn.Module, Any], Tensor]]
ARXIV = {"nodes": 169_343, "edges": 1_166_243, "features": 128, "classes": 40}


def node_loss(model: nn.Module, data: Data) -> Tensor:
    """Cross entropy of the training nodes."""
    out = model(data.x, data.edge_index)
    return F.cross_entropy(out[data.train_mask], data.y[data.train_mask])


def seed_loss(model: nn.Module, batch: Any) -> Tensor:
    """Cross entropy of the nodes that a batch was drawn for."""
    out = model(batch.x, batch.edge_index)[: batch.batch_size]
    return F.cross_entropy(out, batch.y[: batch.batch_size])


class GraphGIN(nn.Module):
    """GIN on whole graphs, summed up, as PyG's ``mutag_gin.py`` has it."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.gnn = GIN(in_channels, 32, 5, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor, size: int) -> Tensor:
        return global_add_pool(self.gnn(x, edge_index), batch, size)


def graph_loss(model: nn.Module, batch: Any) -> Tensor:
    """Cross entropy of the graphs of a batch."""
    return F.cross_entropy(model(batch.x, batch.edge_index, batch.batch, batch.num_graphs), batch.y)


def on_cora(kind: str, sparse: bool) -> Case:
    """Two layers on Cora's bags of words."""
    data = node_sets.load("Cora", sparse_features=sparse)
    if kind == "GAT":
        # Dropout of sparse features is the model's own affair: PyG's examples drop dense ones.
        model: nn.Module = GAT(1433, 64, 2, 7, heads=8, dropout=0.6)
    else:
        model = GCN(1433, 16, 2, 7, dropout=0.5)
    return model, [data], node_loss


def sage_on_computers() -> Case:
    """The training nodes in mini-batches of 1,024, with 10 and 10 neighbours."""
    data = node_sets.load("Computers", split="random", train_per_class=200)
    seeds = {"input_nodes": data.train_mask, "batch_size": 1024, "shuffle": True}
    loader = NeighborLoader(data, [10, 10], **seeds)
    return GraphSAGE(data.num_features, 64, 2, 10), loader, seed_loss


def gin_on_proteins() -> Case:
    """Batches of 128 graphs."""
    graphs = graph_sets.load("PROTEINS")[0]
    return GraphGIN(graphs[0].num_features, 2), DataLoader(graphs, 128), graph_loss


def gat_on_arxiv(nodes: int, edges: int, features: int, classes: int) -> Case:
    """Three layers of four heads on a generated graph of the size of ogbn-arxiv."""
    generator = torch.Generator().manual_seed(0)
    data = Data(
        x=torch.randn(nodes, features, generator=generator),
        edge_index=random_edges(nodes, edges, "power"),
        y=torch.randint(classes, (nodes,), generator=generator),
        train_mask=torch.rand(nodes, generator=generator) < 0.5,
    )
    return GAT(features, 64, 3, classes, heads=4), [data], node_loss


CASES: dict[str, Callable[[], Case]] = {
    "GCN on Cora": lambda: on_cora("GCN", False),
    "GCN on Cora, sparse features": lambda: on_cora("GCN", True),
    "GAT on Cora": lambda: on_cora("GAT", False),
    "GAT on Cora, sparse features": lambda: on_cora("GAT", True),
    "GraphSAGE on Computers, mini-batches": sage_on_computers,
    "GIN on PROTEINS": gin_on_proteins,
    "GAT on a graph of ogbn-arxiv's size": lambda: gat_on_arxiv(**ARXIV),
}
QUICK: dict[str, Callable[[], Case]] = {
    "GAT on a small graph": lambda: gat_on_arxiv(300, 2_000, 8, 4)
}


def epoch(model: nn.Module, case: Case) -> Callable[[], None]:
    """A training epoch of a model on the batches of a case."""
    _, batches, loss = case
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005, weight_decay=5e-4)
    model.train()

    def run() -> None:
        for batch in batches:
            optimizer.zero_grad()
            loss(model, batch).backward()
            optimizer.step()

    return run


def memory(name: str, accelerated: bool) -> float:
    """Megabytes that an epoch adds at its peak, in this process."""
    torch.manual_seed(0)
    case = (CASES | QUICK)[name]()
    run = epoch(accelerate(case[0]).model if accelerated else case[0], case)
    run()
    reset_peak_memory()
    before = peak_memory_mb()
    run()
    return peak_memory_mb() - before


def compare(name: str, turns: int) -> dict[str, Any]:
    """An epoch of the model before and after, by turns; memory in processes of their own."""
    torch.manual_seed(0)
    case = (CASES | QUICK)[name]()
    after = accelerate(case[0], copy=True)
    row = {"what": name, "swapped": len(after.swapped), "left": len(after.left)}
    row |= in_turns(epoch(after.model, case), epoch(case[0], case), turns, seconds=10)
    for side, flag in (("megabytes", "after"), ("rival_megabytes", "before")):
        row[side] = run_module("benchmarks.speed.epochs", [name, flag], RETURN_MEMORY)
    return row


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """One row per model and data; ``quick`` takes a small generated graph."""
    return [compare(name, 3 if quick else 25) for name in (QUICK if quick else CASES)]


if __name__ == "__main__":
    print(json.dumps(memory(sys.argv[1], sys.argv[2] == "after")))
