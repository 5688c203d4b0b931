"""The problems of the distillation protocol: nodes of one graph, of many, graphs, point sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import GAT, GCN, GraphSAGE

from benchmarks.problems import graphs as sets
from benchmarks.problems import nodes as single
from benchmarks.problems import protein_graphs
from benchmarks.problems.graphs import inner_split, pick
from benchmarks.rivals import nodes
from graphkit.datasets import load as load_dataset
from graphkit.metrics import micro_f1
from graphkit.nn import DGCNN, accelerate
from graphkit.train import GraphTask, NodeTask, Result, Task

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "GCN": GCN,
    "GAT": GAT,
    "GraphSAGE": GraphSAGE,
    "GIN": nodes.GIN,
    "DGCNN": DGCNN,
}


@dataclass
class Problem:
    """A task, the widths of the networks that solve it, and how one of them is called."""

    task: Task
    in_channels: int
    out_channels: int
    call: Callable[[nn.Module], Tensor]
    multilabel: bool = False
    score: str = "accuracy"
    final: Task | None = None

    def scores(self, model: nn.Module, result: Result) -> dict[str, float]:
        """Validation and test score of a trained model; a ``final`` task is looked at only now."""
        metrics = result.metrics
        if self.final is not None:
            with torch.no_grad():
                metrics = metrics | self.final.evaluate(model.eval())
        return {part: metrics[f"{part}_{self.score}"] for part in ("val", "test")}

    def network(self, name: str, **settings: Any) -> nn.Module:
        """A model of one of the families in :obj:`NETWORKS`; ``accelerate: true`` runs the layers
        of PyG's on graphkit's kernels."""
        if name not in NETWORKS:
            raise ValueError(f"unknown network '{name}'; there are {sorted(NETWORKS)}")
        fused = settings.pop(nodes.ACCELERATE, False)
        widths = {"in_channels": self.in_channels, "out_channels": self.out_channels}
        model = NETWORKS[name](**widths, **settings)
        return accelerate(model).model if fused else model


def load(
    name: str,
    split: str = "public",
    normalize_features: bool = True,
    train_per_class: int = 20,
    val_per_class: int = 30,
    sparse_features: bool = False,
    batch_size: int = 32,
    num_points: int = 256,
    shapes: int | None = None,
    seed: int = 0,
) -> Problem:
    """The problem of a recipe's ``dataset`` section.

    Graph sets take GIN's fold ``seed % 10`` as the test part and hold a ninth of the rest back;
    so do point sets with their training shapes, of which ``shapes`` are drawn.
    """
    if name == "PPI":
        return proteins(batch_size)
    if name in ("ENZYMES", "PROTEINS"):
        return graphs(name, batch_size, seed)
    if name == "ModelNet10Points":
        return point_sets(num_points, shapes, batch_size, seed)
    data = single.load(
        name, split, normalize_features, train_per_class, val_per_class, sparse_features, seed
    )
    return Problem(
        NodeTask(data),
        data.num_features,
        int(data.y.max()) + 1,
        lambda model: model(data.x, data.edge_index),
    )


def proteins(batch_size: int) -> Problem:
    """PPI: nodes with 121 labels each, 20 graphs to train on, 2 and 2 unseen ones."""
    parts = protein_graphs.load("PPI")
    task = GraphTask(
        **parts,
        batch_size=batch_size,
        criterion=F.binary_cross_entropy_with_logits,
        metric=micro_f1,
        metric_name="micro_f1",
        forward=protein_graphs.node_scores,
    )
    first = parts["train"][0]
    return Problem(
        task,
        first.num_features,
        first.y.shape[1],
        lambda model: model(first.x, first.edge_index),
        multilabel=True,
        score="micro_f1",
    )


def graphs(name: str, batch_size: int, seed: int) -> Problem:
    """Classification of whole graphs."""
    everything, folds = sets.load(name)
    y = np.array([int(graph.y) for graph in everything])
    train, test = folds[seed % len(folds)]
    learned, held = inner_split(y, train, seed)
    task = GraphTask(
        pick(everything, learned), pick(everything, held), pick(everything, test), batch_size
    )
    batch = task.evaluation_batches("test")[0]
    return Problem(
        task,
        everything[0].num_features,
        int(y.max()) + 1,
        lambda model: model(batch.x, batch.edge_index, batch.batch),
    )


def point_sets(num_points: int, shapes: int | None, batch_size: int, seed: int) -> Problem:
    """Classification of point sets; the test shapes are those of the data set."""
    train, test = (
        load_dataset("ModelNet10Points", split=part, num_points=num_points)
        for part in ("train", "test")
    )
    y = np.array([int(shape.y) for shape in train])
    drawn = np.random.default_rng(seed).permutation(len(y))[:shapes]
    learned, held = inner_split(y[drawn], np.arange(len(drawn)), seed)
    kept_shapes, held_shapes = ([train[int(i)] for i in drawn[part]] for part in (learned, held))
    task = GraphTask(kept_shapes, held_shapes, [], batch_size, forward=set_scores)
    final = GraphTask(kept_shapes, held_shapes, list(test), batch_size, forward=set_scores)
    batch = Batch.from_data_list([test[i] for i in range(batch_size)])
    return Problem(
        task,
        3,
        int(y.max()) + 1,
        lambda model: model(batch.pos, batch.batch),
        final=final,
    )


def set_scores(model: nn.Module, batch: Batch) -> Tensor:
    """The scores of every point set of a batch."""
    return model(batch.pos, batch.batch)
