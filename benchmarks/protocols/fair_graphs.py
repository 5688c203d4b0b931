"""Graph classification beside a network that sees no edges, every choice inside the training fold.

As in arXiv:1912.09893: a seed is one outer fold, seed s fold ``s % 10`` of GIN's ten (the tens
count repetitions with other held-back graphs and weights). A ninth of the nine training folds
is held back; for each network every setting of the ``grid`` is trained on the rest, its epoch and
then the setting are chosen by the loss on what is held back, and the outer fold is looked at once.
``NAME_accuracy`` is the outer fold's, ``gain_NAME`` that less the one of ``features``, the network
without edges; means over seeds are those over folds. Unlike there, the network that was chosen is
judged as it is, in place of three that are trained anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.graphs import inner_split, load, pick
from benchmarks.rivals.summed import CONVS, SummedGNN
from graphkit.nn import accelerate
from graphkit.train import GraphTask, seed_everything

__all__ = ["MAIN", "load", "run"]

MAIN = "features_accuracy"


def run(
    dataset: dict[str, Any],
    grid: dict[str, list[Any]],
    *,
    seed: int,
    fit: Fitter,
    convs: Sequence[str] = tuple(CONVS),
    batch_size: int = 128,
) -> dict[str, float]:
    """One outer fold; ``grid`` holds choices for arguments of the network by name."""
    graphs, folds = load(**dataset)
    train, test = folds[seed % len(folds)]
    y = np.array([int(graph.y) for graph in graphs])
    learned, held = inner_split(y, train, seed)
    parts = [pick(graphs, part) for part in (learned, held, test)]
    task = GraphTask(parts[0], parts[1], parts[2], batch_size)
    settings = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    metrics: dict[str, float] = {}
    for conv in convs:
        runs = []
        for number, setting in enumerate(settings):
            seed_everything(seed)
            network = SummedGNN(
                graphs[0].num_features, out_channels=int(y.max()) + 1, conv=conv, **setting
            )
            # The fused twins of the layers: the same values, faster.
            fast = accelerate(network).model
            result = fit(fast, task, tag=f"{conv}-{number}").metrics
            runs.append((result["val_loss"], number, result["test_accuracy"]))
        _, metrics[f"{conv}_setting"], metrics[f"{conv}_accuracy"] = min(runs)
    bare = metrics["features_accuracy"]
    return metrics | {
        f"gain_{conv}": metrics[f"{conv}_accuracy"] - bare for conv in convs if conv != "features"
    }
