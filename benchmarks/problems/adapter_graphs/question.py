"""A question asked of an adapter's graphs: what is to be foreseen, and which parts learn it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Batch, Data, HeteroData

__all__ = ["NUMBER", "Question", "ask", "fitted", "flat", "nearest", "parts", "plain"]

NUMBER = "spearman"


@dataclass
class Question:
    """What is to be foreseen of nodes, of pairs of nodes or of whole graphs.

    Args:
        x (torch.Tensor): Features ``[N, F]``.
        edge_index (torch.Tensor): Edges ``[2, E]``, each with its reverse.
        edge_type (torch.Tensor): Their kinds ``[E]``.
        where (torch.Tensor): Nodes ``[P]``, pairs ``[2, P]``, or the graph of each node ``[N]``.
        level (str): ``"node"``, ``"pair"`` or ``"graph"``: what ``where`` holds.
        y (torch.Tensor): The answers ``[P]``: classes, or numbers.
        part (torch.Tensor): 0 to learn from, 1 to choose the epoch by, 2 to test ``[P]``.
        measure (str): ``"accuracy"``, ``"auc"`` or ``"spearman"``.
    """

    x: Tensor
    edge_index: Tensor
    edge_type: Tensor
    where: Tensor
    level: str
    y: Tensor
    part: Tensor
    measure: str


def ask(
    graphs: Data | Sequence[Data],
    measure: str,
    seed: int,
    level: str = "node",
    train: float = 0.3,
    val: float = 0.2,
) -> Question:
    """The question of one graph, or of many.

    Nodes to be asked have a ``y`` that is not NaN; pairs are ``pair_index`` and ``pair_y``, a
    graph's answer ``graph_y``. Many graphs are parted between learning and testing as wholes, and
    so are the nodes of one graph with the same ``unit``.
    """
    many = [graphs] if isinstance(graphs, Data) else list(graphs)
    batch = Batch.from_data_list(many)
    graph = batch.batch
    if level == "node":
        where = (~batch.y.isnan()).nonzero().squeeze(1)
        y, unit = batch.y[where], (batch.unit if "unit" in batch else graph)[where]
    elif level == "pair":
        where, y = batch.pair_index, batch.pair_y
        unit = graph[where[0]]
    else:
        where, y, unit = graph, batch.graph_y, torch.arange(len(many))
    if len(many) == 1 and "unit" not in batch:
        unit = torch.arange(len(y))
    group = unit.unique(return_inverse=True)[1]
    edges, kind = both_ways(batch.edge_index, batch.edge_type)
    return Question(
        standard(batch.x, batch.get("node_type")),
        edges,
        kind,
        where,
        level,
        y.float() if measure == NUMBER else y.long(),
        parts(int(group.max()) + 1, train, val, seed)[group],
        measure,
    )


def parts(count: int, train: float, val: float, seed: int) -> Tensor:
    """0, 1 or 2 for each of some things: those to learn from, to choose by, to test."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(7000 + seed))
    place = torch.empty(count, dtype=torch.long)
    place[order] = torch.arange(count)
    return (place >= train * count).long() + (place >= (train + val) * count).long()


def both_ways(edge_index: Tensor, kind: Tensor) -> tuple[Tensor, Tensor]:
    """Edges of kinds, each once, and the reverses of what is directed as kinds of their own.

    A node is no neighbour of itself.
    """
    apart = edge_index[0] != edge_index[1]
    rows = torch.cat([edge_index, kind.unsqueeze(0)])[:, apart].unique(dim=1)
    kinds = int(kind.max()) + 1 if len(kind) else 0
    turned = torch.stack([rows[1], rows[0], rows[2]])
    met = torch.cat([rows, turned], 1).unique(dim=1)[2].bincount(minlength=kinds)
    # As many edges with their reverses as without: the kind has both directions.
    directed = met > rows[2].bincount(minlength=kinds)
    turned[2] += kinds
    rows = torch.cat([rows, turned[:, directed[rows[2]]]], 1)
    return rows[:2], rows[2].unique(return_inverse=True)[1]


def standard(x: Tensor, kind: Tensor | None) -> Tensor:
    """Features with mean 0 and deviation 1 over the nodes of each kind."""
    kind = torch.zeros(len(x), dtype=torch.long) if kind is None else kind
    out = torch.zeros_like(x)
    for number in kind.unique():
        rows = x[kind == number]
        out[kind == number] = (rows - rows.mean(0)) / rows.std(0, correction=0).clamp(min=1e-4)
    return out.clamp(-10, 10)


def flat(graph: HeteroData, asked: dict[str, Tensor], without: Sequence[str] = ()) -> Data:
    """A graph of many kinds as one of a single kind, with features of each kind side by side.

    Args:
        graph (HeteroData): The graph.
        asked (dict): What is to be foreseen of the nodes of some kinds.
        without (sequence of str): Relations that tell the answer, by the word in the middle.
    """
    kinds = graph.node_types
    sizes = [int(graph[kind].num_nodes) for kind in kinds]
    width = [graph[kind].x.flatten(1).size(1) for kind in kinds]
    start = dict(zip(kinds, [sum(sizes[:i]) for i in range(len(sizes))], strict=True))
    # One more column for each kind, so that a layer knows it.
    blocks = [
        F.pad(torch.cat([graph[kind].x.float().flatten(1), torch.ones(size, 1)], 1), (left, right))
        for kind, size, left, right in zip(
            kinds,
            sizes,
            [sum(width[:i]) + i for i in range(len(width))],
            [sum(width[i + 1 :]) + len(width) - i - 1 for i in range(len(width))],
            strict=True,
        )
    ]
    links = [kind for kind in graph.edge_types if kind[1] not in without]
    moved = [
        graph[link].edge_index + torch.tensor([[start[link[0]]], [start[link[2]]]])
        for link in links
    ]
    count = torch.tensor([edges.size(1) for edges in moved])
    y = torch.full((sum(sizes),), torch.nan)
    for kind, values in asked.items():
        y[start[kind] : start[kind] + len(values)] = values.float()
    return Data(
        x=torch.cat(blocks),
        edge_index=torch.cat(moved, 1),
        edge_type=torch.arange(len(links)).repeat_interleave(count),
        node_type=torch.arange(len(kinds)).repeat_interleave(torch.tensor(sizes)),
        y=y,
    )


def plain(graph: Data, y: Tensor, x: Tensor | None = None) -> Data:
    """A graph of a single kind, with what is to be foreseen."""
    kind = torch.zeros(graph.edge_index.size(1), dtype=torch.long)
    x = graph.x if x is None else x
    return Data(x=x.detach(), edge_index=graph.edge_index, edge_type=kind, y=y.float())


def nearest(edge_index: Tensor, weight: Tensor, k: int) -> Tensor:
    """Of a node's edges the ``k`` of largest weight."""
    order = weight.argsort(descending=True, stable=True)
    order = order[edge_index[0, order].argsort(stable=True)]
    source = edge_index[0, order]
    first = torch.searchsorted(source, source)
    return edge_index[:, order[torch.arange(len(source)) - first < k]]


def fitted(model: nn.Module, x: Tensor, y: Tensor, seed: int, steps: int = 150) -> nn.Module:
    """A classifier after some steps of Adam, in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(steps):
        rows = torch.randint(len(y), (64,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return model.eval()
