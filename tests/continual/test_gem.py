"""GEM: the projected gradient against a general solver, and what it promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from graphkit.continual import GEM
from graphkit.continual.gem import length, project
from tests.continual.problems import backbone, graph, losses_of_task


@pytest.mark.parametrize("margin", [0.0, 0.5])
@pytest.mark.parametrize("seed", range(4))
def test_projection_solves_the_quadratic_program(seed: int, margin: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    past = torch.randn(3, 7, generator=generator, dtype=torch.float64)
    present = torch.randn(7, generator=generator, dtype=torch.float64)
    rows, g = past.numpy(), present.numpy()
    gram, linear = rows @ rows.T, rows @ g
    solved = minimize(
        lambda v: 0.5 * v @ gram @ v + linear @ v,
        np.full(3, margin + 1.0),
        jac=lambda v: gram @ v + linear,
        bounds=[(margin, None)] * 3,
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-12, "maxiter": 5000},
    )
    expected = torch.from_numpy(g + rows.T @ solved.x)
    torch.testing.assert_close(project(present, past, margin), expected, rtol=1e-5, atol=1e-6)


def test_without_margin_it_is_the_nearest_gradient_that_harms_no_old_task() -> None:
    past = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    present = torch.tensor([-2.0, 3.0, 4.0], dtype=torch.float64)
    expected = torch.tensor([0.0, 3.0, 4.0], dtype=torch.float64)
    torch.testing.assert_close(project(present, past, 0.0), expected, rtol=0, atol=1e-6)


def test_equal_memories_are_no_trouble() -> None:
    past = torch.ones(3, 4)
    projected = project(-torch.ones(4), past, 0.0)
    assert bool((past @ projected > -1e-4).all())


def test_the_step_does_not_raise_the_loss_on_memories() -> None:
    data, model = graph(), backbone("GCN")
    gem = GEM(model, memories=4)
    first = losses_of_task(data, 0)
    gem.finish_task(first)
    (-first(model).mean()).backward()
    gem.before_step()
    parameters = gem.parameters()
    old = gem.memory_gradient(gem.kept[0], parameters)
    product = sum((old[name] * p.grad).sum() for name, p in parameters.items())
    assert product > -1e-8


def test_a_harmless_gradient_is_left_alone() -> None:
    data, model = graph(), backbone("GCN")
    gem = GEM(model)
    first = losses_of_task(data, 0)
    gem.finish_task(first)
    first(model).mean().backward()
    before = [parameter.grad.clone() for parameter in model.parameters()]
    gem.before_step()
    for parameter, grad in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter.grad, grad)


def test_memories_are_a_seeded_part_of_the_task() -> None:
    model, losses = backbone("GCN").eval(), losses_of_task(graph(), 0)
    gem = GEM(model, memories=3)
    gem.finish_task(losses)
    kept = gem.kept[0][0](model)
    assert kept.shape == (3,)
    assert set(kept.tolist()) <= set(losses(model).tolist())


def test_errors_say_what_is_wrong() -> None:
    model, losses = backbone("GCN"), losses_of_task(graph(), 0)
    with pytest.raises(ValueError, match=r"'memories'.*0"):
        GEM(model, memories=0)
    with pytest.raises(ValueError, match="memories=None"):
        GEM(model, memories=2).finish_task(lambda model: losses(model).mean())
    gem = GEM(model)
    gem.finish_task(losses)
    with pytest.raises(ValueError, match="after backward"):
        gem.before_step()
    with pytest.raises(TypeError, match="cannot be saved"):
        gem.state_dict()


class Weights(torch.nn.Module):
    """Three numbers, so that gradients can be written down."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(3))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4, 1e6])
def test_memories_of_any_scale_keep_their_constraints(scale: float) -> None:
    """At 10⁴ the second constraint was lost: the step kept -1/3 of the harmful direction."""
    model = Weights()
    gem = GEM(model, margin=0.0)
    gem.finish_task(lambda model: scale * model.w[0:1])
    gem.finish_task(lambda model: model.w[1:2])
    model.w.grad = torch.tensor([-1.0, -1.0, 1.0])
    gem.before_step()
    torch.testing.assert_close(model.w.grad, torch.tensor([0.0, 0.0, 1.0]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_projection_scales_with_the_gradient(scale: float) -> None:
    generator = torch.Generator().manual_seed(2)
    past = torch.randn(3, 7, generator=generator, dtype=torch.float64)
    present = -past.sum(0)
    plain, scaled = project(present, past, 0.0), project(scale * present, past, 0.0)
    torch.testing.assert_close(scaled / scale, plain)
    rows = project(present, past * torch.tensor([[scale], [1.0], [1 / scale]]), 0.0)
    torch.testing.assert_close(rows, plain, rtol=1e-6, atol=1e-8)


def test_nan_gradients_are_named_with_their_task_and_parameter() -> None:
    x = torch.ones(1, 2)
    model = torch.nn.Linear(2, 1)
    gem = GEM(model)
    gem.finish_task(lambda model: (model(x) - model(x)).abs().sqrt().view(-1))
    model(x).sum().backward()
    with pytest.raises(ValueError, match="memories of task 0 is not finite at parameter 'weight'"):
        gem.before_step()
    model.weight.grad.fill_(torch.nan)
    with pytest.raises(ValueError, match="present loss is not finite at parameter 'weight'"):
        gem.before_step()


def test_a_task_whose_parameters_are_frozen_is_no_constraint() -> None:
    model = torch.nn.ModuleList([torch.nn.Linear(2, 1) for _ in range(2)])
    x = torch.ones(3, 2)
    gem = GEM(model)
    gem.finish_task(lambda model: model[0](x).view(-1))
    model[0].requires_grad_(False)
    (-model[1](x).sum()).backward()
    before = model[1].weight.grad.clone()
    gem.before_step()
    assert torch.equal(model[1].weight.grad, before)


def test_lengths_of_rows_of_any_scale() -> None:
    rows = torch.tensor([[3e-200, 4e-200], [-3e200, 4e200], [0.0, 0.0]], dtype=torch.float64)
    wanted = torch.tensor([[5e-200], [5e200], [1.0]], dtype=torch.float64)
    torch.testing.assert_close(length(rows), wanted, atol=0, rtol=1e-12)


def test_options_at_their_bounds_and_draws_of_later_tasks() -> None:
    gem = GEM(backbone("GCN"), memories=1, margin=0.0)
    losses = losses_of_task(graph(40), 0)
    for _ in range(6):
        gem.finish_task(losses)
    kept = [task[0](gem.model) for task in gem.kept]
    assert [len(part) for part in kept] == [1] * 6
    assert len({part.item() for part in kept}) > 1, "every task has a draw of its own"
    assert (GEM(gem.model).memories, GEM(gem.model).margin) == (None, 0.5)
