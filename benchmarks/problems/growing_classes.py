"""A stream of classes without the task at test time: what is learned, kept, asked and counted.

Splits and graphs are those of ``class_streams``; here all classes seen so far compete.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import subgraph

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.class_streams import LearnTask
from benchmarks.problems.streams import STRATEGIES, BeforeStep
from graphkit.continual import TPP, FineTune, Strategy, TaskPrototypes
from graphkit.continual.replay import GraphReplay
from graphkit.datasets import StreamTask, TaskSequence
from graphkit.datasets.task_sequence import run
from graphkit.metrics import accuracy, average_forgetting, average_performance
from graphkit.modes import evaluating

__all__ = ["LEARNED", "learn", "learn_prompts", "summary"]

LEARNED = (*STRATEGIES, "ERGNN", "SSM")
"""Strategies around an ordinary network, replay included."""
Answer = Callable[[StreamTask], Tensor]


@dataclass
class Rehearsed:
    """A task as it is at any later time: its samples compete with all classes seen by then.

    Strategies that keep loss functions (GEM, joint training) would else never learn to tell old
    classes from new ones.
    """

    tasks: TaskSequence
    number: int
    latest: list[int]

    def __post_init__(self) -> None:
        self.views: dict[int, StreamTask] = {}

    @property
    def now(self) -> StreamTask:
        """The task as seen while the latest one is learned."""
        at = max(self.latest[0], self.number)
        if at not in self.views:
            self.views = {at: self.tasks.view(self.number, at)}
        return self.views[at]

    def losses(self, model: nn.Module) -> Tensor:
        return self.now.losses(model)

    def output(self, model: nn.Module) -> Tensor:
        return self.now.output(model)


@dataclass
class Scores:
    """Rows of accuracies after each task, without the task and with the one that was predicted.

    Args:
        profiles (TaskPrototypes): What names the task; it knows all tasks when the last is learned.
    """

    profiles: TaskPrototypes
    alone: list[Tensor] = field(default_factory=list)
    told: list[Tensor] = field(default_factory=list)

    def add(self, tasks: TaskSequence, now: int, answer: Answer) -> None:
        """Asks about all tasks up to the latest; what comes later has no score yet."""
        alone, told = torch.full((2, len(tasks)), torch.nan)
        for number in range(now + 1):
            task = tasks.view(number, now)
            out, y = answer(task), task.y["test"]
            graph, rows = task.graphs["test"], task.rows["test"]
            alone[number] = accuracy(out, y)
            predicted = self.profiles.predict(graph.x, graph.edge_index, rows)
            columns = own_columns(tasks, predicted)
            told[number] = accuracy(
                torch.full_like(out, -torch.inf).index_copy(1, columns, out[:, columns]), y
            )
        self.alone.append(alone)
        self.told.append(told)


def own_columns(tasks: TaskSequence, number: int) -> Tensor:
    """The output columns of a task's own classes."""
    first = number * tasks.classes_per_task
    return torch.arange(first, first + tasks.classes_per_task)


def plain_answer(model: nn.Module) -> Answer:
    """Scores of a task's test nodes over all classes seen so far, by an ordinary network."""

    def answer(task: StreamTask) -> Tensor:
        with torch.no_grad(), evaluating(model):
            return run(model, task.graphs["test"])[task.rows["test"]][:, task.columns]

    return answer


def learn(tasks: TaskSequence, model: nn.Module, strategy: Strategy, fit: Fitter) -> Scores:
    """Learns all tasks by a strategy; no task is named when the model is asked."""
    scores, latest = Scores(TaskPrototypes()), [0]
    for task in tasks:
        latest[0] = task.number
        data, rows = task.data, task.rows["train"]
        scores.profiles.add(data.x, data.edge_index, rows)
        if isinstance(strategy, GraphReplay):
            labels = task.columns[task.y["train"]]
            strategy.see_task(data.x, data.edge_index, rows, labels, task.columns)
        fit(model, LearnTask(task, strategy), [BeforeStep(strategy)], tag=f"task-{task.number}")
        seen = Rehearsed(tasks, task.number, latest)
        strategy.finish_task(seen.losses, seen.output, own_columns(tasks, task.number))
        scores.add(tasks, task.number, plain_answer(model))
    return scores


