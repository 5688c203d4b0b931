"""TWP: both variants, the real beta term, acceptance checks of the specification."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from graphkit.continual import EWC, TWP, FineTune, structure
from graphkit.testing import ObjectiveSuite, assert_no_trace
from tests.continual.problems import BACKBONES, backbone, graph, losses_of_task, wander


class TestContract(ObjectiveSuite):
    def make(self, model: nn.Module) -> TWP:
        x, edge_index = self.inputs(dtype=next(model.parameters()).dtype)
        twp = TWP(model, task_weight=10.0, topology_weight=1e-5)
        twp.finish_task(lambda model: model(x, edge_index).square().mean(dim=1))
        return twp

    def learn(self, objective: TWP, model: nn.Module) -> None:
        x, edge_index = self.inputs(dtype=torch.float64)
        objective.model = model
        objective.finish_task(lambda model: model(x, edge_index).square().mean(dim=1))

    def value(self, objective: TWP, model: nn.Module, x: Tensor, edge_index: Tensor) -> Tensor:
        objective.model = model
        return objective.penalty()


def l1_of_gradient(model: nn.Module, losses, task: int = 0) -> Tensor:
    loss = losses(model).mean()
    found = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    return torch.stack([g.abs().sum() for g in found if g is not None]).sum()


@pytest.mark.parametrize("name", list(BACKBONES))
def test_gradient_of_beta_agrees_with_finite_differences(name: str) -> None:
    model, losses, beta = backbone(name, act="elu"), losses_of_task(graph(), 0), 0.3
    twp = TWP(model, beta=beta)
    parameters = list(model.parameters())
    loss = losses(model).mean()
    penalty = twp.penalty(loss)
    torch.testing.assert_close(penalty, beta * l1_of_gradient(model, losses))
    found = torch.autograd.grad(penalty, parameters, materialize_grads=True, allow_unused=True)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        way = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
        values, step = [], 1e-6
        for sign in (1, -2):
            with torch.no_grad():
                for parameter, direction in zip(parameters, way, strict=True):
                    parameter += sign * step * direction
            values.append(l1_of_gradient(model, losses))
        with torch.no_grad():
            for parameter, direction in zip(parameters, way, strict=True):
                parameter += step * direction
        measured = beta * (values[0] - values[1]) / (2 * step)
        slope = sum((g * d).sum() for g, d in zip(found, way, strict=True))
        torch.testing.assert_close(slope, measured, rtol=1e-4, atol=1e-8)


def test_importance_is_that_of_the_paper() -> None:
    data, model = graph(), backbone("GAT")
    losses = losses_of_task(data, 0)
    twp = TWP(model, task_weight=3.0, topology_weight=0.5, relative=False)
    twp.finish_task(losses)
    model.eval()
    parameters = dict(model.named_parameters())
    loss = torch.autograd.grad(losses(model).mean(), list(parameters.values()))
    energy = 0.0
    h = data.x
    for conv in model.convs:
        out, (edges, alpha) = conv(h, data.edge_index, return_attention_weights=True)
        dense = torch.zeros(data.num_nodes, dtype=h.dtype)
        energy = energy + dense.index_add(0, edges[1], alpha.square().sum(1)).square().sum()
        h = out.relu()
    topology = torch.autograd.grad(
        energy, list(parameters.values()), allow_unused=True, materialize_grads=True
    )
    for name, g, t in zip(parameters, loss, topology, strict=True):
        torch.testing.assert_close(twp.quadratic.weight[name], 3.0 * g.abs() + 0.5 * t.abs())


def test_the_mean_over_batches_is_that_of_the_whole() -> None:
    data, model = graph(), backbone("GCN")
    losses = losses_of_task(data, 0)
    whole, parts = (TWP(model, topology_weight=0.0) for _ in range(2))
    whole.finish_task(losses)
    parts.finish_task([lambda model: losses(model)[:2], lambda model: losses(model)[2:]])
    for name, value in whole.quadratic.weight.items():
        torch.testing.assert_close(parts.quadratic.weight[name], value)


def test_released_stores_the_square_of_both_gradients_together() -> None:
    data, model = graph(), backbone("GAT", heads=2)
    losses = losses_of_task(data, 0)
    twp = TWP(model, task_weight=0.0, topology_weight=1.0, variant="released")
    twp.finish_task(losses)
    parameters = dict(model.named_parameters())
    loss = torch.autograd.grad(losses(model).mean(), list(parameters.values()))
    conv = model.convs[0]
    _, (_, alpha) = conv(data.x, data.edge_index, return_attention_weights=True)
    topology = torch.autograd.grad(
        alpha.norm(), list(parameters.values()), allow_unused=True, materialize_grads=True
    )
    for name, g, t in zip(parameters, loss, topology, strict=True):
        torch.testing.assert_close(twp.quadratic.weight[name], (g + t).square())
        if name.startswith("convs.1"):
            assert not t.any()


def test_released_counts_the_task_twice_and_beta_not_at_all() -> None:
    data, model = graph(), backbone("GAT")
    losses = losses_of_task(data, 0)
    parameters = list(model.parameters())
    gradients = {}
    for beta in (0.0, 5.0):
        twp = TWP(model, beta=beta, variant="released")
        loss = losses(model).mean()
        gradients[beta] = torch.autograd.grad(loss + twp.penalty(loss), parameters)
    plain = torch.autograd.grad(losses(model).mean(), parameters)
    for once, zero, five in zip(plain, gradients[0.0], gradients[5.0], strict=True):
        torch.testing.assert_close(zero, 2 * once)
        assert torch.equal(zero, five)


def test_released_takes_only_the_last_batch() -> None:
    model = backbone("GCN")
    first, last = losses_of_task(graph(), 0), losses_of_task(graph(), 1)
    both, alone = (TWP(model, variant="released") for _ in range(2))
    both.finish_task([first, last])
    alone.finish_task(last)
    for name, value in alone.quadratic.weight.items():
        assert torch.equal(both.quadratic.weight[name], value)


def test_released_without_topology_is_ewc_with_the_batch_gradient() -> None:
    model, losses = backbone("GCN"), losses_of_task(graph(), 0)
    twp = TWP(model, task_weight=7.0, topology_weight=0.0, variant="released")
    ewc = EWC(model, weight=7.0, fisher="batch")
    for strategy in (twp, ewc):
        strategy.finish_task(losses)
    for name, value in ewc.quadratic.weight.items():
        assert torch.equal(twp.quadratic.weight[name], value)


def test_uniform_attention_has_no_topological_importance() -> None:
    data, model = graph(), backbone("GAT")
    with torch.no_grad():
        for conv in model.convs:
            conv.att_src.zero_()
            conv.att_dst.zero_()
    twp = TWP(model, task_weight=0.0, topology_weight=1.0)
    twp.finish_task(losses_of_task(data, 0))
    for name, value in twp.quadratic.weight.items():
        if "att" not in name:
            assert value.abs().max() < 1e-12, name


def test_without_weights_it_is_fine_tuning_bit_for_bit() -> None:
    ends = []
    for make in (FineTune, lambda model: TWP(model, 0.0, 0.0, 0.0)):
        model = backbone("GCN").float()
        data = graph()
        data.x = data.x.float()
        strategy = make(model)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for task in range(2):
            losses = losses_of_task(data, task)
            for _ in range(5):
                optimizer.zero_grad()
                loss = losses(model).mean()
                (loss + strategy.penalty(loss)).backward()
                strategy.before_step()
                optimizer.step()
            strategy.finish_task(losses)
        ends.append([parameter.detach().clone() for parameter in model.parameters()])
    for one, other in zip(*ends, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", list(BACKBONES))
def test_every_backbone_keeps_its_first_task_better_than_fine_tuning(name: str) -> None:
    data, after = graph(), {}
    for label, weight in (("fine", 0.0), ("twp", 1e3)):
        model = backbone(name)
        twp = TWP(model, task_weight=weight, topology_weight=0.0)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
        first, second = losses_of_task(data, 0), losses_of_task(data, 1)
        twp.finish_task(first)
        before = first(model).mean().item()
        for _ in range(100):
            optimizer.zero_grad()
            (10 * second(model).mean() + twp.penalty()).backward()
            optimizer.step()
        after[label] = abs(first(model).mean().item() - before)
    assert after["twp"] < after["fine"]


def test_consolidation_runs_in_evaluation_mode_and_restores_every_mode() -> None:
    data = graph()
    model = backbone("GAT", dropout=0.5).train()
    model.convs[1].eval()
    with assert_no_trace(model):
        weights = []
        for _ in range(2):
            twp = TWP(model)
            twp.finish_task(losses_of_task(data, 0))
            weights.append(twp.quadratic.weight["convs.0.att_src"])
    assert torch.equal(*weights)
    assert model.training
    assert not model.convs[1].training


def test_finishing_many_tasks_keeps_the_first_term_centred() -> None:
    model, twp = backbone("GCN"), None
    twp = TWP(model, topology_weight=0.0)
    twp.finish_task(losses_of_task(graph(), 0))
    assert twp.penalty().item() == 0.0
    wander(model)
    at_first = twp.penalty().item()
    twp.finish_task(losses_of_task(graph(), 1))
    assert twp.penalty().item() == pytest.approx(at_first, rel=1e-9)
    assert twp.tasks == 2


def test_errors_say_what_is_wrong() -> None:
    model = backbone("GCN")
    with pytest.raises(ValueError, match=r"'beta'.*-1"):
        TWP(model, beta=-1.0)
    with pytest.raises(ValueError, match=r"'variant'.*'code'"):
        TWP(model, variant="code")
    with pytest.raises(ValueError, match=r"penalty\(loss\)"):
        TWP(model, beta=1.0).penalty()
    with pytest.raises(ValueError, match=r"penalty\(loss\)"):
        TWP(model, variant="released").penalty(torch.tensor(1.0))
    with pytest.raises(ValueError, match="topology_weight=0"):
        TWP(nn.Linear(2, 2)).finish_task(lambda model: model(torch.ones(3, 2)).sum(dim=1))


def test_every_run_of_a_shared_layer_counts() -> None:
    """One forward pass over two graphs in one loss: the sum of both topologies, not the last."""
    model = backbone("GCN")
    first, second = losses_of_task(graph(), 0), losses_of_task(graph(8, seed=2), 0)
    together, apart = (TWP(model, 0.0, topology_weight=1.0) for _ in range(2))
    together.finish_task(lambda model: torch.cat([first(model), second(model)]))
    apart.finish_task([first, second])
    for name, value in apart.quadratic.weight.items():
        torch.testing.assert_close(together.quadratic.weight[name], value)


@pytest.mark.parametrize("name", list(BACKBONES))
def test_relative_topology_is_the_absolute_one_over_the_norm(name: str) -> None:
    model, losses = backbone(name), losses_of_task(graph(), 0)
    found = []
    for relative in (False, True):
        twp = TWP(model, task_weight=0.0, topology_weight=1.0, relative=relative)
        twp.finish_task(losses)
        found.append(twp.quadratic.weight)
    with structure(model.eval()) as layers:
        losses(model)
    energy = sum(scores.energy() for scores in layers.scores())
    for key, absolute in found[0].items():
        torch.testing.assert_close(found[1][key] * energy, absolute)


def test_no_edges_have_no_topology() -> None:
    data, model = graph(), backbone("GIN")
    data.edge_index = data.edge_index[:, :0]
    for relative in (False, True):
        twp = TWP(model, task_weight=0.0, topology_weight=1.0, relative=relative)
        twp.finish_task(losses_of_task(data, 0))
        assert all(not value.any() for value in twp.quadratic.weight.values())


def test_a_model_that_the_topology_freezes_is_named() -> None:
    model, losses = backbone("GCN"), losses_of_task(graph(), 0)
    with pytest.warns(UserWarning, match="freezes the model: lower 'topology_weight', or take rel"):
        TWP(model, 1e-6, 1e6, relative=False).finish_task(losses)
    with pytest.warns(UserWarning, match="freezes the model: lower 'topology_weight'$"):
        TWP(model, 1e-6, 1e6).finish_task(losses)
    TWP(model).finish_task(losses)
    TWP(model, 0.0, 1.0).finish_task(losses)  # nothing is drowned that was not asked for


def test_the_released_program_has_its_own_weight() -> None:
    model = backbone("GCN")
    assert (TWP(model).task_weight, TWP(model).relative) == (100.0, True)
    assert TWP(model, variant="released").task_weight == 1e4
