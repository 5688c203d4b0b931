"""The contract of an objective, for a loss between a model and what it was."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from graphkit.distill import DistillationLoss, Distiller
from graphkit.testing import ObjectiveSuite


class LossSuite(ObjectiveSuite):
    """A test supplies :meth:`loss`; the first layer's features are compared."""

    runs_training_step = True
    not_claimed = {"state": "the teacher is the caller's, no state of the loss"}
    width = 6
    """Of the features that are compared."""

    def loss(self) -> DistillationLoss:
        raise NotImplementedError

    def make(self, model: nn.Module) -> Distiller:
        teacher = copy.deepcopy(model)
        distiller = Distiller(model, teacher, [("convs.0", "convs.0")], self.loss())
        return distiller.to(next(model.parameters()).dtype)

    def value(
        self, objective: Distiller, model: nn.Module, x: Tensor, edge_index: Tensor
    ) -> Tensor:
        objective(x, edge_index)
        return objective.penalty()
