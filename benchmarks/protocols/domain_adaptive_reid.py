"""Re-identification in a domain without labels: networks of another domain adapt by clusters.

The networks are trained on the source, then in rounds on the target's images. Arms: ``direct``,
the first network as the source left it; ``cluster``, that network on pseudo labels alone;
``teacher``, with its own moving average beside (SSKD of one peer); ``sskd``, three peers. All
begin with the same networks, see batches of the same size and cluster by the same rule.

``map_…``, ``rank1_…``: of other identities of the target, in the protocol of Market-1501.
``ami_…``: adjusted mutual information of clusters and identities after the last round,
``ami_first`` before the first. ``gain_map``, ``gain_rank1`` and ``gain_ami`` are those of ``sskd``
over ``cluster``. ``map``, the main metric, is ``map_sskd``.

Label repair is the downstream result, on the graph of ``sskd``'s last round. ``hard``: the share of
images whose cluster's most frequent identity is theirs, outliers being wrong; ``outlier_…`` of
outliers alone. ``repaired``: the same after PyG's CorrectAndSmooth on the k-reciprocal edges, whose
residuals are taken on images of which hard and soft label agree; ``relational``: after an R-GCN
over hard, soft and k-reciprocal relations, each label predicted without itself; ``soft``: by the
largest soft label, ``propagated``: by label propagation. ``repair`` and ``repair_relational`` are
the gains over ``hard``. ``homophily_…``: of the relations, by identity, and of
``k_reciprocal`` also among images of one camera and of two.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.label_repair import relational_labels, smoothed_labels
from benchmarks.problems.reid import (
    CHANNELS,
    Domains,
    agreement_with,
    augment,
    domains,
    encoder,
    scores,
)
from graphkit.adapters import PseudoLabelGraphAdapter
from graphkit.train import seed_everything
from graphkit.vision import SSKD, ClusteringRounds, DensityClusters, PseudoLabelTask

MAIN = "map"
ARMS: dict[str, dict[str, Any]] = {
    "cluster": {"peers": 1, "soft_weight": 0.0, "decay": 0.0},
    "teacher": {"peers": 1},
    "sskd": {"peers": 3},
}


def load(name: str = "digits", validation: bool = False, seed: int = 0) -> Domains:
    """The source, the target and other identities of the target."""
    return domains(name, validation, seed)


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    source_epochs: int = 4,
    steps: int = 50,
    rounds: int = 5,
    decay: float = 0.99,
    soft_weight: float = 0.5,
    metric_weight: float = 3.0,
    nuclear_weight: float = 1.5,
    share: float = 0.01,
    min_samples: int = 4,
    k1: int = 20,
    k2: int = 6,
    max_clusters: int = 400,
    arms: tuple[str, ...] = tuple(ARMS),
) -> dict[str, float]:
    """One seed; ``train`` is that of a round, whose epochs have ``steps`` steps each."""
    data = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    networks = learned(fit, data, source_epochs, steps, max_clusters)
    direct = SSKD(copy.deepcopy(networks[:1]), CHANNELS, max_clusters, peers=1)
    metrics = {f"{key}_direct": value for key, value in scores(direct, data.test).items()}
    shared = {"metric_weight": metric_weight, "nuclear_weight": nuclear_weight}
    for arm in arms:
        options = {"soft_weight": soft_weight, "decay": decay, **shared, **ARMS[arm]}
        seed_everything(seed + 1)
        model = SSKD(copy.deepcopy(networks[: options["peers"]]), CHANNELS, max_clusters, **options)
        cluster = DensityClusters(None, share, min_samples, k1, k2)
        stages = ClusteringRounds(cluster, rounds)
        task = PseudoLabelTask(data.target.x, augment, views=model.views, steps=steps)
        fit(model, task, [stages], tag=arm)
        metrics |= {f"{key}_{arm}": value for key, value in scores(model, data.test).items()}
        last = cluster(model.embed(data.target.x))
        metrics[f"ami_{arm}"] = agreement_with(last, data.target.identity)
        metrics["ami_first"] = agreement_with(stages.history[0], data.target.identity)
        if arm == "sskd":
            # The soft labels speak of the clusters of the round that trained them.
            metrics |= repaired(model, data, stages.history[-1], k1, k2)
    if "sskd" in arms:
        metrics["map"] = metrics["map_sskd"]
    if {"sskd", "cluster"} <= set(arms):
        for key in ("map", "rank1", "ami"):
            metrics[f"gain_{key}"] = metrics[f"{key}_sskd"] - metrics[f"{key}_cluster"]
    return metrics


def learned(
    fit: Fitter, data: Domains, epochs: int, steps: int, max_clusters: int
) -> list[nn.Module]:
    """Three networks trained on the source, at the same time and apart from each other."""
    model = SSKD(encoder(data.source.x.size(2)), CHANNELS, max_clusters, peers=3)
    names = data.source.identity.unique(return_inverse=True)[1]
    model.open(int(names.max()) + 1)
    task = PseudoLabelTask(data.source.x, augment, names, views=3, steps=steps)
    settings = {**fit.train, "epochs": epochs}
    first = Fitter(settings, fit.seed, fit.fabric, fit.folder, fit.resume, fit.watch)
    first(model, task, tag="source")
    return [peer.encoder for peer, _ in model.pairs]


def repaired(model: SSKD, data: Domains, label: Tensor, k1: int, k2: int) -> dict[str, float]:
    """Pseudo labels before and after message passing on the graph of the last round."""
    target = data.target
    graph = PseudoLabelGraphAdapter(model, k1=k1, k2=k2)(
        target.x, label, target.identity, target.camera
    )
    hard = torch.where(label >= 0, label, -1)
    soft = model.soft_labels(target.x)
    named = {
        "hard": hard,
        "soft": soft.argmax(1),
        **smoothed_labels(graph, hard, soft),
        "relational": relational_labels(graph, hard),
    }
    # A cluster stands for the identity that it holds most of, before any repair.
    meaning = majority(hard, target.identity, soft.size(1))
    outlier, metrics = hard < 0, {}
    for name, clusters in named.items():
        right = (clusters >= 0) & (meaning[clusters] == target.identity)
        metrics[f"labels_{name}"] = float(right.float().mean())
        if bool(outlier.any()):
            metrics[f"outlier_{name}"] = float(right[outlier].float().mean())
    metrics["repair"] = metrics["labels_repaired"] - metrics["labels_hard"]
    metrics["repair_relational"] = metrics["labels_relational"] - metrics["labels_hard"]
    metrics["outliers"] = float(outlier.float().mean())
    return metrics | homophilies(graph)


def majority(label: Tensor, truth: Tensor, count: int) -> Tensor:
    """The most frequent identity of every cluster, -1 of what is none."""
    names, place = truth.unique(return_inverse=True)
    table = torch.zeros(count, len(names))
    inside = label >= 0
    ones = torch.ones(int(inside.sum()))
    table.index_put_((label[inside], place[inside]), ones, accumulate=True)
    return torch.where(table.any(1), names[table.argmax(1)], -1)


def homophilies(graph: HeteroData) -> dict[str, float]:
    """Weighted shares of edges that join what belongs together, relation by relation."""
    image, near = graph["image"], graph["image", "k_reciprocal", "image"]
    source, target = near.edge_index
    same, camera = image.y[source] == image.y[target], image.camera[source] == image.camera[target]
    shares = {"homophily_k_reciprocal": mean(same, near.edge_weight)}
    for name, where in (("one_camera", camera), ("two_cameras", ~camera)):
        if bool(where.any()):
            shares[f"homophily_{name}"] = mean(same[where], near.edge_weight[where])
    for relation in ("hard", "soft"):
        store = graph["image", relation, "cluster"]
        weight = store.get("edge_weight", torch.ones(store.edge_index.size(1)))
        fits = graph["cluster"].y[store.edge_index[1]] == image.y[store.edge_index[0]]
        shares[f"homophily_{relation}"] = mean(fits, weight)
    return shares


def mean(values: Tensor, weight: Tensor) -> float:
    """A weighted mean."""
    return float((values * weight).sum() / weight.sum())
