"""Re-identification without any label: consistency over views and over time, switched on and off.

An untrained network clusters images, learns the clusters, and clusters again. Arms: ``none``, the
network as it was drawn; ``cluster``, clustering alone; ``visual``, views agree; ``temporal``, with
the moving average; ``both``; ``ensemble``, views agree and predictions are remembered. All begin
with the same weights and see the same images in the same order.

``map_…``, ``rank1_…``: of other identities, in the protocol of Market-1501; ``map``, the main
metric, is ``map_both``. ``ami_…``: of clusters and identities after the last round, ``ami_first``
before the first. ``spread_…``: of the embeddings, 1 where they fill the sphere and 0 where they
have collapsed; ``views_…``: the mean cosine of two views of an image. ``over_none`` is the least
gain of an arm over ``none``, ``over_cluster_…`` that of an arm over clustering alone: mAP, paired.

``link`` is the downstream result, on the co-association graph of ``both``: the area under the ROC
curve of "same identity?" by a logistic regression of the edges' attributes, trained on pairs of
stable samples by their cluster now (no identity is looked at) and judged on edges of unstable ones
by identity, beside the cosine alone (``link_cosine``) and the frequency (``link_frequency``).
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import Tensor

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.reid import (
    CHANNELS,
    Domains,
    agreement_with,
    augment,
    domains,
    encoder,
    scores,
)
from graphkit.adapters import CoassociationGraphAdapter
from graphkit.train import seed_everything
from graphkit.vision import (
    ClusteringRounds,
    ConsistencyClustering,
    DensityClusters,
    PseudoLabelTask,
    embedding_spread,
)

MAIN = "map"
ARMS: dict[str, dict[str, Any]] = {
    "cluster": {"visual": False, "temporal": None},
    "visual": {"temporal": None},
    "temporal": {"visual": False},
    "both": {},
    "ensemble": {"temporal": "ensemble"},
}


def load(name: str = "omniglot", validation: bool = False, seed: int = 0) -> Domains:
    """Images without labels, and other identities of the same domain."""
    return domains(name, validation, seed)


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    steps: int = 50,
    rounds: int = 5,
    share: float = 0.005,
    min_samples: int = 4,
    k1: int = 20,
    k2: int = 6,
    max_clusters: int = 400,
    visual_weight: float = 1.0,
    temporal_weight: float = 1.0,
    scale: float = 10.0,
    arms: tuple[str, ...] = tuple(ARMS),
) -> dict[str, float]:
    """One seed; ``train`` is that of a round, whose epochs have ``steps`` steps each."""
    data = load(**{**dataset, "seed": seed})
    x = data.target.x
    seed_everything(seed)
    start = encoder(x.size(2))
    untrained = ConsistencyClustering(copy.deepcopy(start), CHANNELS, max_clusters)
    metrics = {f"{key}_none": value for key, value in scores(untrained, data.test).items()}
    metrics["views_none"] = same_views(untrained, data)
    for arm in arms:
        # The same weights and the same draws for every arm, so that differences are paired.
        seed_everything(seed + 1)
        model = ConsistencyClustering(
            copy.deepcopy(start),
            CHANNELS,
            max_clusters,
            len(x),
            **ARMS[arm],
            visual_weight=visual_weight,
            temporal_weight=temporal_weight,
            scale=scale,
        )
        cluster = DensityClusters(None, share, min_samples, k1, k2)
        stages = ClusteringRounds(cluster, rounds)
        fit(model, PseudoLabelTask(x, augment, steps=steps), [stages], tag=arm)
        metrics |= {f"{key}_{arm}": value for key, value in scores(model, data.test).items()}
        # The radius of the first round holds to the end.
        last = cluster(model.embed(x))
        metrics[f"ami_{arm}"] = agreement_with(last, data.target.identity)
        metrics["ami_first"] = agreement_with(stages.history[0], data.target.identity)
        metrics[f"spread_{arm}"] = float(embedding_spread(model.embed(x)))
        metrics[f"views_{arm}"] = same_views(model, data)
        if arm == "both":
            metrics |= links(model, data, torch.stack(stages.history), seed)
    metrics["over_none"] = min(metrics[f"map_{arm}"] for arm in arms) - metrics["map_none"]
    if "cluster" in arms:
        for arm in arms[1:]:
            metrics[f"over_cluster_{arm}"] = metrics[f"map_{arm}"] - metrics["map_cluster"]
    metrics["map"] = metrics[f"map_{'both' if 'both' in arms else arms[-1]}"]
    return metrics


def same_views(model: ConsistencyClustering, data: Domains) -> float:
    """The mean cosine of two views of an image."""
    generator = torch.Generator().manual_seed(0)
    first, second = (model.embed(augment(data.test.x, generator)) for _ in range(2))
    return float((first * second).sum(1).mean())


def links(
    model: ConsistencyClustering, data: Domains, history: Tensor, seed: int
) -> dict[str, float]:
    """Whether edges join one identity: of unstable samples, from what stable ones teach."""
    generator = torch.Generator().manual_seed(seed)
    views = [model.embed(augment(data.target.x, generator)) for _ in range(2)]
    graph = CoassociationGraphAdapter()(history, views[0], views[1], data.target.identity)
    source, target = graph.edge_index
    sure = (graph.stability == 1) & (graph.cluster >= 0)
    known = sure[source] & sure[target]
    now = graph.cluster[source] == graph.cluster[target]
    truth = graph.y[source] == graph.y[target]
    # Pairs of stable samples that were never together are no edges: strangers are drawn for them.
    rows = sure.nonzero().squeeze(1)
    metrics = {"stable": float(sure.float().mean())}
    if not len(rows) or bool(known.all()) or len(truth[~known].unique()) < 2:
        return metrics
    pairs = rows[torch.randint(len(rows), (2, int(known.sum())), generator=generator)]
    strangers = pairs[:, graph.cluster[pairs[0]] != graph.cluster[pairs[1]]]
    cosine = (graph.x[strangers[0]] * graph.x[strangers[1]]).sum(1)
    across = (views[0][strangers[0]] * views[1][strangers[1]]).sum(1)
    apart = torch.stack([torch.zeros_like(cosine), cosine, across], 1)
    near = graph.edge_attr[known & now]
    # How often they met tells the two kinds apart by definition; only cosines can be learned from.
    learner = LogisticRegression().fit(
        torch.cat([near, apart])[:, 1:].numpy(), [1] * len(near) + [0] * len(apart)
    )
    attributes, wanted = graph.edge_attr[~known], truth[~known].numpy()
    belief = learner.predict_proba(attributes[:, 1:].numpy())[:, 1] * attributes[:, 0].numpy()
    named = {"link": belief, "link_frequency": attributes[:, 0], "link_cosine": attributes[:, 1]}
    return metrics | {name: float(roc_auc_score(wanted, score)) for name, score in named.items()}
