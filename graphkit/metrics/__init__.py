"""Metrics that torchmetrics, scikit-learn and ogb do not have, or have only elsewhere."""

__all__: list[str] = []
