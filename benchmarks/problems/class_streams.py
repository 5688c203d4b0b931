"""A stream of classes from a recipe, and learning it task by task."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.transforms import NormalizeFeatures

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.streams import BeforeStep
from graphkit.continual import Strategy
from graphkit.datasets import StreamTask, TaskSequence
from graphkit.datasets import load as load_dataset
from graphkit.train import ShardedTask

__all__ = ["LearnTask", "learn", "load"]


def load(
    name: str,
    classes_per_task: int,
    visible: str,
    inter_task_edges: bool = False,
    setting: str = "task",
    train_per_class: int = 40,
    val_per_class: int = 20,
    balanced: bool = False,
    hops: int | None = None,
    normalize_features: bool = False,
    seed: int = 0,
) -> TaskSequence:
    """The stream of a recipe's ``dataset`` section; order and split are drawn for each seed."""
    dataset = load_dataset(name)
    graphs: Any = dataset[0] if len(dataset) == 1 else list(dataset)
    if normalize_features:
        transform = NormalizeFeatures()
        graphs = [transform(g) for g in graphs] if isinstance(graphs, list) else transform(graphs)
    return TaskSequence(
        graphs,
        classes_per_task,
        visible=visible,  # type: ignore[arg-type]
        inter_task_edges=inter_task_edges,
        setting=setting,  # type: ignore[arg-type]
        train_per_class=train_per_class,
        val_per_class=val_per_class,
        balanced=balanced,
        hops=hops,
        seed=seed,
    )


class LearnTask(ShardedTask):
    """One task of a stream as the trainer sees it, the strategy's penalty included."""

    def __init__(self, task: StreamTask, strategy: Strategy) -> None:
        self.task, self.strategy = task, strategy

    def batches(self, seed: int) -> Iterator[tuple[StreamTask, int]]:
        """The task with this process's training samples, and how many of them count."""
        rows, y = self.task.rows["train"], self.task.y["train"]
        places, idle = self.mine(torch.arange(len(rows)))
        mine = {**self.task.rows, "train": rows[places]}
        labels = {**self.task.y, "train": y[places]}
        share = dataclasses.replace(self.task, rows=mine, y=labels)
        yield share, 0 if idle else len(places)

    def loss(self, model: nn.Module, batch: tuple[StreamTask, int]) -> Tensor:
        share, count = batch
        loss = share.loss(model)
        loss = loss if count else loss * 0.0
        return loss + self.strategy.penalty(loss, share.output)

    def size(self, batch: tuple[StreamTask, int]) -> int:
        return batch[1]

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {}


def learn(
    tasks: TaskSequence, model: nn.Module, strategy: Strategy, fit: Fitter, name: str = ""
) -> Tensor:
    """Learns all tasks and returns scores before and after each: ``[K + 1, K]``.

    Runs are called ``task-0`` and so on, after a ``name`` that tells several streams apart.
    """
    rows = [tasks.evaluate(model, -1)]
    for task in tasks:
        fit(
            model,
            LearnTask(task, strategy),
            [BeforeStep(strategy)],
            tag=f"{name}task-{task.number}",
        )
        strategy.finish_task(task.losses, task.output, task.columns)
        rows.append(tasks.evaluate(model, task.number))
    return torch.stack(rows)
