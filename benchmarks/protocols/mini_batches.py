"""GraphSAGE by mini-batches beside GraphSAGE in full batches: the same model, split and seed.

``difference`` is what mini-batches gain or lose on the test nodes, paired by seed. Both arms stop
at their own best validation epoch. Nodes are split at random into 60, 20 and 20 per cent, anew for
each seed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.transforms import RandomNodeSplit

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.nodes import load as load_graph
from benchmarks.rivals.nodes import build
from graphkit.train import NodeTask, SampledNodeTask, seed_everything

__all__ = ["MAIN", "load", "run"]

MAIN = "difference"


def load(
    name: str, normalize_features: bool = True, sparse_features: bool = False, seed: int = 0
) -> Data:
    """The graph of a recipe's ``dataset`` section, split at random."""
    data = load_graph(name, normalize_features=normalize_features, sparse_features=sparse_features)
    # PyG's split draws from the global generator, which is lent for the call.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RandomNodeSplit(num_val=0.2, num_test=0.2)(data)


def rows_of(x: Tensor, nodes: Tensor) -> Tensor:
    """Some rows of dense or of sparse features."""
    if x.layout == torch.strided:
        return x[nodes]
    bounds = x.crow_indices()
    first, size = bounds[nodes], bounds[nodes + 1] - bounds[nodes]
    new = F.pad(size.cumsum(0), (1, 0))
    place = (first - new[:-1]).repeat_interleave(size) + torch.arange(int(new[-1]))
    columns, values = x.col_indices()[place], x.values()[place]
    return torch.sparse_csr_tensor(new, columns, values, (nodes.numel(), x.size(1)))


def sampled_task(data: Data, num_neighbors: list[int], batch_size: int) -> SampledNodeTask:
    """Mini-batches; features are read by number, as sparse ones do not pass through loaders."""
    x = data.x
    graph = data.clone()
    del graph.x
    graph.num_nodes = data.num_nodes

    def forward(model: nn.Module, batch: Any) -> Tensor:
        return model(rows_of(x, batch.n_id) if "n_id" in batch else x, batch.edge_index)

    return SampledNodeTask(graph, num_neighbors, batch_size, forward=forward)


def run(
    dataset: dict[str, Any],
    model: dict[str, Any],
    batches: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
) -> dict[str, float]:
    """Trains both arms on one seed; ``batches`` holds ``num_neighbors``, ``batch_size`` and what
    its ``train`` has other than the recipe's."""
    data = load(**{**dataset, "seed": seed})
    options = dict(batches)
    faster = replace(fit, train={**fit.train, **options.pop("train", {})})
    arms = {"full": (fit, NodeTask(data)), "batches": (faster, sampled_task(data, **options))}
    metrics: dict[str, float] = {}
    for name, (fitter, task) in arms.items():
        seed_everything(seed)
        network = build(model, data.num_features, int(data.y.max()) + 1)
        result = fitter(network, task, tag=name)
        fit.note_size(network)
        metrics[f"{name}_test_accuracy"] = result.metrics["test_accuracy"]
        metrics[f"{name}_val_accuracy"] = result.metrics["val_accuracy"]
        metrics[f"{name}_epochs"] = float(result.epochs)
    difference = metrics["batches_test_accuracy"] - metrics["full_test_accuracy"]
    return {"difference": difference, **metrics}
