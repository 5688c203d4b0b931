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

__all__ = [
    "Evaluator",
    "FactorGED",
    "accuracy",
    "average_forgetting",
    "average_performance",
    "backward_transfer",
    "consistency_score",
    "factor_ged",
    "forward_transfer",
    "micro_f1",
]
