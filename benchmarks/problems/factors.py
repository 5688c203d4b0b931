"""Graphs that hold several templates, and models that tell them apart."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from graphkit.train import GraphTask

__all__ = ["FactorTask"]


class FactorTask(GraphTask):
    """Classification of graphs by a model that also has an objective for its factors.

    Args:
        penalty (float): Weight of the factors' objective.
        *args, **kwargs: As in :class:`~graphkit.train.GraphTask`.
    """

    def __init__(self, penalty: float, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.penalty = penalty

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        out, factors = model(batch.x, batch.edge_index, batch.batch, return_factors=True)
        loss = self.criterion(out, batch.y) + self.penalty * factors.penalty
        return loss * 0.0 if batch.empty_share else loss
