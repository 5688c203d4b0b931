"""Joint training adds the losses of all earlier tasks."""

from __future__ import annotations

import pytest
import torch

from graphkit.continual import JointTrain
from tests.continual.problems import backbone, graph, losses_of_task


def test_the_penalty_is_the_sum_of_the_mean_losses_of_earlier_tasks() -> None:
    model = backbone("GCN").eval()
    joint = JointTrain(model)
    assert joint.penalty().item() == 0.0
    first, second = losses_of_task(graph(), 0), losses_of_task(graph(), 1)
    joint.finish_task([lambda model: first(model)[:1], lambda model: first(model)[1:]])
    joint.finish_task(second)
    expected = first(model).mean() + second(model).mean()
    torch.testing.assert_close(joint.penalty(), expected)
    joint.penalty().backward()
    assert any(bool(parameter.grad.any()) for parameter in model.parameters())


def test_an_earlier_task_that_hangs_on_frozen_parameters_alone_is_a_constant() -> None:
    model = backbone("GCN").eval()
    joint, loss = JointTrain(model), losses_of_task(graph(), 0)
    joint.finish_task(loss)
    model.requires_grad_(False)
    torch.testing.assert_close(joint.penalty(), loss(model).mean())


def test_loss_functions_are_not_saved_in_silence() -> None:
    with pytest.raises(TypeError, match="cannot be saved"):
        JointTrain(backbone("GCN")).state_dict()
