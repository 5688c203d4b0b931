"""Teachers and students in blocks, and few samples to learn from: of images or of a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GAT, GCN, GraphSAGE

from benchmarks.harness.fitting import Fitter
from benchmarks.problems import nodes as graphs_of_nodes
from benchmarks.problems.canvas import digits
from graphkit.compress import BlockNet, GraftTask, NetGraft, cut_gnn
from graphkit.train import NodeTask, Task, TensorTask, Trainer

__all__ = ["Problem", "learn", "load"]

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
    data = graphs_of_nodes.load(name, split, sparse_features=name != "digits", seed=seed)
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
