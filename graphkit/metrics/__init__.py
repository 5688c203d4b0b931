"""Metrics that torchmetrics, scikit-learn and ogb do not have, or have only elsewhere."""

from graphkit.metrics.classification import accuracy, micro_f1
from graphkit.metrics.evaluator import Evaluator

__all__ = ["Evaluator", "accuracy", "micro_f1"]
