"""Which pre-trained network to start from: every ranking of a zoo against measured transfer.

The truth is the zoo's table (``python -m benchmarks.zoo``): accuracy on each target, few labels,
of each source. ``rho_…`` is Spearman's correlation per target, averaged over targets, with
``low`` and ``high`` of its bootstrap interval; ``p_random_…`` is a permutation test against
chance; ``gain_…`` is the difference to popularity (each source's mean success on the other
targets), again with its interval; ``tau``, ``p1``, ``p5`` and ``mrr`` are Kendall's correlation,
P@1 and P@5 for five relevant sources, and the mean reciprocal rank. ``regret_…`` is the accuracy
that is lost by starting from the source that a ranking puts first; ``saved_…`` is popularity's
less this one, with its interval, and ``over_random_…`` the lower end of the interval of a random
choice's less this one. ``probe_rho_…`` and so on take linear probing as truth. Probes are of all
domains alike, those of ``own_…`` of the target's domain or graph alone. ``log_me``, ``h_score``
and ``leep`` see the target's few labels, the rest see no label. ``seed`` draws the probes and those
labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from benchmarks.zoo import graph_zoo
from benchmarks.zoo.images import image_zoo
from benchmarks.zoo.images.tasks import FILES, TASKS, probe_images, task
from benchmarks.zoo.measure import ZOOS, load_table
from graphkit.metrics import RankingRow, compare_rankings
from graphkit.transfer import (
    AttributionGraph,
    ModelSpace,
    attribute,
    cka,
    h_score,
    leep,
    log_me,
    rsa,
)

MAIN = "rho_depara"
MAPS = ("saliency", "epsilon_lrp")
Probed = dict[str, tuple[Tensor, Tensor]]
"""Attribution maps and features of the same probes, by model."""


def load(name: str, probes: int = 100) -> str:
    """The zoo of that name; ``probes`` are drawn from each of its domains, or graphs."""
    if name not in ZOOS:
        raise ValueError(f"there are the zoos {list(ZOOS)}, got {name!r}")
    return name


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    note_size: Callable[[nn.Module], None],
    method: str = "input_x_gradient",
    weight: float = 0.25,
    relevant: int = 5,
    truths: tuple[str, ...] = ("finetune", "probe"),
) -> dict[str, float]:
    """One draw of probes; ``weight`` is that of the edges in ``depara``.

    ``truths`` are parts of the zoo's table; figures of all but the first bear its name.
    """
    zoo, count = load(**dataset), dataset.get("probes", 100)
    models = networks(zoo)
    for model in models.values():
        note_size(model)
    scores = all_scores(zoo, models, count, seed, method, weight)
    metrics: dict[str, float] = {}
    for place, measure in enumerate(truths):
        truth = load_table(zoo, measure)[1]
        for row in compare_rankings(scores, truth, relevant, ks=(1, 5), seed=seed):
            stem = f"{measure}_" if place else ""
            metrics |= {f"{stem}{key}": value for key, value in figures(row).items()}
    return metrics


def figures(row: RankingRow) -> dict[str, float]:
    """A row of the table as metrics."""
    values = {
        "rho": row.spearman,
        "low": row.low,
        "high": row.high,
        "p_random": row.p_random,
        "gain_rho": row.gain,
        "gain_low": row.gain_low,
        "gain_high": row.gain_high,
        "tau": row.kendall,
        "p1": row.precision[1],
        "p5": row.precision[5],
        "mrr": row.mrr,
        "regret": row.regret,
        "saved": row.saved,
        "saved_low": row.saved_low,
        "saved_high": row.saved_high,
        "over_random": row.over_random,
    }
    return {f"{key}_{row.name}": value for key, value in values.items()}


def all_scores(
    zoo: str, models: dict[str, Any], count: int, seed: int, method: str, weight: float
) -> dict[str, Tensor]:
    """Every way of scoring the sources (columns) for the targets (rows)."""
    probes, nodes = probes_of(zoo, count, seed)
    graphs = {
        name: AttributionGraph.build(model, probes, method, nodes=nodes, neighbors=0)
        for name, model in models.items()
    }
    probed = {name: (graph.x, graph.feature) for name, graph in graphs.items()}
    scores = similarities(probed, weight)
    for name, score in on_own_probes(zoo, probed, count, weight).items():
        scores[f"own_{name}"] = score
    for other in MAPS:
        scores[other] = maps_alone(models, graphs, probes, nodes, other)
    for name, similarity in (("rsa", rsa), ("cka", cka)):
        scores[name] = pairwise([graph.feature for graph in graphs.values()], similarity)
    return scores | with_labels(zoo, models, seed)


def similarities(probed: Probed, weight: float) -> dict[str, Tensor]:
    """DEPARA's similarity of all pairs, at a weight and without one, and its parts."""
    space = ModelSpace()
    space.extend(probed)
    return {
        "depara": space.similarity(weight),
        "depara_ranks": space.similarity(how="ranks"),
        "depara_zscores": space.similarity(how="zscores"),
        "node": space.node,
        "edge": space.edge,
    }


