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


@pytest.mark.parametrize(
    ("options", "name"),
    [({"weight": -1.0}, "weight"), ({"samples": 0}, "samples"), ({"chunk": 0}, "chunk")],
)
def test_options_are_checked_by_name(options: dict, name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}'"):
        MAS(backbone("GCN"), **options)


def importances(tasks: int, **options: object) -> Tensor:
    """The importance of the first layer after so many tasks on the same graph."""
    mas = MAS(backbone("GCN").eval(), **options)
    for _ in range(tasks):
        mas.finish_task(losses_of_task(graph(), 0), output_of_task(graph(), 0))
    return mas.quadratic.weight["convs.0.lin.weight"]


def test_a_draw_is_seeded_and_another_in_every_task() -> None:
    one = importances(1, samples=2)
    assert torch.equal(one, importances(1, samples=2, seed=0))
    assert not torch.equal(one, importances(1, samples=2, seed=1))
    assert not torch.allclose(importances(2, samples=2), 2 * one)
    # Without a draw the second task is the first.
    torch.testing.assert_close(importances(2), 2 * importances(1))


def test_batches_count_by_their_samples_and_a_state_goes_round() -> None:
    model = backbone("GCN").eval()
    whole, parts, output = MAS(model), MAS(model), output_of_task(graph(), 0)
    losses = losses_of_task(graph(), 0)
    whole.finish_task(losses, output)
    parts.finish_task([losses] * 2, [lambda m: output(m)[:1], lambda m: output(m)[1:]])
    other = MAS(model)
    other.load_state_dict(parts.state_dict())
    wander(model)
    torch.testing.assert_close(parts.penalty(), whole.penalty())
    assert torch.equal(other.penalty(), parts.penalty())
    assert other.tasks == 1
    assert parts.penalty() > 0


def test_outputs_that_no_parameter_reaches_are_named() -> None:
    with pytest.raises(ValueError, match="do not depend on the model's parameters"):
        MAS(backbone("GCN")).finish_task(losses_of_task(graph(), 0), lambda model: torch.ones(2, 4))


def test_a_task_is_not_half_kept_where_a_parameter_is_gone() -> None:
    x = torch.randn(4, 2)
    model = nn.ModuleDict({"old": nn.Linear(2, 3), "new": nn.Linear(2, 3)})
    mas = MAS(model)
    mas.finish_task(lambda model: model["old"](x).sum(), lambda model: model["old"](x))
    before = {name: value.clone() for name, value in mas.quadratic.weight.items()}
    del model["old"]
    with pytest.raises(ValueError, match=r"parameter 'old\.weight' of shape .* is gone"):
        mas.finish_task(lambda model: model["new"](x).sum(), lambda model: model["new"](x))
    for name, value in mas.quadratic.weight.items():
        assert torch.equal(value, before[name])
