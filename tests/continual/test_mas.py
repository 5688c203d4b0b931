"""MAS against the sensitivity of the outputs spelled out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from graphkit.continual import MAS
from graphkit.testing import ObjectiveSuite
from tests.continual.problems import backbone, graph, losses_of_task, output_of_task, wander


class TestContract(ObjectiveSuite):
    def make(self, model: nn.Module) -> MAS:
        x, edge_index = self.inputs(dtype=next(model.parameters()).dtype)
        mas = MAS(model)
        mas.finish_task(
            lambda model: model(x, edge_index).sum(), lambda model: model(x, edge_index)
        )
        return mas

    def learn(self, objective: MAS, model: nn.Module) -> None:
        x, edge_index = self.inputs(dtype=torch.float64)
        objective.model = model
        objective.finish_task(
            lambda model: model(x, edge_index).sum(), lambda model: model(x, edge_index)
        )

    def value(self, objective: MAS, model: nn.Module, x: Tensor, edge_index: Tensor) -> Tensor:
        objective.model = model
        return objective.penalty()


def test_importance_is_the_mean_absolute_sensitivity_of_the_tasks_columns() -> None:
    model = backbone("GAT").eval()
    mas = MAS(model, weight=0.5, chunk=4)
    output, columns = output_of_task(graph(), 0), torch.tensor([0, 1])
    mas.finish_task(losses_of_task(graph(), 0), output, columns)
    parameters = list(model.parameters())
    norms = output(model)[:, columns].square().sum(dim=1)
    total = [torch.zeros_like(parameter) for parameter in parameters]
    for norm in norms:
        for sum_, g in zip(
            total, torch.autograd.grad(norm, parameters, retain_graph=True), strict=True
        ):
            sum_ += g.abs()
    for found, one in zip(mas.quadratic.weight.values(), total, strict=True):
        torch.testing.assert_close(found, 0.5 * one / len(norms))


def test_importances_add_up_around_the_latest_parameters() -> None:
    model = backbone("GCN").eval()
    mas, alone = MAS(model), MAS(model)
    mas.finish_task(losses_of_task(graph(), 0), output_of_task(graph(), 0))
    first = {name: value.clone() for name, value in mas.quadratic.weight.items()}
    wander(model)
    mas.finish_task(losses_of_task(graph(), 1), output_of_task(graph(), 1))
    alone.finish_task(losses_of_task(graph(), 1), output_of_task(graph(), 1))
    assert mas.penalty().item() == 0.0
    for name, value in mas.quadratic.weight.items():
        torch.testing.assert_close(value, first[name] + alone.quadratic.weight[name])


def test_outputs_are_needed() -> None:
    with pytest.raises(ValueError, match="'output_fn'"):
        MAS(backbone("GCN")).finish_task(losses_of_task(graph(), 0))
