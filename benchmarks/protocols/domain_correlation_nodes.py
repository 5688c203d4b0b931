"""DCCD on the nodes of a graph that is seen through several environments.

Like ``domain_correlation``, with the embeddings of a GNN. ``reidentify``: an identity is a node,
an environment a source that records the graph: it misses some edges and words, and adds words of
its own to most texts. A node is trained on as one environment shows it; ``swapped_…`` is the same
node in another, ``unseen_…`` are other nodes in an environment that was not trained on. Every view
is drawn anew, over the whole graph. With ``population`` an environment's moments are those of all
nodes that it shows, most of which have no identity here; else of the identities seen in it.

``classify``: an identity is a class, in the spirit of GOOD's concept shift. Environments are
quarters of the nodes by degree, three of them trained on, and each class is seen in one of these
alone. With two or three classes in each environment its moments are those of its classes, and
matching them moves classes onto each other: what the method was not made for.

Arms and metrics as in ``domain_correlation``; all arms begin with the same weights.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN
from torch_geometric.utils import degree

from benchmarks.harness.fitting import Fitter
from benchmarks.problems import nodes
from benchmarks.problems.interventions import ARMS, summary
from graphkit.metrics import accuracy, retrieval_scores
from graphkit.modes import evaluating
from graphkit.train import Task, seed_everything
from graphkit.vision import DCCD

MAIN = "swapped_accuracy_ratio"
ENVIRONMENTS = ((0.3, 0.1), (0.1, 0.3), (0.2, 0.2), (0.2, 0.2))
"""Shares of edges and of words that are missing, of every environment."""

BOILERPLATE, HABIT = 16, 0.7
"""Words that an environment adds to texts, and how often each of them."""

Views = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


@dataclass
class Recorded:
    """What a protocol trains on and judges by.

    Views are ``(x, edge_index, rows, identity, environment, population)``, the last of all nodes
    and -1 where an environment is not trained on, the others of ``rows``.

    Args:
        data (Data): The graph.
        train, swapped, unseen (callable): ``generator -> views``.
        classes (int): Identities.
    """

    data: Data
    train: Any
    swapped: Any
    unseen: Any
    classes: int


def load(
    name: str = "Cora", task: str = "reidentify", identities: int = 60, seed: int = 0
) -> Recorded:
    """The graph and its parts; ``identities`` of each environment."""
    data = nodes.load(name, normalize_features=False)
    if task == "reidentify":
        return node_identities(data, identities, seed)
    if task != "classify":
        raise ValueError(f"'task' must be 'reidentify' or 'classify', got {task!r}")
    return degree_classes(data, seed)


def recorded(data: Data, environment: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Words of every node, as pairs ``[2, W]``, and edges, as an environment shows them."""
    edges, words = ENVIRONMENTS[environment]
    pairs = data.words[:, torch.rand(data.words.size(1), generator=generator) >= words]
    habit = torch.rand(data.num_nodes, BOILERPLATE, generator=generator) < HABIT
    node, place = habit.nonzero().t()
    pairs = torch.cat([pairs, torch.stack([node, data.boilerplate[environment][place]])], 1)
    kept = torch.rand(data.edge_index.size(1), generator=generator) >= edges
    return pairs, data.edge_index[:, kept]


def bags(pairs: Tensor, num_nodes: int, num_words: int) -> Tensor:
    """Bags of words that sum to one, as a sparse matrix: the first layer costs what is there."""
    order = pairs[0].argsort(stable=True)
    count = pairs[0].bincount(minlength=num_nodes)
    starts = torch.cat([count.new_zeros(1), count.cumsum(0)])
    share = (1.0 / count.clamp(min=1))[pairs[0][order]]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse", UserWarning)
        # A word that is there twice counts twice.
        return torch.sparse_csr_tensor(starts, pairs[1][order], share, (num_nodes, num_words))


def node_identities(data: Data, identities: int, seed: int) -> Recorded:
    """Nodes as identities; a quarter of those that are drawn are of the unseen environment."""
    generator = torch.Generator().manual_seed(1000 + seed)
    data.words = data.x.nonzero().t()
    vocabulary = torch.randperm(data.num_features, generator=generator)
    data.boilerplate = vocabulary[: 4 * BOILERPLATE].view(4, BOILERPLATE)
    order = torch.randperm(data.num_nodes, generator=generator)[: 4 * identities]
    people, new = order[: 3 * identities], order[3 * identities :]
    own = torch.arange(3 * identities) % 3

    def views(rows: Tensor, names: Tensor, place: Tensor, times: int) -> Any:
        def draw(generator: torch.Generator) -> Views:
            """One union of graphs: every environment so many times, and the rows that count."""
            words, edges, columns, shown = [], [], [], []
            # One graph behind the other: each is seen as a whole, some of its nodes count.
            first = 0
            for environment in place.unique().tolist() * times:
                pairs, edge_index = recorded(data, environment, generator)
                here = place == environment
                words.append(pairs + torch.tensor([[first], [0]]))
                edges.append(edge_index + first)
                columns.append((rows[here] + first, names[here], place[here]))
                shown.append(torch.full((data.num_nodes,), environment if environment < 3 else -1))
                first += data.num_nodes
            x = bags(torch.cat(words, 1), first, data.num_features)
            counted, identity, seen_by = (torch.cat(part) for part in zip(*columns, strict=True))
            return x, torch.cat(edges, 1), counted, identity, seen_by, torch.cat(shown)

        return draw

    # Every node in one of the two environments that it is not trained in.
    other = (own + 1 + torch.randint(2, own.shape, generator=generator)) % 3
    names = torch.arange(len(people))
    return Recorded(
        data,
        views(people, names, own, 2),
        views(people, names, other, 2),
        views(new, torch.arange(len(new)), torch.full_like(new, 3), 3),
        len(people),
    )


