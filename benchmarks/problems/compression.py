"""What is compressed: a task, networks of any width for it, and parts to choose and to judge by."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN

from benchmarks.harness.fitting import Fitter
from benchmarks.problems import nodes as graphs_of_nodes
from benchmarks.problems.canvas import classifier, digits
from benchmarks.problems.residual import ResidualNet, objects
from graphkit.modes import evaluating
from graphkit.train import Callback, NodeTask, Task, TensorTask, Trainer

__all__ = ["Problem", "learn", "load", "times"]

Images = tuple[Tensor, Tensor]


@dataclass
class Problem:
    """A task and its networks, by width.

    ``parts`` holds the arguments, the classes and the rows of ``"val"`` and ``"test"``.
    """

    task: Task
    network: Callable[[int], nn.Module]
    parts: dict[str, tuple[tuple[Any, ...], Tensor, Tensor]]

    @property
    def sample(self) -> tuple[Any, ...]:
        """Arguments of a network, enough to see how its channels depend on each other."""
        args = self.parts["val"][0]
        return args if len(args) > 1 else (args[0][:2],)

    @torch.no_grad()
    def judge(self, model: nn.Module, part: str = "test") -> float:
        """Accuracy on a part."""
        args, y, rows = self.parts[part]
        with evaluating(model):
            out = model(*args) if len(args) > 1 else batched(model, args[0])
        return float((out[rows].argmax(1) == y[rows]).float().mean())


def batched(model: nn.Module, x: Tensor) -> Tensor:
    """The output for many images, some at a time."""
    return torch.cat([model(part) for part in x.split(500)])


def load(name: str = "digits", gnn: str | None = None, held_out: int = 0, seed: int = 0) -> Problem:
    """Digits, CIFAR-10's small part, or with ``gnn`` a graph with its public split.

    ``held_out`` of the training images, drawn with the seed, are the part ``"val"``; a graph has
    its own.
    """
    if gnn is not None:
        return of_nodes(name, gnn)
    if name == "digits":
        (x, y), (test, label) = digits("train"), digits("test")
        x, test, network = x - 1, test - 1, classifier
    else:
        x, y, test, label = objects(name)
        network = ResidualNet  # type: ignore[assignment]
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    val, train = order[:held_out], order[held_out:]
    held = val if held_out else train
    return Problem(
        TensorTask((x[train], y[train]), lambda m, a, b: F.cross_entropy(m(a), b)),
        network,
        {"val": whole(x[held], y[held]), "test": whole(test, label)},
    )


def whole(x: Tensor, y: Tensor) -> tuple[tuple[Any, ...], Tensor, Tensor]:
    """A part that consists of all its images."""
    return (x,), y, torch.arange(len(y))


def of_nodes(name: str, gnn: str) -> Problem:
    """A graph, and GNNs of two layers."""
    data: Data = graphs_of_nodes.load(name)
    kinds = int(data.y.max()) + 1
    options: dict[str, Any] = {
        "GCN": {"dropout": 0.5, "cached": True},
        "GAT": {"dropout": 0.6, "heads": 8},
    }[gnn]
    family = {"GCN": GCN, "GAT": GAT}[gnn]
    args = (data.x, data.edge_index)
    return Problem(
        NodeTask(data),
        lambda width: family(data.num_features, width, 2, kinds, **options),
        {part: (args, data.y, data[f"{part}_mask"]) for part in ("val", "test")},
    )


def learn(
    fit: Fitter,
    model: nn.Module,
    task: Task,
    groups: list[dict[str, Any]],
    epochs: int,
    callbacks: Iterable[Callback] = (),
    monitor: str | None = None,
) -> None:
    """Trains on, under Adam; the last weights count, or the best ones by ``monitor``."""
    trainer = Trainer(
        epochs,
        monitor=monitor,
        seed=fit.seed,
        callbacks=[*callbacks, *fit.watch],
        fabric=fit.fabric,
        progress=False,
    )
    trainer.fit(model, torch.optim.Adam(groups), task)


@torch.no_grad()
def times(
    models: dict[str, nn.Module], args: tuple[Any, ...], repeats: int = 15
) -> dict[str, float]:
    """Least seconds of a call of each model, in turns, after one that does not count.

    The least, since what else runs on a machine can only add to it.
    """
    runs: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(repeats + 1):
        for name, model in models.items():
            with evaluating(model):
                begin = time.perf_counter()
                model(*args)
                runs[name] += [time.perf_counter() - begin] if turn else []
    return {name: min(seconds) for name, seconds in runs.items()}
