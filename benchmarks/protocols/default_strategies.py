"""Every strategy against forgetting as it comes, without options, beside doing nothing.

All strategies learn the same stream from the same weights with the same draws.  ``gain_X`` is the
average performance of strategy X over that of plain fine-tuning; ``worst_gain`` is the smallest
of them: below zero a default harms.
"""

from __future__ import annotations

import copy
from typing import Any

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.class_streams import learn, load
from benchmarks.problems.streams import STRATEGIES, make_strategy
from benchmarks.rivals.nodes import build
from graphkit.metrics import average_performance
from graphkit.train import seed_everything

__all__ = ["MAIN", "run"]

MAIN = "worst_gain"
BASELINE = "FineTune"
# Joint training keeps all data: it is the bound, not a strategy that a user could choose.
TRIED = tuple(name for name in STRATEGIES if name not in (BASELINE, "JointTrain"))


def run(
    dataset: dict[str, Any], model: dict[str, Any], *, seed: int, fit: Fitter
) -> dict[str, float]:
    """One seed: the stream, the weights and the draws are the same for every strategy."""
    tasks = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    start = build(model, tasks[0].data.num_features, tasks.num_classes)
    scores = {}
    for name in (BASELINE, *TRIED):
        seed_everything(seed)
        network = copy.deepcopy(start)
        table = learn(tasks, network, make_strategy({"name": name}, network), fit, f"{name}-")
        scores[name] = average_performance(table[1:])
    gains = {f"gain_{name}": scores[name] - scores[BASELINE] for name in TRIED}
    return {"worst_gain": min(gains.values()), "baseline": scores[BASELINE], **gains}