def degree_classes(data: Data, seed: int) -> Recorded:
    """Classes that are each seen in one quarter of the nodes by degree."""
    generator = torch.Generator().manual_seed(seed)
    amount = degree(data.edge_index[1], data.num_nodes)
    # Nodes with equal degrees are parted at random: quarters are of one size.
    order = (amount + 0.5 * torch.rand(len(amount), generator=generator)).argsort().argsort()
    place, classes = order * 4 // len(order), int(data.y.max()) + 1
    own = (torch.randperm(classes, generator=generator) % 3)[data.y]
    x = data.x / data.x.sum(1, keepdim=True).clamp(min=1)

    def views(mask: Tensor) -> Any:
        rows = mask.nonzero().squeeze(1)
        return lambda _: (x, data.edge_index, rows, data.y[rows], place[rows], shown)

    known = place < 3
    shown = torch.where(known, place, -1)
    parts = (known & (place == own), known & (place != own), ~known)
    train, swapped, unseen = (views(part) for part in parts)
    return Recorded(data, train, swapped, unseen, classes)


class ViewsTask(Task):
    """One batch of views in every step.

    Args:
        draw (callable): ``generator -> views``.
        steps (int): Batches of an epoch.
        population (bool): Whether moments are those of all nodes.
    """

    def __init__(self, draw: Any, steps: int, population: bool) -> None:
        self.draw, self.steps, self.population = draw, steps, population

    def batches(self, seed: int) -> Iterator[Views]:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(self.steps):
            yield self.draw(generator)

    def loss(self, model: Any, batch: Views) -> Tensor:
        x, edge_index, rows, y, environment, shown = batch
        everyone = shown if self.population else None
        return model.loss(x, edge_index, y=y, domain=environment, rows=rows, population=everyone)

    def size(self, batch: Views) -> int:
        return len(batch[2])

    def evaluate(self, model: Any) -> dict[str, float]:
        return {}


class Embeddings(nn.Module):
    """Embeddings of nodes by two layers of GCN, each channel standardised over the nodes.

    Args:
        in_channels, hidden_channels, channels (int): Widths.
        dropout (float): Between the layers.
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, channels: int, dropout: float
    ) -> None:
        super().__init__()
        self.gcn = GCN(in_channels, hidden_channels, 2, channels, dropout=dropout)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Embeddings of all nodes."""
        return self.norm(self.gcn(x, edge_index))


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    channels: int = 64,
    hidden_channels: int = 64,
    dropout: float = 0.2,
    steps: int = 20,
    weight: float = 0.1,
    momentum: float = 0.9,
    warm: int = 10,
    shrink: float = 0.1,
    factual: float = 0.0,
    triplet: float = 1.0,
    population: bool = True,
    arms: tuple[str, ...] = tuple(ARMS),
) -> dict[str, float]:
    """One seed; ``steps`` of an epoch."""
    problem = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    gnn = Embeddings(problem.data.num_features, hidden_channels, channels, dropout)
    options = {
        "weight": weight,
        "momentum": momentum,
        "warm": warm,
        "shrink": shrink,
        "factual": factual,
        "triplet": triplet,
    }
    start = DCCD(gnn, channels, problem.classes, 3).state_dict()
    metrics: dict[str, float] = {}
    for arm in arms:
        model = DCCD(copy.deepcopy(gnn), channels, problem.classes, 3, **{**options, **ARMS[arm]})
        model.load_state_dict(start)
        fit(model, ViewsTask(problem.train, steps, population), tag=arm)
        found = judged(model, problem, dataset.get("task") == "classify")
        metrics |= {f"{name}_{arm}": value for name, value in found.items()}
    return metrics | summary(metrics, arms)


@torch.no_grad()
def judged(model: DCCD, problem: Recorded, classify: bool) -> dict[str, float]:
    """Scores where identity and environment do not go together."""
    generator = torch.Generator().manual_seed(0)
    embedded = {}
    with evaluating(model):
        for name in ("train", "swapped", "unseen"):
            x, edge_index, rows, y, *_ = getattr(problem, name)(generator)
            embedded[name] = model(x, edge_index)[rows], y
    units = {name: F.normalize(z) for name, (z, _) in embedded.items()}
    gallery = embedded["train"][1]
    z, y = embedded["swapped"]
    scores = {
        "swapped_accuracy": float(accuracy(model.head(z), y)),
        "swapped_map": retrieval_scores(1 - units["swapped"] @ units["train"].t(), y, gallery).map,
    }
    z, y = embedded["unseen"]
    if classify:
        distance = 1 - units["unseen"] @ units["train"].t()
        scores["unseen_accuracy"] = float(accuracy(model.head(z), y))
        return scores | {"unseen_map": retrieval_scores(distance, y, gallery).map}
    number = torch.arange(len(y))
    distance = 1 - units["unseen"] @ units["unseen"].t()
    return scores | {"unseen_map": retrieval_scores(distance, y, y, number, number).map}
