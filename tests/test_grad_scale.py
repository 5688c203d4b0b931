from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit.grad_scale import grad_scale

SCALES: list[float | Tensor] = [-1.0, 0.0, 2.5, 3, torch.tensor([[-2.0], [0.5]]), torch.tensor(4.0)]


def values(*, dtype: torch.dtype = torch.double) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, generator=generator, dtype=torch.double).to(dtype).requires_grad_()


def as_number(scale: float | Tensor) -> Tensor:
    return torch.as_tensor(scale, dtype=torch.double)


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_the_value_stays_and_the_gradient_is_scaled(scale: float | Tensor) -> None:
    x = values()
    y = grad_scale(x, scale)
    assert torch.equal(y, x)
    y.sin().sum().backward()
    torch.testing.assert_close(x.grad, x.detach().cos() * as_number(scale))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_wide_scale_widens_neither_value_nor_gradient(dtype: torch.dtype) -> None:
    x = values(dtype=dtype)
    y = grad_scale(x, torch.full((2, 1), 0.5, dtype=torch.double))
    y.sum().backward()
    assert y.dtype == dtype
    assert x.grad is not None
    assert x.grad.dtype == dtype


@pytest.mark.parametrize("odd", [float("inf"), float("nan")])
@pytest.mark.parametrize("scale", [0.0, torch.tensor(float("nan"))])
def test_what_is_not_finite_goes_through_and_harms_no_neighbour(
    odd: float, scale: float | Tensor
) -> None:
    x = torch.tensor([1.0, odd], requires_grad=True)
    y = grad_scale(x, scale)
    torch.testing.assert_close(y, x, equal_nan=True, rtol=0, atol=0)


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_second_derivatives_are_scaled_once_more(scale: float | Tensor) -> None:
    x = values()
    (first,) = torch.autograd.grad(grad_scale(x, scale).sin().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    torch.testing.assert_close(second, -x.detach().sin() * as_number(scale) ** 2)


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_forward_mode_is_scaled_alike(scale: float | Tensor) -> None:
    x = values().detach()
    value, tangent = torch.func.jvp(lambda t: grad_scale(t, scale), (x,), (torch.ones_like(x),))
    assert torch.equal(value, x)
    torch.testing.assert_close(tangent, torch.ones_like(x) * as_number(scale))


def test_forward_over_reverse() -> None:
    def gradient(x: Tensor) -> Tensor:
        return torch.func.grad(lambda t: grad_scale(t, -2.0).sin().sum())(x)

    x = values().detach()
    _, tangent = torch.func.jvp(gradient, (x,), (torch.ones_like(x),))
    torch.testing.assert_close(tangent, -4 * x.sin())


def test_per_sample_gradients_by_vmap() -> None:
    def loss(row: Tensor, scale: Tensor) -> Tensor:
        return grad_scale(row, scale).sin().sum()

    x, scale = values().detach(), torch.tensor([-1.0, 3.0], dtype=torch.double)
    gradient = torch.func.vmap(torch.func.grad(loss))(x, scale)
    torch.testing.assert_close(gradient, x.cos() * scale[:, None])


@pytest.mark.parametrize("scale", [-1.0, torch.tensor([[-2.0], [0.5]])], ids=str)
def test_compiled_without_a_break(scale: float | Tensor) -> None:
    def call(t: Tensor) -> Tensor:
        return grad_scale(t, scale).sin()

    x = values()
    y = torch.compile(call, fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(y, x.sin())
    y.sum().backward()
    torch.testing.assert_close(x.grad, x.detach().cos() * as_number(scale))


def test_compiled_forward_mode() -> None:
    def tangent(x: Tensor) -> Tensor:
        return torch.func.jvp(lambda t: grad_scale(t, -2.0).sin(), (x,), (torch.ones_like(x),))[1]

    x = values().detach()
    compiled = torch.compile(tangent, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), -2 * x.cos())


def test_compiled_infinity_goes_through() -> None:
    def call(t: Tensor) -> Tensor:
        return grad_scale(t, -1.0)

    x = torch.tensor([1.0, float("inf")], requires_grad=True)
    y = torch.compile(call, fullgraph=True, backend="aot_eager")(x)
    assert torch.equal(y, x)
    y[0].backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-1.0, 0.0]


def test_a_scale_that_learns_gets_no_gradient() -> None:
    x, scale = values(), torch.tensor(2.0, requires_grad=True)
    grad_scale(x, scale).sum().backward()
    assert scale.grad is None
    torch.testing.assert_close(x.grad, torch.full_like(x, 2.0))


@pytest.mark.parametrize("shape", [(3, 1), (1, 2, 3), (2,)])
def test_a_scale_that_would_change_the_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="'scale' must broadcast to 'x' \\[2, 3\\]"):
        grad_scale(values(), torch.ones(shape))


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="'scale' must be finite"):
        grad_scale(values(), scale)


def test_integers_are_refused() -> None:
    with pytest.raises(TypeError, match="'x' must be a floating tensor"):
        grad_scale(torch.arange(3), 1.0)


def test_whole_numbers_are_refused() -> None:
    with pytest.raises(TypeError, match=r"'x' must be a floating tensor, got torch\.int64"):
        grad_scale(torch.arange(3), 1.0)
