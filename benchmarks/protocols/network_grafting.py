"""Few unlabelled samples: NetGraft beside plain distillation, of images or of a graph's nodes.

Per seed a teacher is trained, then with every number of ``shots`` per class two students of the
same initial weights learn from its logits alone, with the same loss, samples and number of
optimizer steps: ``kd_K`` all at once, ``netgraft_K`` block by block, its adapters merged.
``block_L_K`` is the hybrid with block L alone grafted, ``blocks_K`` the worst of them,
``joined_K`` all blocks put together before they are trained together, ``gain_K`` NetGraft less
distillation and ``gain`` that of the first number of shots. All are accuracies on test samples;
nothing is selected, the last weights count.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GAT, GCN, GraphSAGE

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.canvas import digits
from benchmarks.protocols import node_classification
from graphkit.compress import BlockNet, GraftTask, NetGraft, cut_gnn
from graphkit.train import NodeTask, Task, TensorTask, Trainer, seed_everything

MAIN = "gain"
GNNS = {"GCN": GCN, "GAT": GAT, "GraphSAGE": GraphSAGE}


@dataclass
class Problem:
    """A task, networks for it of any width and dropout, and samples to choose the few from."""

    task: Task
    network: Callable[[int, float], BlockNet]
    x: Tensor
    context: dict[str, Any]
    pool: Tensor
    y: Tensor
    accuracy: Callable[[Callable[..., Tensor]], float]
    augment: Callable[[Tensor], Tensor] | None = None

    def few(self, shots: int, seed: int) -> Tensor:
        """Rows of so many samples per class, drawn from the pool."""
        order = torch.randperm(len(self.pool), generator=torch.Generator().manual_seed(seed))
        rows = self.pool[order]
        return torch.cat([rows[self.y[rows] == kind][:shots] for kind in self.y.unique()])

    @torch.no_grad()
    def judge(self, net: nn.Module, **options: Any) -> float:
        """Accuracy on the test samples."""
        net.eval()
        return self.accuracy(lambda *args: net(*args, **options))

    def task_of(self, grafted: Sequence[bool], rows: Tensor, steps: int) -> GraftTask:
        """The training of a hybrid on a few samples."""
        if self.context:
            return GraftTask(self.x, grafted, steps, rows=rows, **self.context)
        return GraftTask(self.x[rows], grafted, steps, 64, augment=self.augment)


def load(name: str = "digits", gnn: str | None = None, layers: int = 3, seed: int = 0) -> Problem:
    """Images of digits and convolutions, or with ``gnn`` the nodes of a graph and such a GNN."""
    if gnn is not None:
        return nodes(name, gnn, layers, seed)
    if name != "digits":
        raise ValueError(f"without 'gnn' this protocol runs on 'digits', got {name!r}")
    (x, y), (test, label) = digits("train"), digits("test")
    return Problem(
        TensorTask((x - 1, y), lambda model, a, b: F.cross_entropy(model(a), b)),
        lambda width, dropout: convolutions(width, layers),
        x - 1,
        {},
        torch.arange(len(y)),
        y,
        lambda net: float((net(test - 1).argmax(1) == label).float().mean()),
        shift,
    )


def nodes(name: str, gnn: str, layers: int, seed: int) -> Problem:
    """A graph; the few are training nodes, while features and edges of all nodes are seen."""
    split = "random" if name == "digits" else "public"
    data = node_classification.load(name, split, sparse_features=name != "digits", seed=seed)
    kinds = int(data.y.max()) + 1

    def accuracy(net: Callable[..., Tensor]) -> float:
        right = net(data.x, data.edge_index).argmax(1) == data.y
        return float(right[data.test_mask].float().mean())

    return Problem(
        NodeTask(data),
        lambda width, dropout: cut_gnn(
            GNNS[gnn](data.num_features, width, layers, kinds, dropout=dropout)
        ),
        data.x,
        {"edge_index": data.edge_index},
        data.train_mask.nonzero().flatten(),
        data.y,
        accuracy,
    )


def convolutions(width: int, layers: int = 3) -> BlockNet:
    """Convolutions that halve the image twice, the average over places, a linear layer."""
    widths = [1, *(width * 2 ** (2 * level // (layers - 1)) for level in range(layers))]
    blocks = [
        nn.Sequential(nn.Conv2d(a, b, 3, 2 if b == 2 * a > 2 else 1, 1), nn.ReLU())
        for a, b in pairwise(widths)
    ]
    blocks[-1].extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10)])
    return BlockNet(*blocks)


def shift(x: Tensor) -> Tensor:
    """Each image moved by up to a pixel, over a border of background."""
    side = torch.arange(x.size(2))
    rows, cols = torch.randint(3, (2, len(x), 1)).unbind()
    padded = F.pad(x, (1, 1, 1, 1), value=-1.0)
    number = torch.arange(len(x)).view(-1, 1, 1)
    return padded[number, 0, (rows + side).unsqueeze(2), (cols + side).unsqueeze(1)].unsqueeze(1)


def learn(fit: Fitter, net: NetGraft, task: GraftTask, lr: float) -> None:
    """Trains one hybrid; a single rate for blocks and adapters."""
    optimizer = torch.optim.Adam(net.groups(task.grafted, lr))
    trainer = Trainer(
        1, monitor=None, seed=fit.seed, callbacks=fit.watch, fabric=fit.fabric, progress=False
    )
    trainer.fit(net, optimizer, task)


def run(
    dataset: dict[str, Any],
    train: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    teacher: int = 24,
    student: int = 6,
    shots: Sequence[int] = (1, 3),
    steps: int = 300,
    lr: float = 0.01,
    joint_lr: float = 0.003,
    kd_lr: float = 0.01,
    dropout: float = 0.5,
) -> dict[str, float]:
    """One seed; ``teacher`` and ``student`` are widths, ``train`` is the teacher's training."""
    problem = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    master = problem.network(teacher, dropout)
    fit(master, problem.task, tag="teacher")
    seed_everything(seed)
    start = problem.network(student, 0.0)
    size = [sum(p.numel() for p in net.parameters()) for net in (start, master)]
    metrics = {"teacher": problem.judge(master), "parameters": size[0] / size[1]}
    for number in shots:
        rows, pupil = problem.few(number, seed), copy.deepcopy(start)
        found = grafted(problem, master, copy.deepcopy(start), rows, fit, steps, lr, joint_lr)
        count = steps * (2 * len(master) - 1)
        plain = NetGraft([master], [pupil], problem.x, **problem.context)
        learn(fit, plain, problem.task_of((True,), rows, count), kd_lr)
        found["kd"] = problem.judge(pupil)
        found["gain"] = found["netgraft"] - found["kd"]
        metrics |= {f"{name}_{number}": value for name, value in found.items()}
    return metrics | {"gain": metrics[f"gain_{shots[0]}"]}


def grafted(
    problem: Problem,
    teacher: BlockNet,
    student: BlockNet,
    rows: Tensor,
    fit: Fitter,
    steps: int,
    lr: float,
    joint_lr: float,
) -> dict[str, float]:
    """Both stages; what every hybrid can do in between."""
    net = NetGraft(teacher, student, problem.x, **problem.context)
    found, blocks = {}, len(student)
    for stage, mask in enumerate(net.stages()):
        if stage == blocks:
            found["joined"] = problem.judge(net)
        learn(fit, net, problem.task_of(mask, rows, steps), lr if stage < blocks else joint_lr)
        if stage < blocks:
            found[f"block_{stage}"] = problem.judge(net, grafted=mask)
    merged = net.merge(problem.x, **problem.context)
    found |= {"blocks": min(found[f"block_{level}"] for level in range(blocks))}
    return found | {"netgraft": problem.judge(merged), "adapters": problem.judge(net)}
