"""EWC against the Fisher information spelled out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from graphkit.continual import EWC
from graphkit.testing import ObjectiveSuite
from tests import torchvision_networks
from tests.continual.problems import backbone, graph, losses_of_task


class TestContract(ObjectiveSuite):
    def make(self, model: nn.Module) -> EWC:
        x, edge_index = self.inputs(dtype=next(model.parameters()).dtype)
        ewc = EWC(model, weight=10.0)
        ewc.finish_task(lambda model: model(x, edge_index).square().mean(dim=1))
        return ewc

    def learn(self, objective: EWC, model: nn.Module) -> None:
        x, edge_index = self.inputs(dtype=torch.float64)
        objective.model = model
        objective.finish_task(lambda model: model(x, edge_index).square().mean(dim=1))

    def value(self, objective: EWC, model: nn.Module, x: Tensor, edge_index: Tensor) -> Tensor:
        objective.model = model
        return objective.penalty()


def fisher(model: nn.Module, losses: Tensor) -> list[Tensor]:
    parameters = list(model.parameters())
    total = [torch.zeros_like(parameter) for parameter in parameters]
    for loss in losses:
        for sum_, g in zip(
            total, torch.autograd.grad(loss, parameters, retain_graph=True), strict=True
        ):
            sum_ += g.square()
    return [value / len(losses) for value in total]


def test_fisher_information_is_the_mean_square_over_samples_of_all_batches() -> None:
    model = backbone("GAT").eval()
    first, second = losses_of_task(graph(), 0), losses_of_task(graph(8, seed=2), 1)
    ewc = EWC(model, weight=2.0, chunk=3)
    ewc.finish_task([first, second])
    expected = fisher(model, torch.cat([first(model), second(model)]))
    for found, one in zip(ewc.quadratic.weight.values(), expected, strict=True):
        torch.testing.assert_close(found, 2.0 * one)


def test_a_draw_of_samples_is_seeded_and_smaller() -> None:
    model = backbone("GCN").eval()
    losses = losses_of_task(graph(), 0)
    weights = []
    for seed in (0, 0, 1):
        ewc = EWC(model, samples=2, seed=seed)
        ewc.finish_task(losses)
        weights.append(ewc.quadratic.weight["convs.0.lin.weight"])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_batch_form_is_the_square_of_the_mean_gradient() -> None:
    model = backbone("GCN").eval()
    losses = losses_of_task(graph(), 0)
    ewc = EWC(model, weight=1.0, fisher="batch")
    ewc.finish_task(losses)
    wanted = torch.autograd.grad(losses(model).mean(), list(model.parameters()))
    for found, one in zip(ewc.quadratic.weight.values(), wanted, strict=True):
        torch.testing.assert_close(found, one.square())


def test_errors_say_what_is_wrong() -> None:
    model = backbone("GCN")
    for kwargs in ({"samples": 0}, {"chunk": 0}, {"weight": -1.0}, {"fisher": "exact"}):
        with pytest.raises(ValueError, match=f"'{next(iter(kwargs))}'"):
            EWC(model, **kwargs)
    losses = losses_of_task(graph(), 0)
    with pytest.raises(ValueError, match="reduction='none'"):
        EWC(model).finish_task(lambda model: losses(model).mean())


@pytest.mark.vision
@pytest.mark.parametrize("name", ["resnet", "squeezenet"])
def test_fisher_information_of_a_torchvision_network(name: str) -> None:
    model, x = torchvision_networks.network(name), torchvision_networks.images()
    y = torch.tensor([0, 3, 1])

    def losses(model: nn.Module) -> Tensor:
        return nn.functional.cross_entropy(model(x), y, reduction="none")

    ewc = EWC(model, weight=2.0)
    ewc.finish_task(losses)
    expected = fisher(model, losses(model))
    for found, one in zip(ewc.quadratic.weight.values(), expected, strict=True):
        torch.testing.assert_close(found, 2.0 * one)
    assert ewc.penalty().item() == 0.0


def test_a_second_task_adds_another_draw_around_its_own_parameters() -> None:
    model = backbone("GCN").eval()
    losses = losses_of_task(graph(), 0)
    ewc, once, everything = (EWC(model, samples=size) for size in (2, 2, None))
    once.finish_task(losses)
    for one in (ewc, everything):
        one.finish_task(losses)
        one.finish_task(losses)
    name = "convs.0.lin.weight"
    assert not torch.allclose(ewc.quadratic.weight[name], 2 * once.quadratic.weight[name])
    other = EWC(model)
    other.load_state_dict(everything.state_dict())
    assert (other.tasks, other.weight) == (2, 1e4)
    with torch.no_grad():
        model.convs[0].lin.weight += 0.1
    assert torch.equal(other.penalty(), everything.penalty())
    assert other.penalty() > 0
