"""Longer paths against the edges alone: does SPAGAN gain where validation may choose its paths?

For each seed one graph attention network is trained.  Every candidate finds its paths by that
network's attention and trains a path network from the same first weights, by the same loop.
``gain_NAME`` is what a candidate is better on the test nodes than the network that gave it its
paths.  ``gain`` is that of the candidate with the lowest validation loss; ``free_gain`` that of
the choice which may also keep the network without paths, and ``kept_edges`` says that it did.

A candidate's ``keep`` below one resamples: each step sees a random share of the paths, drawn
anew; evaluation sees them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from benchmarks.harness.errors import RecipeError
from benchmarks.harness.fitting import Fitter
from benchmarks.problems.nodes import load
from benchmarks.rivals.nodes import build
from graphkit.train import NodeTask, seed_everything

__all__ = ["MAIN", "load", "run"]

MAIN = "gain"


def run(
    dataset: dict[str, Any],
    model: dict[str, Any],
    candidates: dict[str, dict[str, Any]],
    *,
    seed: int,
    fit: Fitter,
) -> dict[str, float]:
    """One seed: the network without longer paths, then every candidate."""
    if not candidates:
        raise RecipeError("section 'candidates' names no candidate")
    data = load(**{**dataset, "seed": seed})
    classes = int(data.y.max()) + 1

    def network(**options: Any) -> Any:
        seed_everything(seed)
        return build({**model, **options}, data.num_features, classes)

    giver = network()
    base = fit(giver, NodeTask(data), tag="gat").metrics
    tests, losses = {}, {}
    for name, candidate in candidates.items():
        options = dict(candidate)
        keep = float(options.pop("keep", 1.0))
        paths = network(**options)
        # All candidates read the same attention, so that gains differ by the paths alone.
        paths.gat.load_state_dict(giver.gat.state_dict())
        paths.next_round(data.x, data.edge_index)
        metrics = fit(paths, NodeTask(data, forward=Resampled(keep)), tag=name).metrics
        tests[name], losses[name] = metrics["test_accuracy"], metrics["val_loss"]
    return summary(base, tests, losses)


def summary(
    base: dict[str, float], tests: dict[str, float], losses: dict[str, float]
) -> dict[str, float]:
    """Gains over ``base`` of the candidates' test accuracies, and of what validation chooses."""
    without = base["test_accuracy"]
    best = min(losses, key=lambda name: losses[name])
    prefers_edges = base["val_loss"] <= losses[best]
    return {
        "gat_test_accuracy": without,
        "test_accuracy": tests[best],
        "gain": tests[best] - without,
        "free_gain": 0.0 if prefers_edges else tests[best] - without,
        "kept_edges": float(prefers_edges),
        **{f"gain_{name}": test - without for name, test in tests.items()},
        **{f"chose_{name}": float(name == best) for name in tests},
    }


class Resampled:
    """Calls a path network with a random share of its paths, in training only."""

    def __init__(self, keep: float) -> None:
        if not 0 < keep <= 1:
            raise RecipeError(f"section 'candidates': 'keep' must be in (0, 1], got {keep}")
        self.keep = keep

    def __call__(self, model: nn.Module, data: Data) -> Tensor:
        if self.keep == 1 or not model.training:
            return model(data.x, data.edge_index)
        return model(data.x, data.edge_index, self.draw(model.paths))

    def draw(self, paths: Any) -> Mapping[int, Tensor]:
        """A random share of the paths of every length."""
        return {
            length: every[torch.rand(len(every), device=every.device) < self.keep]
            for length, every in paths.items()
        }
