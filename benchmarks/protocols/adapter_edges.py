"""What an adapter's graph adds over its nodes alone, on the question that its data ask.

Three networks of the same layers, width, first weights, draws and training: ``graph`` passes
messages along the adapter's edges, a layer for each of their kinds; ``alone`` has no edge, and so
is an MLP; ``shuffled`` has as many of each kind, but their targets are exchanged at random. Weights
of edges are not looked at. What is foreseen is described with each graph's source in
:mod:`benchmarks.problems.adapter_graphs`, where adapters without a question have the reason why.

``alone``, ``graph`` and ``shuffled`` are accuracy, area under the curve or rank correlation on
what was not learned from; the epoch is chosen by the loss on a part of its own. ``gain`` is
``graph`` less ``alone`` of the same seed, ``gain_shuffled`` that less ``shuffled``; ``val_…`` is
what settings are compared by.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import RGCNConv, global_mean_pool

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.adapter_graphs import NUMBER, SOURCES, Question
from graphkit.metrics import accuracy, spearman
from graphkit.train import NodeTask, seed_everything

__all__ = ["MAIN", "run"]

MAIN = "gain"


def run(
    adapter: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    hidden: int = 32,
    num_layers: int = 2,
    dropout: float = 0.5,
) -> dict[str, float]:
    """One seed of the data, the method that the adapter wraps, and the networks."""
    if adapter["name"] not in SOURCES:
        raise ValueError(f"no question is asked of '{adapter['name']}', only of {sorted(SOURCES)}")
    seed_everything(seed)
    question = SOURCES[adapter["name"]](seed)
    metrics: dict[str, float] = {}
    for arm in ("alone", "graph", "shuffled"):
        seed_everything(seed)
        edges, kind = linked(question, arm, seed)
        relations = int(question.edge_type.max()) + 1
        classes = 1 if question.measure == NUMBER else int(question.y.max()) + 1
        network = Layers(question.x.size(1), hidden, classes, relations, num_layers, dropout)
        result = fit(network, posed(question, edges, kind), tag=arm).metrics
        metrics[arm], metrics[f"val_{arm}"] = result["test_score"], result["val_score"]
    for rival in ("alone", "shuffled"):
        name = "gain" if rival == "alone" else "gain_shuffled"
        metrics[name] = metrics["graph"] - metrics[rival]
    sizes = {"nodes": len(question.x), "edges": len(question.edge_type), "asked": len(question.y)}
    return metrics | {name: float(size) for name, size in sizes.items()}


def linked(question: Question, arm: str, seed: int) -> tuple[Tensor, Tensor]:
    """The edges that an arm sees, and their kinds."""
    edges, kind = question.edge_index, question.edge_type
    if arm == "alone":
        return edges[:, :0], kind[:0]
    if arm == "shuffled":
        generator = torch.Generator().manual_seed(seed)
        key = torch.rand(len(kind), generator=generator, dtype=torch.double)
        # Both orders group edges by kind, so targets are exchanged within a kind.
        order, drawn = kind.argsort(stable=True), (kind + key).argsort()
        target = torch.empty_like(kind)
        target[order] = edges[1, drawn]
        edges = torch.stack([edges[0], target])
    return edges, kind


def posed(question: Question, edges: Tensor, kind: Tensor) -> NodeTask:
    """The task of what is asked, whose "nodes" are the answers."""
    y, rows = question.y, Data(num_nodes=len(question.y))
    if question.measure == NUMBER:
        known = y[question.part == 0]
        y = (y - known.mean()) / known.std().clamp(min=1e-6)
    rows.y = y
    for number, name in enumerate(("train", "val", "test")):
        rows[f"{name}_mask"] = question.part == number

    def forward(model: nn.Module, data: Data) -> Tensor:
        return model(question.x, edges, kind, question.where, question.level)

    criterion = squared if question.measure == NUMBER else F.cross_entropy
    return NodeTask(rows, criterion, MEASURES[question.measure], "score", forward)


def squared(out: Tensor, y: Tensor) -> Tensor:
    """Mean squared error of one number."""
    return F.mse_loss(out.squeeze(1), y)


def auc(out: Tensor, y: Tensor) -> Tensor:
    """Area under the curve of the second class."""
    from sklearn.metrics import roc_auc_score

    return torch.tensor(roc_auc_score(y.numpy(), (out[:, 1] - out[:, 0]).detach().numpy()))


MEASURES = {
    "accuracy": accuracy,
    "auc": auc,
    NUMBER: lambda out, y: spearman(out.squeeze(1), y),
}


class Layers(nn.Module):
    """Layers with a weight for each kind of edge, then what is asked is read off."""

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        relations: int,
        num_layers: int,
        dropout: float,
    ) -> None:
        super().__init__()
        widths = [in_channels] + [hidden_channels] * num_layers
        self.convs = nn.ModuleList(RGCNConv(w, hidden_channels, relations) for w in widths[:-1])
        self.out = nn.Linear(hidden_channels, out_channels)
        self.dropout = dropout

    def forward(self, x: Tensor, edges: Tensor, kind: Tensor, where: Tensor, level: str) -> Tensor:
        for conv in self.convs:
            x = F.dropout(conv(x, edges, kind).relu(), self.dropout, self.training)
        if level == "graph":
            x = global_mean_pool(x, where)
        elif level == "pair":
            # What both ends share, in either order.
            x = x[where[0]] * x[where[1]]
        else:
            x = x[where]
        return self.out(x)
