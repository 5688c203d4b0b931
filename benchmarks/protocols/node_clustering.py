"""Nodes clustered without labels: consistency clustering of a graph beside k-means of others.

The encoder is a GCN; a view is the graph with edges dropped and features hidden. Arms: ``none``,
k-means of the encoder as it was drawn; ``gae``, of a graph auto-encoder with the same encoder,
trained for as long as in PyG's example; ``cluster``, clustering alone in rounds; ``visual``,
``temporal`` and ``both``, with consistency over views, with the moving average, and with both.

``nmi_…``: normalised mutual information of k-means, as many clusters as classes, and classes; the
classes only judge. ``nmi``, the main metric, is ``nmi_both``; ``over_…`` its gain over another.
``spread_…``: of the embeddings, 0 where they have collapsed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAE, GCN
from torch_geometric.utils import dropout_edge

from benchmarks.harness.fitting import Fitter
from graphkit import datasets
from graphkit.train import NoiseTask, Task, seed_everything
from graphkit.vision import (
    ClusteringRounds,
    ConsistencyClustering,
    MeansClusters,
    embedding_spread,
)

MAIN = "nmi"
ARMS: dict[str, dict[str, Any]] = {
    "cluster": {"visual": False, "temporal": None},
    "visual": {"temporal": None},
    "temporal": {"visual": False},
    "both": {},
}


def load(name: str = "Cora") -> Data:
    """A graph whose nodes have features and classes, features of sum 1."""
    data = datasets.load(name)[0]
    data.x = data.x / data.x.sum(1, keepdim=True).clamp(min=1)
    return data


class NodeViews(Task):
    """Every step two views of the whole graph; ``ClusteringRounds`` sets the labels.

    Args:
        data (Data): The graph.
        steps (int): Of an epoch.
        edges, features (float): How many are dropped and hidden.
    """

    labels: Tensor

    def __init__(self, data: Data, steps: int, edges: float, features: float) -> None:
        self.data, self.steps, self.edges, self.features = data, steps, edges, features

    def embed(self, model: Any) -> Tensor:
        """The features that are clustered."""
        return model.embed(self.data.x, self.data.edge_index)

    def view(self) -> tuple[Tensor, Tensor]:
        """The graph with something missing."""
        shown = torch.rand_like(self.data.x[:1]) >= self.features
        return self.data.x * shown, dropout_edge(self.data.edge_index, self.edges)[0]

    def batches(self, seed: int) -> Iterator[tuple[Any, Any]]:
        return ((self.view(), self.view()) for _ in range(self.steps))

    def loss(self, model: Any, batch: tuple[Any, Any]) -> Tensor:
        return model.loss(batch, self.labels)

    def size(self, batch: tuple[Any, Any]) -> int:
        return self.data.num_nodes or 0

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {}


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    channels: int = 32,
    rounds: int = 8,
    steps: int = 10,
    edges: float = 0.3,
    features: float = 0.3,
    visual_weight: float = 1.0,
    temporal_weight: float = 1.0,
    scale: float = 10.0,
    gae_steps: int = 200,
    gae_lr: float = 0.01,
    arms: tuple[str, ...] = tuple(ARMS),
) -> dict[str, float]:
    """One seed; ``train`` is that of a round, whose epochs have ``steps`` steps each."""
    data = load(**dataset)
    count = int(data.y.max()) + 1
    seed_everything(seed)
    start = GCN(data.num_features, channels, 2, channels)

    def agreement(f: Tensor) -> float:
        return float(normalized_mutual_info_score(data.y, MeansClusters(count, seed)(f)))

    plain = ConsistencyClustering(copy.deepcopy(start), channels, count)
    metrics = {"nmi_none": agreement(plain.embed(data.x, data.edge_index))}
    metrics["nmi_gae"] = agreement(auto_encoded(fit, start, data, gae_steps, gae_lr))
    for arm in arms:
        # The same weights and the same draws for every arm, so that differences are paired.
        seed_everything(seed + 1)
        model = ConsistencyClustering(
            copy.deepcopy(start),
            channels,
            count,
            **ARMS[arm],
            visual_weight=visual_weight,
            temporal_weight=temporal_weight,
            scale=scale,
        )
        task = NodeViews(data, steps, edges, features)
        fit(model, task, [ClusteringRounds(MeansClusters(count, seed), rounds)], tag=arm)
        f = task.embed(model)
        metrics[f"nmi_{arm}"] = agreement(f)
        metrics[f"spread_{arm}"] = float(embedding_spread(f))
    metrics["nmi"] = metrics[f"nmi_{'both' if 'both' in arms else arms[-1]}"]
    for other in ("none", "gae", "cluster"):
        if f"nmi_{other}" in metrics:
            metrics[f"over_{other}"] = metrics["nmi"] - metrics[f"nmi_{other}"]
    return metrics


def auto_encoded(fit: Fitter, start: nn.Module, data: Data, steps: int, lr: float) -> Tensor:
    """Embeddings of a graph auto-encoder after so many steps."""
    model = GAE(copy.deepcopy(start))

    def loss(model: Any, noise: Tensor) -> Tensor:
        return model.recon_loss(model.encode(data.x, data.edge_index), data.edge_index)

    # No noise is needed: the task only counts steps.
    task = NoiseTask(lambda n, g: torch.zeros(n), loss, 1, steps)
    settings = {**fit.train, "epochs": 1, "lr": lr}
    Fitter(settings, fit.seed, fit.fabric, fit.folder, fit.resume, fit.watch)(
        model, task, tag="gae"
    )
    model.eval()
    with torch.no_grad():
        return model.encode(data.x, data.edge_index)
