"""Strategies against forgetting in the training loop, and what a performance matrix says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

import graphkit.continual
from benchmarks.harness.errors import RecipeError
from benchmarks.harness.keys import check_keys
from graphkit.continual import Strategy
from graphkit.metrics import (
    average_forgetting,
    average_performance,
    backward_transfer,
    forward_transfer,
)
from graphkit.train import Callback, Run
from graphkit.words import did_you_mean

__all__ = ["STRATEGIES", "BeforeStep", "make_strategy", "stream_metrics"]

STRATEGIES = ("TWP", "EWC", "MAS", "GEM", "LwF", "FineTune", "JointTrain")


class BeforeStep(Callback):
    """Lets a strategy change the gradient."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy

    def on_backward_end(self, run: Run) -> None:
        self.strategy.before_step()


def make_strategy(
    settings: dict[str, Any], model: nn.Module, names: Sequence[str] = STRATEGIES
) -> Strategy:
    """The strategy of a recipe's ``strategy`` section, one of some names, its keys checked."""
    settings = dict(settings)
    name = settings.pop("name", None)
    if name not in names:
        hint = did_you_mean(str(name), names)
        raise RecipeError(f"section 'strategy': unknown strategy {name!r}; {hint}")
    cls = getattr(graphkit.continual, name)
    check_keys("section 'strategy'", settings, cls, provided=("model",))
    return cls(model, **settings)


def stream_metrics(scores: Tensor, newest: str) -> dict[str, float]:
    """What is reported of scores before and after each task, ``[K + 1, K]``.

    Args:
        scores (torch.Tensor): The first row is that of the untrained model.
        newest (str): Name of the mean score of each task just after it was learned.
    """
    matrix = scores[1:]
    return {
        "average_performance": average_performance(matrix),
        "average_forgetting": average_forgetting(matrix),
        "forgetting_from_best": average_forgetting(matrix, best=True),
        "backward_transfer": backward_transfer(matrix),
        "forward_transfer": forward_transfer(matrix, scores[0]),
        newest: float(matrix.diagonal().mean()),
    }
