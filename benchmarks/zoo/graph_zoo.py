"""Graph networks pre-trained on four graphs and five tasks each, and how well they transfer.

The features of every graph are brought to one width by a truncated SVD, so that a network of one
graph runs on any other; only networks of the same graph agree on what a feature means. The tasks
are all classes, those of even and of odd number alone, links, and degrees. Every network is a
two-layer encoder; its task's head is thrown away. All are of one architecture, as Taskonomy's
are: where architectures take turns (``graphs-mixed``), these decide more of what is best on average
than the tasks do.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse.csgraph import breadth_first_order
from sklearn.utils.extmath import randomized_svd
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn.models import GAT, GCN, GIN, GraphSAGE
from torch_geometric.utils import degree, negative_sampling, to_scipy_sparse_matrix, to_undirected

from benchmarks.harness.fingerprint import code_fingerprint
from benchmarks.zoo.probing import linear_probe
from graphkit.datasets import cache_root
from graphkit.datasets import load as load_dataset
from graphkit.files import replacing
from graphkit.guard import reading
from graphkit.tensor_files import read_tensors
from graphkit.train import seed_everything

__all__ = [
    "GRAPHS",
    "KINDS",
    "TASKS",
    "Budget",
    "finetune",
    "graph",
    "pretrained",
    "probe",
    "untrained",
]

GRAPHS = ("Cora", "CiteSeer", "Computers", "CS")
KINDS = ("classes", "even", "odd", "links", "degrees")
TASKS = tuple(f"{name}-{kind}" for name in GRAPHS for kind in KINDS)
WIDTH, HIDDEN, NODES, LEVELS, PAIRS = 64, 64, 1500, 5, 10_000
NETWORKS: dict[str, Any] = {"GCN": GCN, "GraphSAGE": GraphSAGE, "GAT": GAT, "GIN": GIN}


@dataclass(frozen=True)
class Budget:
    """How much training a network of the zoo gets.

    Args:
        epochs (int): Epochs of pre-training.
        tune_epochs (int): Epochs of fine-tuning.
        lr (float): Learning rate of Adam.
        labels (int): Labels per class of the target task that a transfer may use.
        test (int): Test nodes, or pairs, that a transfer is judged by, at most.
        networks (tuple): Names of the encoders, which take turns.
    """

    epochs: int = 100
    tune_epochs: int = 30
    lr: float = 0.01
    labels: int = 10
    test: int = 1000
    networks: tuple[str, ...] = ("GCN",)


@cache
def graph(name: str) -> Data:
    """A connected part of a graph with features of the common width and the classes of degrees.

    The part are the nodes nearest to the one of largest degree, :obj:`NODES` of them.
    """
    data = load_dataset(name)[0]
    edge_index = to_undirected(data.edge_index)
    matrix = to_scipy_sparse_matrix(edge_index, num_nodes=data.num_nodes).tocsr()
    start = int(np.argmax(np.diff(matrix.indptr)))
    order = breadth_first_order(matrix, start, return_predecessors=False)[:NODES]
    part = Data(x=data.x, y=data.y, edge_index=edge_index, num_nodes=data.num_nodes)
    part = part.subgraph(torch.from_numpy(np.sort(order).astype(np.int64)))
    left, values, _ = randomized_svd(part.x.numpy(), WIDTH, random_state=0)
    x = torch.from_numpy(left * values).float()
    part.x = (x - x.mean(0)) / x.std()
    part.y = torch.unique(part.y, return_inverse=True)[1]
    degrees = degree(part.edge_index[0], part.num_nodes)
    cuts = torch.quantile(degrees, torch.linspace(0, 1, LEVELS + 1)[1:-1])
    part.level = torch.unique(torch.bucketize(degrees, cuts), return_inverse=True)[1]
    generator = torch.Generator().manual_seed(0)
    part.train_mask = torch.rand(part.num_nodes, generator=generator) < 0.5
    return part


def untrained(name: str, budget: Budget | None = None) -> nn.Module:
    """The untrained encoder of a task."""
    place, turns = TASKS.index(name), (budget or Budget()).networks
    seed_everything(place)
    network = NETWORKS[turns[(place + place // len(turns)) % len(turns)]]
    return network(WIDTH, HIDDEN, 2, HIDDEN)


def pairs(data: Data, count: int, seed: int, half: str) -> tuple[Tensor, Tensor]:
    """Linked and unlinked pairs of nodes, and which is which; training pairs are every other."""
    one_way = data.edge_index[:, data.edge_index[0] < data.edge_index[1]]
    one_way = one_way[:, int(half == "test") :: 2]
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(one_way.size(1), generator=generator)[:count]
    seed_everything(seed)
    other = negative_sampling(data.edge_index, data.num_nodes, len(rows))
    ends = torch.cat([one_way[:, rows], other], dim=1)
    linked = torch.arange(ends.size(1)) < len(rows)
    return ends, linked.long()


def labels(data: Data, kind: str) -> Tensor:
    """The classes of a task on nodes, -1 for nodes that take no part."""
    if kind in ("even", "odd"):
        return torch.where(data.y % 2 == int(kind == "odd"), data.y // 2, -1)
    return data.y if kind == "classes" else data.level


def head_of(kind: str, data: Data) -> nn.Linear:
    """A new linear head; links take the product of both ends."""
    count = 2 if kind == "links" else int(labels(data, kind).max()) + 1
    return nn.Linear(HIDDEN, count)


def problem(kind: str, data: Data, budget: Budget, draw: int) -> tuple[Tensor, ...]:
    """Few labelled examples (nodes, or pairs) of a task, and test examples."""
    if kind == "links":
        few = pairs(data, 2 * budget.labels, draw, "train")
        return *few, *pairs(data, budget.test // 2, draw, "test")
    y, generator = labels(data, kind), np.random.default_rng([draw, budget.labels])
    halves = (data.train_mask & (y >= 0), ~data.train_mask & (y >= 0))
    known, rest = (mask.nonzero()[:, 0].numpy() for mask in halves)
    classes = y[known].numpy()
    rows = [generator.permutation(known[classes == c])[: budget.labels] for c in np.unique(classes)]
    labelled = torch.from_numpy(np.concatenate(rows))
    test = torch.from_numpy(generator.permutation(rest)[: budget.test])
    return labelled, y[labelled], test, y[test]


def picked(h: Tensor, where: Tensor) -> Tensor:
    """Features of nodes, or products of those of both ends of pairs."""
    return h[where] if where.dim() == 1 else h[where[0]] * h[where[1]]


def fit(
    model: nn.Module, head: nn.Module, data: Data, where: Tensor, y: Tensor, epochs: int, lr: float
) -> None:
    """Trains encoder and head on all examples at a time."""
    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=lr, weight_decay=5e-4)
    model.train()
    for _ in range(epochs):
        h = model(data.x, data.edge_index).relu()
        loss = F.cross_entropy(head(picked(h, where)), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()


def mark(budget: Budget) -> str:
    """Tells apart networks that were trained by other code or with other settings."""
    code = code_fingerprint([(__name__, "")])
    return f"{'-'.join(budget.networks)}-{budget.epochs}-{budget.lr:g}-{code}"


def pretrained(name: str, budget: Budget | None = None) -> nn.Module:
    """The encoder trained on a task; trained at the first call, then read from the cache."""
    budget = budget or Budget()
    path = cache_root() / "zoo" / "graphs" / mark(budget) / f"{name}.pt"
    place, model = TASKS.index(name), untrained(name, budget)
    if not path.is_file():
        source, _, kind = name.rpartition("-")
        data = graph(source)
        if kind == "links":
            where, y = pairs(data, PAIRS, place, "train")
        else:
            where = (data.train_mask & (labels(data, kind) >= 0)).nonzero()[:, 0]
            y = labels(data, kind)[where]
        fit(model, head_of(kind, data), data, where, y, budget.epochs, budget.lr)
        with replacing(path) as file:
            torch.save(model.state_dict(), file)
    again = "delete it, and the network is trained again"
    weights = read_tensors(path, again)
    with reading(path, advice=again):
        model.load_state_dict(weights)
    return model.eval()


@torch.no_grad()
def embedded(model: nn.Module, data: Data) -> Tensor:
    """The features of all nodes."""
    return model.eval()(data.x, data.edge_index).relu()


def finetune(source: nn.Module, name: str, budget: Budget, draw: int) -> float:
    """Test accuracy of a source with a new head, all of it trained on few labels."""
    target, _, kind = name.rpartition("-")
    data = graph(target)
    where, y, test, test_y = problem(kind, data, budget, draw)
    seed_everything(draw)
    model, head = deepcopy(source), head_of(kind, data)
    fit(model, head, data, where, y, budget.tune_epochs, budget.lr)
    with torch.no_grad():
        guess = head(picked(embedded(model, data), test)).argmax(1)
    return float((guess == test_y).float().mean())


def probe(source: nn.Module, name: str, budget: Budget, draw: int) -> float:
    """Test accuracy of a linear classifier on the source's features, with few labels."""
    target, _, kind = name.rpartition("-")
    data = graph(target)
    where, y, test, test_y = problem(kind, data, budget, draw)
    h = embedded(source, data)
    return linear_probe(picked(h, where), y, picked(h, test), test_y)
