"""The Open Graph Benchmark's node classification: its split, its evaluator, full batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from benchmarks.harness.fitting import Fitter
from benchmarks.rivals.nodes import build
from graphkit.datasets import load as load_dataset
from graphkit.metrics import Evaluator
from graphkit.train import NodeTask, seed_everything

MAIN = "test_accuracy"


def load(name: str, to_undirected: bool = True) -> Data:
    """The graph with ogb's split as masks; ``to_undirected`` adds the reverse edges."""
    return load_dataset(name, to_undirected=to_undirected)[0]


def run(
    dataset: dict[str, Any], model: dict[str, Any], *, seed: int, fit: Fitter
) -> dict[str, float]:
    """Trains one model on one seed; ogb's evaluator judges its best epoch in validation."""
    data = load(**dataset)
    seed_everything(seed)
    evaluator = Evaluator(dataset["name"])

    def judge(out: Tensor, y: Tensor) -> Tensor:
        inputs = {"y_true": y.view(-1, 1), "y_pred": out.argmax(dim=-1, keepdim=True)}
        return torch.tensor(evaluator.eval(inputs)["acc"])

    network = build(model, data.num_features, int(data.y.max()) + 1)
    result = fit(network, NodeTask(data, metric=judge))
    return {
        "test_accuracy": result.metrics["test_accuracy"],
        "val_accuracy": result.metrics["val_accuracy"],
        "epochs": float(result.epochs),
    }
