"""Metrics that torchmetrics, scikit-learn and ogb do not have, or have only elsewhere."""

from graphkit.metrics.agreement import intraclass_correlation
from graphkit.metrics.attribution import (
    deletion_area,
    energy_in_region,
    insertion_area,
    pointing_game,
)
from graphkit.metrics.classification import accuracy, micro_f1
from graphkit.metrics.continual import (
    average_forgetting,
    average_performance,
    backward_transfer,
    forward_transfer,
)
from graphkit.metrics.evaluator import Evaluator
from graphkit.metrics.factor_consistency import consistency_score
from graphkit.metrics.factor_edit_distance import FactorGED, factor_ged
from graphkit.metrics.frechet import frechet_distance
from graphkit.metrics.higher_order_tracking import hota, hota_curves
from graphkit.metrics.neighbours import NeighbourTest, neighbour_test
from graphkit.metrics.ranking import (
    kendall,
    mean_reciprocal_rank,
    precision_at_k,
    recall_at_k,
    regret,
    spearman,
)
from graphkit.metrics.ranking_table import RankingRow, compare_rankings, popularity
from graphkit.metrics.retrieval import RetrievalScores, retrieval_scores
from graphkit.metrics.scene_graphs import (
    distinct_share,
    hits_at_k,
    mean_class_recall,
    novelty,
    perplexity,
    relation_hits,
)
from graphkit.metrics.temporal_detection import temporal_map
from graphkit.metrics.tracking import clear_mot
from graphkit.metrics.transcripts import character_error_rate, lcs_pairs
from graphkit.metrics.two_sample import two_sample_accuracy
from graphkit.metrics.weisfeiler_lehman import wl_features, wl_mmd

__all__ = [
    "Evaluator",
    "FactorGED",
    "NeighbourTest",
    "RankingRow",
    "RetrievalScores",
    "accuracy",
    "average_forgetting",
    "average_performance",
    "backward_transfer",
    "character_error_rate",
    "clear_mot",
    "compare_rankings",
    "consistency_score",
    "deletion_area",
    "distinct_share",
    "energy_in_region",
    "factor_ged",
    "forward_transfer",
    "frechet_distance",
    "hits_at_k",
    "hota",
    "hota_curves",
    "insertion_area",
    "intraclass_correlation",
    "kendall",
    "lcs_pairs",
    "mean_class_recall",
    "mean_reciprocal_rank",
    "micro_f1",
    "neighbour_test",
    "novelty",
    "perplexity",
    "pointing_game",
    "popularity",
    "precision_at_k",
    "recall_at_k",
    "regret",
    "relation_hits",
    "retrieval_scores",
    "spearman",
    "temporal_map",
    "two_sample_accuracy",
    "wl_features",
    "wl_mmd",
]
