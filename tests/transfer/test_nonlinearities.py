"""Rules stand in for every elementwise nonlinearity, however it is called."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.transfer.nonlinearities import (
    PLAIN,
    Nonlinearities,
    epsilon_rule,
    remember,
    rescale_rule,
    with_slope,
)

Z = torch.tensor([-2.0, -0.5, 0.0, 0.5, 2.0])
MODULES = [
    *(nn.ReLU(True), nn.ELU(0.5, True), nn.LeakyReLU(0.25, True), nn.Hardtanh(-0.25, 0.75, True)),
    *(nn.SiLU(True), nn.Mish(True), nn.CELU(0.5, True), nn.SELU(True), nn.Threshold(0.25, 3.0)),
    *(nn.GELU("tanh"), nn.Softplus(2.0, 1.0), nn.Hardshrink(1.0), nn.Softshrink(0.25), nn.Tanh()),
    *(nn.Sigmoid(), nn.Hardsigmoid(), nn.Hardswish(), nn.LogSigmoid(), nn.ReLU6(), nn.Softsign()),
    *(nn.Tanhshrink(), nn.PReLU(init=0.75)),
]


@pytest.mark.parametrize("module", MODULES, ids=lambda m: type(m).__name__)
def test_a_rule_gets_the_module_with_its_options(module: nn.Module) -> None:
    expected, seen = module(Z.clone()), []

    def rule(function, z: Tensor, call: int) -> Tensor:
        seen.append((z.clone(), call))
        return function(z)

    given = Z.clone()
    with Nonlinearities(rule):
        out = [module(given), module(given)]
    assert torch.equal(given, Z)  # Nothing is written in place.
    for found in out:
        torch.testing.assert_close(found, expected)
    assert [call for _, call in seen] == [0, 1]
    assert all(torch.equal(z, Z) for z, _ in seen)


@pytest.mark.parametrize("function", PLAIN, ids=lambda f: getattr(f, "__name__", str(f)))
def test_every_function_is_stood_in_for_and_left_as_it_is_outside(function) -> None:
    more = {
        F.threshold: (0.0, 1.0),
        torch.threshold_: (0.0, 1.0),
        F.prelu: (torch.ones(1),),
        torch.prelu: (torch.ones(1),),
        Tensor.prelu: (torch.ones(1),),
    }.get(function, ())
    with Nonlinearities(lambda function, z, call: z + 7):
        assert torch.equal(function(Z.clone(), *more), Z + 7)
        assert torch.equal(torch.sin(Z), Z.sin())
        assert torch.sum(Z.view(1, -1), dim=0, keepdim=True).shape == (1, 5)
    assert not torch.equal(function(Z.clone(), *more), Z + 7)


def test_inputs_come_by_place_or_by_name() -> None:
    with Nonlinearities(lambda function, z, call: 2 * function(z)):
        by_name = F.leaky_relu(input=Z, negative_slope=0.5)
        by_place = F.leaky_relu(Z, 0.5, False)
    assert torch.equal(by_name, by_place)
    assert torch.equal(by_place, 2 * F.leaky_relu(Z, 0.5))


def test_a_slope_takes_the_place_of_the_derivative() -> None:
    z = Z.clone().requires_grad_()
    out = with_slope(Z.square(), z, torch.full((5,), 3.0, requires_grad=True))
    assert torch.equal(out, Z.square())
    out.sum().backward()
    assert z.grad.tolist() == [3.0] * 5


def test_epsilon_has_the_sign_of_the_input() -> None:
    z = Z.clone().requires_grad_()
    with Nonlinearities(epsilon_rule(0.5)):
        torch.sigmoid(z).sum().backward()
    expected = Z.sigmoid() / (Z + torch.tensor([-0.5, -0.5, 0.5, 0.5, 0.5]))
    torch.testing.assert_close(z.grad, expected)


def test_inputs_are_remembered_without_their_graph() -> None:
    store: list[Tensor] = []
    z = Z.clone().requires_grad_()
    with Nonlinearities(remember(store)):
        out = torch.tanh(F.relu(z))
    assert torch.equal(out, Z.relu().tanh())
    assert [torch.equal(s, w) for s, w in zip(store, (Z, Z.relu()), strict=True)] == [True, True]
    assert not any(s.requires_grad for s in store)


def test_near_the_reference_the_slope_is_the_derivative() -> None:
    reference = Z + torch.tensor([1.0, 0.25, 0.0, 1e-7, -1.0])
    z = Z.clone().requires_grad_()
    with Nonlinearities(rescale_rule([reference])):
        out = torch.sigmoid(z)
    assert torch.equal(out, Z.sigmoid())
    out.sum().backward()
    gap = (Z - reference).double()
    slope = (Z.double().sigmoid() - reference.double().sigmoid()) / gap
    derivative = Z.sigmoid() * (1 - Z.sigmoid())
    expected = torch.where(gap.abs() < 1e-6, derivative.double(), slope).float()
    torch.testing.assert_close(z.grad, expected)


def test_a_gap_of_just_the_bound_is_no_neighbour() -> None:
    z = torch.tensor([0.5], requires_grad=True)
    with Nonlinearities(rescale_rule([torch.tensor([0.25])], tiny=0.25)):
        torch.sigmoid(z).sum().backward()
    slope = (torch.tensor(0.5).sigmoid() - torch.tensor(0.25).sigmoid()) / 0.25
    torch.testing.assert_close(z.grad, slope.view(1))


def test_away_from_the_reference_the_slope_is_that_of_the_chord() -> None:
    # Apart by 0, 2, and by less and no less than what is near.
    z = torch.tensor([1.0, 3.0, 1.1, 1.5]).double().requires_grad_()
    reference = torch.tensor([1.0, 1.0, 1.0, 1.0]).double()
    with Nonlinearities(rescale_rule([reference], tiny=0.5)):
        torch.sigmoid(z).sum().backward()
    value = z.detach().sigmoid()
    chord = (value - value[0]) / (z.detach() - 1)
    derivative = value * (1 - value)
    wanted = torch.stack([derivative[0], chord[1], derivative[2], chord[3]])
    torch.testing.assert_close(z.grad, wanted)
