"""Classes learned group after group by one model that is never told the group when it is asked.

Order, split and graphs are those of the protocol ``continual``; here the columns of all classes
seen so far compete.  ``average_performance`` is the mean accuracy over all tasks after the last one
(AA), ``average_forgetting`` what was lost since each was learned (AF).

``told_…`` is the same with the task that :class:`~graphkit.continual.TaskPrototypes` predicts for
the task's test nodes together: what a strategy reaches with TPP's knowledge that they are of one
task.  ``task_prediction_accuracy`` says how often that is right; ``apart_…`` on a graph of test
nodes alone, ``node_…`` for every node by itself.

Last weights count: no validation data chooses an epoch.
"""

from __future__ import annotations

from typing import Any

from benchmarks.harness.errors import RecipeError
from benchmarks.harness.fitting import Fitter
from benchmarks.harness.keys import check_keys
from benchmarks.problems.class_streams import load
from benchmarks.problems.growing_classes import LEARNED, learn, learn_prompts, summary
from benchmarks.problems.streams import make_strategy
from benchmarks.rivals.nodes import build
from graphkit.continual import TPP
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
    if dataset.get("setting", "class") != "class":
        raise RecipeError("section 'dataset': the 'setting' of class_incremental is 'class'")
    tasks = load(**{**dataset, "setting": "class", "seed": seed})
    width = tasks[0].data.num_features
    seed_everything(seed)
    if strategy.get("name") == "TPP":
        options = {key: value for key, value in strategy.items() if key != "name"}
        given = ("model", "in_channels", "hidden_channels")
        check_keys("section 'strategy'", options, TPP, provided=given)
        # The same layers as the rivals', whose last one gives features in place of scores.
        hidden = model["hidden_channels"]
        tpp = TPP(build(model, width, hidden), width, hidden, **options)
        return summary(learn_prompts(tasks, tpp, fit), tasks)
    network = build(model, width, tasks.num_classes)
    rival = make_strategy(strategy, network, LEARNED)
    return summary(learn(tasks, network, rival, fit), tasks)
