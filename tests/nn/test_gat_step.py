"""A graph attention layer in one step equals dense algebra."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import leaky_relu

from graphkit.nn.gat_step import gat_step

# Two edges at once, a loop, a node without neighbours (4) and one that nobody hears (5).
EDGES = torch.tensor([[0, 1, 1, 2, 3, 3, 0, 4], [1, 2, 2, 0, 0, 3, 5, 0]])
HEADS, WIDTH, SLOPE = 2, 3, 0.2


def _inputs() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(6, 4), (HEADS * WIDTH, 4), (HEADS * WIDTH,), *[(1, HEADS, WIDTH)] * 2]
    drawn = [torch.randn(s, dtype=torch.float64, generator=generator) for s in shapes]
    return [value.requires_grad_() for value in drawn]


def _step(x, weight, bias, *ends, dropout=0.0):
    return gat_step(EDGES, x, weight, bias, ends, SLOPE, dropout)


def _dense(x, weight, bias, att_src, att_dst):
    hidden = (x @ weight.t()).view(6, HEADS, WIDTH)
    source, target = EDGES
    first, second = ((hidden * vector).sum(-1) for vector in (att_src, att_dst))
    score = leaky_relu(first[source] + second[target], SLOPE).exp()
    share = score / x.new_zeros(6, HEADS).index_add(0, target, score)[target]
    out = torch.zeros_like(hidden).index_add(0, target, share[..., None] * hidden[source])
    return out.flatten(1) + bias


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_those_of_dense_algebra(dtype):
    exact = _inputs()
    inputs = [value.detach().to(dtype).requires_grad_() for value in exact]
    out, wanted = _step(*inputs), _dense(*exact)
    torch.testing.assert_close(out, wanted.to(dtype))
    # As a sum hands it out, the gradient is one value in no memory of its own.
    drawn = torch.randn(6, 13).double()
    steps = (
        drawn[:, :6],
        drawn[:, ::2][:, :6],
        drawn[:1, :6].expand(6, 6),
        drawn[:6, :1].expand(6, 6),
    )
    for toward in (torch.ones(1, 1).double().expand(6, 6), torch.randn_like(wanted), *steps):
        found = torch.autograd.grad(out, inputs, toward.to(dtype), retain_graph=True)
        expected = torch.autograd.grad(wanted, exact, toward, retain_graph=True)
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b.to(dtype), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("again", [False, True], ids=["first", "second order"])
@pytest.mark.parametrize("place", range(5))
def test_one_gradient_alone(place, again):
    inputs = [value.detach() for value in _inputs()]
    inputs[place].requires_grad_()
    grads = []
    for call in (_step, _dense):
        out = call(*inputs).square().sum()
        (grad,) = torch.autograd.grad(out, inputs[place], create_graph=again)
        if again:
            (grad,) = torch.autograd.grad(grad.square().sum(), inputs[place])
        grads.append(grad)
    torch.testing.assert_close(*grads)


def test_gradients_of_any_order():
    inputs = _inputs()
    assert torch.autograd.gradcheck(_step, inputs, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(_step, inputs)


def test_inputs_that_depend_on_each_other():
    x, *_ = _inputs()
    found = []
    for call in (_step, _dense):
        weight = x.cos().mean() * torch.ones(HEADS * WIDTH, 4).double() + x[:1]
        ends = weight.view(1, HEADS, WIDTH, 4)[..., 0], weight.view(1, HEADS, WIDTH, 4)[..., 1]
        out = call(x, weight, weight[:, 2], *ends).square().sum()
        (grad,) = torch.autograd.grad(out, x, create_graph=True)
        found.append((grad, *torch.autograd.grad(grad.square().sum(), x)))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_what_is_handed_out_may_be_written_to():
    inputs = _inputs()
    out, wanted = _step(*inputs), _dense(*inputs)
    out.data.zero_()
    found, expected = (torch.autograd.grad(value.sum(), inputs) for value in (out, wanted))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_dropout_leaves_out_whole_weights_and_keeps_the_mean():
    inputs = [value.detach() for value in _inputs()]
    bias = inputs[2]
    torch.manual_seed(0)
    drawn = torch.stack([_step(*inputs, dropout=0.5) for _ in range(2000)]) - bias
    wanted = _dense(*inputs) - bias
    torch.testing.assert_close(drawn.mean(0), wanted, rtol=0, atol=0.15)
    # Node 5 hears one neighbour: twice its value, or nothing.
    alone = drawn[:, 5, :WIDTH]
    dropped = alone.abs().sum(1) < 1e-9
    torch.testing.assert_close(alone[~dropped], (2 * wanted[5, :WIDTH]).expand_as(alone[~dropped]))
    assert 0.4 < dropped.double().mean() < 0.6


def test_both_passes_drop_the_same():
    def seeded(*values):
        torch.manual_seed(3)
        return _step(*values, dropout=0.5)

    inputs = _inputs()
    assert not torch.equal(seeded(*inputs), _dense(*inputs))
    assert torch.autograd.gradcheck(seeded, inputs)


def test_what_is_wrong_is_said():
    x, *rest = _inputs()
    with pytest.raises(IndexError, match="holds 6, but only"):
        gat_step(torch.tensor([[0], [6]]), x, *rest[:2], tuple(rest[2:]), SLOPE, 0.0)
    with pytest.raises(ValueError, match="probability"):
        _step(x, *rest, dropout=1.5)
