"""Metrics that torchmetrics, scikit-learn and ogb do not have, or have only elsewhere."""

from graphkit.metrics.classification import accuracy, micro_f1
from graphkit.metrics.continual import (
    average_forgetting,
    average_performance,
    backward_transfer,
    forward_transfer,
)
from graphkit.metrics.evaluator import Evaluator

__all__ = [
    "Evaluator",
    "accuracy",
    "average_forgetting",
    "average_performance",
    "backward_transfer",
    "forward_transfer",
    "micro_f1",
]
