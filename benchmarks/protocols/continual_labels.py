"""Labels learned group after group by one model: PPI (nodes) and Tox21 (molecules).

The samples stay, their labels come task by task.  One ``fit`` per task; the strategy joins as in
the protocol ``continual``.  The last weights of a task count: no validation data chooses an epoch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data

from benchmarks.harness.errors import RecipeError
from benchmarks.harness.fitting import Fitter
from benchmarks.problems.streams import BeforeStep, make_strategy, stream_metrics
from benchmarks.rivals.nodes import build
from graphkit.continual import Strategy
from graphkit.datasets import LabelBatch, LabelSequence, LabelTask, find_card, random_parts
from graphkit.datasets import load as load_dataset
from graphkit.metrics import (
    Evaluator,
    micro_f1,
)
from graphkit.train import ShardedTask, seed_everything
from graphkit.words import did_you_mean

MAIN = "average_performance"


def roc_auc(out: Tensor, y: Tensor) -> Tensor:
    """ROC-AUC of a task's labels, where they are known, averaged over the labels."""
    scores = Evaluator("rocauc", y.size(1)).eval({"y_true": y, "y_pred": out})
    return torch.tensor(scores["rocauc"])


METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"micro_f1": micro_f1, "roc_auc": roc_auc}


def load(
    name: str,
    level: str,
    labels_per_task: int,
    batch_size: int | None = None,
    shuffle_labels: bool = False,
    val_share: float = 0.1,
    test_share: float = 0.1,
    seed: int = 0,
) -> LabelSequence:
    """The stream of a recipe's ``dataset`` section; its parts are drawn if none are published."""
    parts: dict[str, list[Data]]
    if "split" in find_card(name).options:
        parts = {part: list(load_dataset(name, split=part)) for part in ("train", "val", "test")}
    else:
        parts = random_parts(indicators(list(load_dataset(name))), val_share, test_share, seed)
    width = parts["train"][0].y.shape[1]
    return LabelSequence(
        parts,
        labels_per_task,
        level=level,  # type: ignore[arg-type]
        batch_size=batch_size,
        label_order=None if shuffle_labels else range(width),
        seed=seed,
    )


def indicators(graphs: list[Data]) -> list[Data]:
    """Integer features as indicators, one column per feature and value that occurs."""
    x = torch.cat([graph.x for graph in graphs if isinstance(graph.x, Tensor)])
    if x.is_floating_point():
        return graphs
    columns = [F.one_hot(torch.unique(column, return_inverse=True)[1]) for column in x.t()]
    wide = torch.cat(columns, dim=1).float().split([graph.num_nodes or 0 for graph in graphs])
    return [
        Data(x=rows, edge_index=graph.edge_index, y=graph.y)
        for rows, graph in zip(wide, graphs, strict=True)
    ]


class LearnLabels(ShardedTask):
    """One task of a stream as the trainer sees it; a batch goes with the samples that count."""

    def __init__(self, task: LabelTask, strategy: Strategy) -> None:
        self.task, self.strategy = task, strategy

    def batches(self, seed: int) -> Iterator[tuple[LabelBatch, int]]:
        batches = self.task.batches["train"]
        order = torch.randperm(len(batches), generator=torch.Generator().manual_seed(seed))
        for batch in (batches[i] for i in order.tolist()):
            places, idle = self.mine(torch.arange(len(batch.rows)))
            share = dataclasses.replace(batch, rows=batch.rows[places], y=batch.y[places])
            yield share, 0 if idle else len(places)

    def loss(self, model: nn.Module, batch: tuple[LabelBatch, int]) -> Tensor:
        share, count = batch
        loss = share.loss(model)
        loss = loss if count else loss * 0.0
        return loss + self.strategy.penalty(loss, share.output)

    def size(self, batch: tuple[LabelBatch, int]) -> int:
        return batch[1]

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {}


def learn(
    tasks: LabelSequence,
    model: nn.Module,
    strategy: Strategy,
    fit: Fitter,
    metric: str,
    remembered: int | None = None,
) -> Tensor:
    """Learns all tasks and returns scores before and after each: ``[K + 1, K]``.

    A strategy is shown ``remembered`` batches of every finished task, or all of them.
    """
    if metric not in METRICS:
        raise RecipeError(f"unknown 'metric' {metric!r}; {did_you_mean(metric, METRICS)}")
    rows = [tasks.evaluate(model, metric=METRICS[metric])]
    for task in tasks:
        fit(model, LearnLabels(task, strategy), [BeforeStep(strategy)], tag=f"task-{task.number}")
        shown = task.batches["train"][:remembered]
        strategy.finish_task([b.losses for b in shown], [b.output for b in shown], task.columns)
        rows.append(tasks.evaluate(model, metric=METRICS[metric]))
    return torch.stack(rows)


def run(
    dataset: dict[str, Any],
    model: dict[str, Any],
    strategy: dict[str, Any],
    metric: str,
    remembered: int | None = None,
    *,
    seed: int,
    fit: Fitter,
) -> dict[str, float]:
    """Learns the stream with one seed and returns the metrics of its performance matrix."""
    if strategy.get("name") == "LwF" and not strategy.get("multi_label"):
        raise RecipeError("section 'strategy': LwF needs 'multi_label: true' for labels")
    tasks = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    width = tasks[0].batches["train"][0].graph.num_features
    network = build(model, width, tasks.num_labels)
    scores = learn(tasks, network, make_strategy(strategy, network), fit, metric, remembered)
    return stream_metrics(scores, "new_task_performance")
