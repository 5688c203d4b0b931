"""A graph network from another one without data: generated graphs beside random ones.

On a graph with labelled nodes a GCN teaches a smaller one; on a set of graphs a GIN does, with
sums of the nodes' features. What is told about the data is what the networks take: the number of
features, their kind (bags of so many words, or one of so many atoms), the mean degree and the
number of nodes of a graph. All students begin with the same weights and take the same number of
steps on graphs of one size and degree:

``dfad``, features and edges of a generator that plays against the student; ``features``, the same
game with edges drawn at random, so that only features are learned; ``untrained``, the generator as
it began; ``noise``, random features of the right kind on random edges of the same number. ``data``
is the real graph, or the real training graphs, without labels.

``test_accuracy`` is that of ``dfad`` after the last step; ``over_…`` are differences, and
``over_…_low`` and ``over_…_high`` the ends of their 95 % interval by a paired bootstrap over the
test samples.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch_geometric.data import Batch
from torch_geometric.nn import GCN, GIN, global_add_pool

from benchmarks.harness.fitting import Fitter
from benchmarks.problems import graphs as graph_sets
from benchmarks.problems import nodes as node_sets
from benchmarks.problems.graphs import inner_split, pick
from graphkit.distill import DFAD, GraphGenerator
from graphkit.train import GraphTask, NodeTask, Task, seed_everything

MAIN = "test_accuracy"
ARMS = ("dfad", "features", "untrained", "noise", "data")


@dataclass
class Problem:
    """A task and what is told about its data.

    Args:
        task (Task): The teacher's.
        network (callable): ``width -> network``.
        correct (callable): ``network -> test samples that it gets right``.
        real (callable): ``() -> (x, edge_index, …)`` of real samples, drawn at random.
        told (dict): Arguments of the generator.
    """

    task: Task
    network: Callable[[int], nn.Module]
    correct: Callable[[nn.Module], Tensor]
    real: Callable[[], tuple[Tensor, ...]]
    told: dict[str, Any]


class GraphClassifier(nn.Module):
    """GIN, the sum over a graph's nodes, a linear layer.

    Args:
        in_channels, hidden_channels, out_channels (int): Widths.
        num_layers (int, optional): Layers of GIN. (default: :obj:`3`)
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, out_channels: int, num_layers: int = 3
    ) -> None:
        super().__init__()
        self.gin = GIN(in_channels, hidden_channels, num_layers)
        self.lin = nn.Linear(hidden_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """Logits of graphs."""
        return self.lin(global_add_pool(self.gin(x, edge_index).relu(), batch))


class RandomEdges(GraphGenerator):
    """A generator whose edges are drawn at random."""

    def link(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """As many pairs, all equally likely."""
        edge_index, gate = super().link(torch.zeros_like(query))
        return edge_index, gate.detach()


class RandomGraphs(RandomEdges):
    """Random features of the right kind on random edges."""

    def attributes(self, out: Tensor) -> Tensor:
        """Features that depend on no network."""
        if self.features == "normal":
            return torch.randn_like(out)
        return super().attributes(torch.zeros_like(out)).detach()


GENERATORS = {"features": RandomEdges, "noise": RandomGraphs}


def load(name: str = "Cora", seed: int = 0) -> Problem:
    """Nodes of a graph by its name, or the graphs of MUTAG, by GIN's fold ``seed % 10``."""
    if name == "MUTAG":
        return molecules(name, seed)
    data = node_sets.load(name)
    words = round(float((data.x > 0).sum(1).float().mean()))
    classes = int(data.y.max()) + 1

    @torch.no_grad()
    def correct(model: nn.Module) -> Tensor:
        guess = model.eval()(data.x, data.edge_index).argmax(1)
        return (guess == data.y)[data.test_mask]

    told = {
        "num_features": data.num_features,
        "num_nodes": 256,
        "degree": data.num_edges / data.num_nodes,
        "features": "bag",
        "words": words,
    }
    return Problem(
        NodeTask(data),
        lambda width: GCN(data.num_features, width, 2, classes, dropout=0.0),
        correct,
        lambda: (data.x, data.edge_index),
        told,
    )


def molecules(name: str, seed: int) -> Problem:
    """A set of graphs whose nodes are of one of several kinds."""
    graphs, folds = graph_sets.load(name)
    y = np.array([int(graph.y) for graph in graphs])
    train, test = folds[seed % len(folds)]
    kept, held = inner_split(y, train, seed)
    whole = Batch.from_data_list(pick(graphs, test))
    known = pick(graphs, train)

    @torch.no_grad()
    def correct(model: nn.Module) -> Tensor:
        return model.eval()(whole.x, whole.edge_index, whole.batch).argmax(1) == whole.y

    def real() -> tuple[Tensor, ...]:
        rows = torch.randint(len(known), (32,)).tolist()
        batch = Batch.from_data_list([known[row] for row in rows])
        return batch.x, batch.edge_index, batch.batch

    nodes = sum(int(graph.num_nodes or 0) for graph in known)
    told = {
        "num_features": graphs[0].num_features,
        "num_nodes": round(nodes / len(known)),
        "degree": sum(graph.num_edges for graph in known) / nodes,
        "features": "one_hot",
        "pooled": True,
    }
    task = GraphTask(pick(graphs, kept), pick(graphs, held), [])
    return Problem(
        task,
        lambda width: GraphClassifier(graphs[0].num_features, width, int(y.max()) + 1),
        correct,
        real,
        told,
    )


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    iterations: int = 150,
    batch_size: int = 1,
    lr: float = 0.01,
    generator_lr: float = 1e-3,
    imitations: int = 5,
    balance: float = 0.0,
    teacher_channels: int = 16,
    student_channels: int = 16,
    noise_channels: int = 32,
    hidden_channels: int = 64,
    arms: tuple[str, ...] = ARMS,
) -> dict[str, float]:
    """One seed; the recipe's ``train`` is the teacher's, ``batch_size`` counts graphs."""
    problem = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    teacher = problem.network(teacher_channels)
    fit(teacher, problem.task, tag="teacher")
    seed_everything(seed)
    student = problem.network(student_channels)
    right = {"teacher": problem.correct(teacher)}
    metrics: dict[str, float] = {}
    for arm in arms:
        # The same noise for every arm, so that arms differ in what is made of it alone.
        seed_everything(seed + 1)
        generator = GENERATORS.get(arm, GraphGenerator)(
            noise_channels, hidden_channels=hidden_channels, **problem.told
        )
        game = DFAD(copy.deepcopy(student), teacher, generator, imitations, balance=balance)
        players = (
            torch.optim.Adam(game.student.parameters(), lr),
            torch.optim.Adam(generator.parameters(), generator_lr),
        )
        decay = CosineAnnealingLR(players[0], iterations)
        for _ in range(iterations):
            step(arm, game, players, batch_size, problem)
            decay.step()
        right[arm] = problem.correct(game.student)
        # Four graphs say enough of what the generator makes; the others make nothing of their own.
        if arm == "dfad":
            reading = game.monitor(4).read()
            metrics |= {name: reading[name] for name in ("label_entropy", "discrepancy")}
    metrics |= {name: float(one.float().mean()) for name, one in right.items()}
    metrics["test_accuracy"] = metrics["dfad"]
    for arm in arms[1:]:
        metrics |= interval(arm, right["dfad"], right[arm], seed)
    return metrics


def step(
    arm: str,
    game: DFAD,
    players: tuple[torch.optim.Optimizer, torch.optim.Optimizer],
    batch_size: int,
    problem: Problem,
) -> None:
    """An iteration of an arm: the whole game, or its imitations alone."""
    if arm in ("dfad", "features"):
        game.step(*players, batch_size=batch_size)
        return
    for _ in range(game.imitations):
        players[0].zero_grad()
        if arm == "data":
            made = problem.real()
            with torch.no_grad():
                target = game.teacher.eval()(*made)
            loss = F.l1_loss(game.student.train()(*made), target)
        else:
            loss = game.imitation(game.noise(batch_size))
        loss.backward()
        players[0].step()


def interval(arm: str, ours: Tensor, theirs: Tensor, seed: int) -> dict[str, float]:
    """The difference of accuracies and its 95 % interval, test samples drawn anew in pairs."""
    gain = ours.double() - theirs.double()
    rows = torch.randint(
        len(gain), (2000, len(gain)), generator=torch.Generator().manual_seed(seed)
    )
    low, high = gain[rows].mean(1).quantile(torch.tensor([0.025, 0.975]).double()).tolist()
    return {f"over_{arm}": float(gain.mean()), f"over_{arm}_low": low, f"over_{arm}_high": high}
