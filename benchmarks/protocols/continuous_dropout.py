"""Kinds of dropout on a small set of digits: what the noise does at equal strength.

All arms start from the same weights and see the same batches. ``gap`` is what matched noise
differs by from binary dropout, in accuracy; ``gain_*`` stand over no dropout; ``correlation_*``
is the mean correlation between units of the last hidden layer on test images: the ``strength`` of
:class:`~graphkit.adapters.CoadaptationGraphAdapter`, without its pass per unit.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.images import handwritten
from graphkit.adapters.parts.continuous_dropout import mean_of_pairs, strongest
from graphkit.metrics import accuracy
from graphkit.modes import evaluating
from graphkit.nn import ContinuousDropout
from graphkit.taps import tap
from graphkit.train import TensorTask, seed_everything

__all__ = ["MAIN", "load", "run"]

MAIN = "gap"
ARMS: dict[str, dict[str, Any] | None] = {
    "none": None,
    "bernoulli": {"noise": "bernoulli"},
    "uniform": {"noise": "uniform"},
    "gaussian2": {"noise": "gaussian", "std": 0.2},
    "gaussian5": {"noise": "gaussian", "std": 0.5},
    # Without clipping a deviation of 1/2 has the relative variance of binary dropout, 1.
    "matched": {"noise": "gaussian", "std": 0.5, "clip": False},
}


def load(name: str, train: int = 300, seed: int = 0) -> dict[str, tuple[Tensor, Tensor]]:
    """Flat images and their classes; ``train`` of them, drawn anew for each seed, to learn from."""
    x, y = handwritten(name, "train")
    rows = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))[:train]
    tests = handwritten(name, "test")
    return {"train": (x[rows].flatten(1), y[rows]), "test": (tests[0].flatten(1), tests[1])}


def network(in_channels: int, hidden: int, classes: int) -> nn.Sequential:
    """Two hidden layers; what follows each of them is filled in for every arm."""
    return nn.Sequential(
        nn.Linear(in_channels, hidden),
        nn.ReLU(),
        nn.Identity(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Identity(),
        nn.Linear(hidden, classes),
    )


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    hidden: int = 400,
    batch_size: int = 100,
) -> dict[str, float]:
    """One seed of the images, the weights and the masks."""
    data = load(**{**dataset, "seed": seed})
    (x, y), (test_x, test_y) = data["train"], data["test"]
    seed_everything(seed)
    start = network(x.size(1), hidden, int(y.max()) + 1)
    metrics: dict[str, float] = {}
    for arm, options in ARMS.items():
        seed_everything(seed)
        model = copy.deepcopy(start)
        if options is not None:
            model[2], model[5] = (ContinuousDropout(**options) for _ in range(2))
        task = TensorTask((x, y), lambda m, a, b: F.cross_entropy(m(a), b), batch_size)
        fit(model, task, tag=arm)
        with evaluating(model), torch.no_grad():
            metrics[f"accuracy_{arm}"] = float(accuracy(model(test_x), test_y))
        metrics[f"correlation_{arm}"] = correlation(model, test_x)
    metrics["gap"] = abs(metrics["accuracy_matched"] - metrics["accuracy_bernoulli"])
    for arm in ARMS:
        if arm != "none":
            metrics[f"gain_{arm}"] = metrics[f"accuracy_{arm}"] - metrics["accuracy_none"]
    return metrics


@torch.no_grad()
def correlation(model: nn.Module, x: Tensor) -> float:
    """Mean of the correlations' sizes over all pairs of units of the second hidden layer."""
    with evaluating(model), tap(model, "4") as record:
        model(x)
    pairs = strongest(record["4"].output.double(), 1)[2]
    return float(mean_of_pairs(pairs.abs()))
