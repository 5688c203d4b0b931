"""A GCN whose edges are dropped, or only weighted at random, in every training step.

All arms start from the same weights and have the same dropout of features. ``removed`` takes
edges out as PyG's ``dropout_edge`` does; the others are
:class:`~graphkit.transforms.ContinuousDropEdge`, of which ``bernoulli`` leaves dropped edges in
place at weight zero, and ``matched`` has its relative variance with continuous masks.
"""

from __future__ import annotations

import copy
from typing import Any

from scipy.optimize import brentq
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN
from torch_geometric.utils import dropout_edge

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.nodes import load
from graphkit.train import NodeTask, seed_everything
from graphkit.transforms import ContinuousDropEdge
from graphkit.transforms.mask_noise import mask_noise

__all__ = ["MAIN", "load", "run"]

MAIN = "gain_matched"
ARMS = ("none", "removed", "bernoulli", "uniform", "matched")


class Perturbed(nn.Module):
    """A GCN that sees other edges, or other weights, at every training step.

    Args:
        network (GCN): The network.
        arm (str): What is done to the edges.
        p (float): Share of edges that are dropped.
    """

    def __init__(self, network: GCN, arm: str, p: float) -> None:
        super().__init__()
        self.network, self.arm, self.p = network, arm, p
        self.drop = {
            "bernoulli": ContinuousDropEdge("bernoulli", True, p=p),
            "uniform": ContinuousDropEdge("uniform", True),
            "matched": ContinuousDropEdge("gaussian", True, std=matching(p)),
        }.get(arm)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Scores per node; the whole graph in evaluation mode."""
        weight = None
        if self.training and self.arm == "removed":
            edge_index, _ = dropout_edge(edge_index, self.p, force_undirected=True)
        elif self.training and self.drop is not None:
            data = self.drop(Data(edge_index=edge_index, num_nodes=x.size(0)))
            weight = data.edge_weight
        return self.network(x, edge_index, edge_weight=weight)


def matching(p: float) -> float:
    """Deviation of a clipped Gaussian as noisy as edges that are dropped with probability p."""

    def excess(std: float) -> float:
        return mask_noise("gaussian", std=std).relative_variance - p / (1 - p)

    return float(brentq(excess, 1e-3, 100.0))


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    hidden: int = 16,
    dropout: float = 0.5,
    p: float = 0.3,
) -> dict[str, float]:
    """One seed of the weights and the masks."""
    data = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    start = GCN(data.num_features, hidden, 2, int(data.y.max()) + 1, dropout=dropout)
    metrics: dict[str, float] = {}
    for arm in ARMS:
        seed_everything(seed)
        result = fit(Perturbed(copy.deepcopy(start), arm, p), NodeTask(data), tag=arm)
        metrics[f"accuracy_{arm}"] = result.metrics["test_accuracy"]
    for arm in ARMS[1:]:
        metrics[f"gain_{arm}"] = metrics[f"accuracy_{arm}"] - metrics["accuracy_none"]
    metrics["gain_over_removed"] = metrics["accuracy_matched"] - metrics["accuracy_removed"]
    return metrics
