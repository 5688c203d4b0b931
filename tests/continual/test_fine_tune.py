"""Fine-tuning adds nothing."""

from __future__ import annotations

import torch

from graphkit.continual import FineTune
from tests.continual.problems import backbone, graph, losses_of_task, wander


def test_the_penalty_is_zero_for_ever() -> None:
    model = backbone("GCN")
    strategy = FineTune(model)
    strategy.finish_task(losses_of_task(graph(), 0))
    wander(model)
    assert torch.equal(strategy.penalty(), torch.zeros((), dtype=torch.float64))
    other = FineTune(model)
    other.load_state_dict(strategy.state_dict())
    assert other.tasks == 1