class PreTrain(LearnTask):
    """Contrastive training on the graph of the first task, without its labels."""

    def loss(self, model: nn.Module, batch: tuple[StreamTask, int]) -> Tensor:
        share, count = batch
        loss = model.contrast(share.data.x, share.data.edge_index)  # type: ignore[operator]
        return loss if count else loss * 0.0


class LearnPrompt(LearnTask):
    """The prompt and the classifier of one task."""

    def loss(self, model: nn.Module, batch: tuple[StreamTask, int]) -> Tensor:
        share, count = batch
        out = model(share.data.x, share.data.edge_index, task=share.number)[share.rows["train"]]
        loss = nn.functional.cross_entropy(out[:, share.columns], share.y["train"])
        return loss if count else loss * 0.0


def learn_prompts(tasks: TaskSequence, model: TPP, fit: Fitter) -> Scores:
    """Learns all tasks by prompts on a network that is trained once and then frozen."""
    scores, nothing = Scores(model.profiles), FineTune(model)

    def answer(task: StreamTask) -> Tensor:
        graph, rows = task.graphs["test"], task.rows["test"]
        with torch.no_grad(), evaluating(model):
            predicted = model.predict_task(graph.x, graph.edge_index, rows)
            return model(graph.x, graph.edge_index, task=predicted)[rows][:, task.columns]

    fit(model, PreTrain(tasks[0], nothing), tag="pre-train")
    for task in tasks:
        data, rows = task.data, task.rows["train"]
        model.add_task(data.x, data.edge_index, rows, classes=tasks.classes_per_task)
        fit(model, LearnPrompt(task, nothing), tag=f"task-{task.number}")
        scores.add(tasks, task.number, answer)
    return scores


def identification(tasks: TaskSequence, profiles: TaskPrototypes) -> dict[str, float]:
    """How often prototypes alone name the right task after the last one.

    For all test nodes of a task at once, as the paper asks; the same where the graph holds test
    nodes only, so that nothing smooths over from training nodes; and for every test node alone.
    """
    whole, apart, lone = [], [], []
    for task in tasks:
        graph, rows = task.graphs["test"], task.rows["test"]
        whole.append(profiles.predict(graph.x, graph.edge_index, rows) == task.number)
        part = only(graph, rows)
        apart.append(profiles.predict(part.x, part.edge_index) == task.number)
        lone.append(profiles.predict_nodes(graph.x, graph.edge_index)[rows] == task.number)
    return {
        "task_prediction_accuracy": sum(whole) / len(whole),
        "apart_task_prediction_accuracy": sum(apart) / len(apart),
        "node_task_prediction_accuracy": float(torch.cat(lone).double().mean()),
    }


def only(graph: Data, rows: Tensor) -> Data:
    """The graph among some nodes, numbered in their order."""
    edges, _ = subgraph(rows, graph.edge_index, relabel_nodes=True, num_nodes=graph.num_nodes)
    return Data(x=graph.x[rows], edge_index=edges)


def summary(scores: Scores, tasks: TaskSequence) -> dict[str, float]:
    """What is reported of a stream."""
    alone, told = torch.stack(scores.alone), torch.stack(scores.told)
    return {
        "average_performance": average_performance(alone),
        "average_forgetting": average_forgetting(alone),
        "forgetting_from_best": average_forgetting(alone, best=True),
        "new_task_accuracy": float(alone.diagonal().mean()),
        "told_average_performance": average_performance(told),
        "told_average_forgetting": average_forgetting(told),
        **identification(tasks, scores.profiles),
    }
