"""Tasks learned one after another by one model, judged on all of them after each.

One ``fit`` per task; the strategy joins through the loss (``penalty``) and before the
optimizer's step.  The last weights of a task count: no validation data chooses an epoch.
"""

from __future__ import annotations

from typing import Any

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.class_streams import learn, load
from benchmarks.problems.streams import make_strategy, stream_metrics
from benchmarks.rivals.nodes import build
from graphkit.train import seed_everything

MAIN = "average_performance"


def run(
    dataset: dict[str, Any],
    model: dict[str, Any],
    strategy: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
) -> dict[str, float]:
    """Learns the stream with one seed and returns the metrics of its performance matrix."""
    tasks = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    network = build(model, tasks[0].data.num_features, tasks.num_classes)
    scores = learn(tasks, network, make_strategy(strategy, network), fit)
    return stream_metrics(scores, "new_task_accuracy")
