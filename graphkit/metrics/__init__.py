"""Metrics that torchmetrics, scikit-learn and ogb do not have, or have only elsewhere."""

from graphkit.metrics.classification import accuracy, micro_f1
from graphkit.metrics.consistency_score import consistency_score
from graphkit.metrics.continual import (
    average_forgetting,
    average_performance,
    backward_transfer,
    forward_transfer,
)
from graphkit.metrics.evaluator import Evaluator
from graphkit.metrics.factor_ged import FactorGED, factor_ged
from graphkit.metrics.ranking import (
    kendall,
    mean_reciprocal_rank,
    precision_at_k,
    recall_at_k,
    spearman,
)
from graphkit.metrics.ranking_table import RankingRow, compare_rankings, popularity

__all__ = [
    "Evaluator",
    "FactorGED",
    "RankingRow",
    "accuracy",
    "average_forgetting",
    "average_performance",
    "backward_transfer",
    "compare_rankings",
    "consistency_score",
    "factor_ged",
    "forward_transfer",
    "kendall",
    "mean_reciprocal_rank",
    "micro_f1",
    "popularity",
    "precision_at_k",
    "recall_at_k",
    "spearman",
]
