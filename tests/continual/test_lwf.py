"""LwF: the distillation term spelled out, and its gradient, which the released one lacks."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from graphkit.continual import LwF
from graphkit.testing import ObjectiveSuite
from tests.continual.problems import backbone, graph, losses_of_task, output_of_task, wander


class TestContract(ObjectiveSuite):
    def make(self, model: nn.Module) -> LwF:
        lwf = LwF(model)
        lwf.finish_task(lambda model: model.sum(), columns=torch.tensor([0, 1]))
        return lwf

    def value(self, objective: LwF, model: nn.Module, x: Tensor, edge_index: Tensor) -> Tensor:
        objective.model = model
        return objective.penalty(output_fn=lambda model: model(x, edge_index))


def test_the_penalty_is_the_divergence_of_softened_old_outputs() -> None:
    model = backbone("GCN")
    lwf = LwF(model, weight=3.0, temperature=2.0)
    for task in range(2):
        lwf.finish_task(
            losses_of_task(graph(), task), columns=torch.tensor([2 * task, 2 * task + 1])
        )
    old = copy.deepcopy(model)
    wander(model)
    output = output_of_task(graph(), 1)
    p, q = (output(m).view(-1, 2, 2).div(2.0).softmax(-1) for m in (old, model))
    expected = 3.0 * (p * (p / q).log()).sum(-1).mean(0).sum()
    torch.testing.assert_close(lwf.penalty(output_fn=output), expected)


def test_the_gradient_reaches_the_model_and_not_the_teacher() -> None:
    model = backbone("GCN")
    lwf = LwF(model)
    lwf.finish_task(losses_of_task(graph(), 0))
    wander(model)
    lwf.penalty(output_fn=output_of_task(graph(), 1)).backward()
    assert any(bool(parameter.grad.any()) for parameter in model.parameters())
    assert lwf.teacher is not None
    assert all(parameter.grad is None for parameter in lwf.teacher.parameters())


def test_the_teacher_stays_what_the_model_was_and_is_one_for_all_tasks() -> None:
    model = backbone("GCN", dropout=0.5).train()
    lwf = LwF(model)
    lwf.finish_task(losses_of_task(graph(), 0))
    kept = lwf.teacher.convs[0].lin.weight.clone()
    wander(model)
    assert torch.equal(lwf.teacher.convs[0].lin.weight, kept)
    assert not lwf.teacher.training
    lwf.finish_task(losses_of_task(graph(), 1))
    assert torch.equal(lwf.teacher.convs[0].lin.weight, model.convs[0].lin.weight)
    assert len(lwf.groups) == 2


def test_errors_say_what_is_wrong() -> None:
    model = backbone("GCN")
    with pytest.raises(ValueError, match="'temperature'"):
        LwF(model, temperature=0.0)
    lwf = LwF(model)
    assert lwf.penalty().item() == 0.0
    lwf.finish_task(losses_of_task(graph(), 0))
    with pytest.raises(ValueError, match="output_fn"):
        lwf.penalty()