def on_own_probes(zoo: str, probed: Probed, count: int, weight: float) -> dict[str, Tensor]:
    """The same, each target (row) on the ``count`` probes of its own domain or graph alone."""
    domains = tuple(FILES) if zoo == "images" else graph_zoo.GRAPHS
    if any(len(maps) != count * len(domains) for maps, _ in probed.values()):
        raise ValueError(f"'probes' must not be more than a domain or graph has, got {count}")
    by_method: dict[str, Tensor] = {}
    for place, domain in enumerate(domains):
        rows = slice(place * count, (place + 1) * count)
        part = {name: (maps[rows], features[rows]) for name, (maps, features) in probed.items()}
        in_domain = torch.tensor([domain_of(zoo, name) == domain for name in probed])
        for key, score in similarities(part, weight).items():
            by_method.setdefault(key, torch.zeros_like(score))[in_domain] = score[in_domain]
    return by_method


def domain_of(zoo: str, target: str) -> str:
    """What a target's images are of, or which graph it is on."""
    return TASKS[target][0] if zoo == "images" else target.rpartition("-")[0]


def networks(zoo: str) -> dict[str, nn.Module]:
    """The encoders of a zoo; their output are the features a new head sees."""
    if zoo == "images":
        return {name: image_zoo.pretrained(name).encoder for name in image_zoo.TASKS}
    budget = ZOOS[zoo].budget
    return {name: Embedding(graph_zoo.pretrained(name, budget)) for name in graph_zoo.TASKS}


class Embedding(nn.Module):
    """A graph encoder with the nonlinearity that its head sees."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.encoder(x, edge_index).relu()


def probes_of(zoo: str, count: int, seed: int) -> tuple[Tensor | Data, Tensor | None]:
    """The same number of probes from each domain, or of nodes from each graph."""
    if zoo == "images":
        return probe_images(count, seed), None
    parts = [graph_zoo.graph(name) for name in graph_zoo.GRAPHS]
    plain = [Data(x=p.x, edge_index=p.edge_index, num_nodes=p.num_nodes) for p in parts]
    batch = Batch.from_data_list(plain)
    generator = torch.Generator().manual_seed(seed)
    rows = [
        start + torch.randperm(part.num_nodes, generator=generator)[:count]
        for start, part in zip(batch.ptr.tolist(), parts, strict=False)
    ]
    return Data(x=batch.x, edge_index=batch.edge_index), torch.cat(rows)


def maps_alone(
    models: dict[str, nn.Module],
    graphs: dict[str, AttributionGraph],
    probes: Tensor | Data,
    nodes: Tensor | None,
    method: str,
) -> Tensor:
    """The predecessor of DEPARA: similarity of another method's maps."""
    space = ModelSpace()
    for name, model in models.items():
        maps = attribute(model, probes, method)
        maps = maps.mean(1).flatten(1) if nodes is None else maps[nodes]
        space.add(name, maps, graphs[name].feature)
    return space.node


def pairwise(features: list[Tensor], similarity: Callable[[Tensor, Tensor], float]) -> Tensor:
    """A similarity of all pairs."""
    table = torch.zeros(len(features), len(features))
    for i, first in enumerate(features):
        for j in range(i):
            table[i, j] = table[j, i] = similarity(first, features[j])
    return table


def with_labels(zoo: str, models: dict[str, nn.Module], seed: int) -> dict[str, Tensor]:
    """Scores that see the target's few labels."""
    names = list(models)
    kinds = ["log_me", "h_score", *(["leep"] if zoo == "images" else [])]
    scores = {kind: torch.zeros(len(names), len(names)) for kind in kinds}
    heads = {name: image_zoo.pretrained(name).head for name in names if "leep" in kinds}
    for row, target in enumerate(names):
        inputs, y = few_labels(zoo, target, seed)
        for column, source in enumerate(names):
            features = features_of(zoo, models[source], inputs)
            scores["log_me"][row, column] = log_me(features, y)
            scores["h_score"][row, column] = h_score(features, y, shrinkage=0.1)
            if source in heads:
                probabilities = F.softmax(heads[source](features), 1).detach()
                scores["leep"][row, column] = leep(probabilities, y)
    return scores


def few_labels(zoo: str, target: str, seed: int) -> tuple[Any, Tensor]:
    """A target's few labelled samples: images, or a graph and its nodes (or pairs of them)."""
    if zoo == "images":
        return image_zoo.few(task(target), ZOOS[zoo].budget, seed)[:2]
    name, _, kind = target.rpartition("-")
    data = graph_zoo.graph(name)
    where, y, *_ = graph_zoo.problem(kind, data, ZOOS[zoo].budget, seed)
    return (data, where), y


@torch.no_grad()
def features_of(zoo: str, model: nn.Module, inputs: Any) -> Tensor:
    """What a source makes of a target's samples."""
    if zoo == "images":
        return image_zoo.predictions(model, inputs)
    data, where = inputs
    return graph_zoo.picked(model(data.x, data.edge_index), where)
