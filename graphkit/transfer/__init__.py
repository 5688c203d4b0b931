"""Transferability: which model, and which layer of it, to start from, and what models look at."""

from graphkit.transfer.attribution import attribute
from graphkit.transfer.attribution_graph import AttributionGraph
from graphkit.transfer.baselines import cka, h_score, leep, log_me, rsa
from graphkit.transfer.depara import (
    combine,
    depara_similarity,
    edge_similarity,
    node_similarity,
    rank_layers,
    rank_models,
)
from graphkit.transfer.learned_attribution import LearnedAttribution
from graphkit.transfer.model_space import ModelSpace

__all__ = [
    "AttributionGraph",
    "LearnedAttribution",
    "ModelSpace",
    "attribute",
    "cka",
    "combine",
    "depara_similarity",
    "edge_similarity",
    "h_score",
    "leep",
    "log_me",
    "node_similarity",
    "rank_layers",
    "rank_models",
    "rsa",
]
