"""A transformer's layer in one step equals dense algebra."""

from __future__ import annotations

import pytest
import torch

from graphkit.nn.transformer_step import transformer_step

# Two edges at once, a loop, a node without neighbours (4) and one that nobody hears (5).
EDGES = torch.tensor([[0, 1, 1, 2, 3, 3, 0, 4], [1, 2, 2, 0, 0, 3, 5, 0]])
HEADS, WIDTH = 2, 3


def _inputs(skip: bool = True, bias: bool = True) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(6, 4)] + [(HEADS * WIDTH, 4), (HEADS * WIDTH,)] * (4 if skip else 3)
    drawn = [torch.randn(s, dtype=torch.float64, generator=generator) for s in shapes]
    return [x.requires_grad_() for x in drawn if bias or x.dim() == 2]


def _maps(rest, bias=True):
    return list(zip(rest[::2], rest[1::2], strict=True)) if bias else [(w, None) for w in rest]


def _step(x, *rest, bias=True, dropout=0.0):
    return transformer_step(EDGES, x, _maps(rest, bias), HEADS, dropout)


def _dense(x, *rest, bias=True):
    query, key, value, *skip = (torch.nn.functional.linear(x, *pair) for pair in _maps(rest, bias))
    query, key, value = (part.view(6, HEADS, WIDTH) for part in (query, key, value))
    source, target = EDGES
    score = (query[target] * key[source]).sum(-1) / WIDTH**0.5
    total = x.new_zeros(6, HEADS).index_add(0, target, score.exp())
    weight = score.exp() / total[target]
    out = x.new_zeros(6, HEADS, WIDTH).index_add(0, target, weight[..., None] * value[source])
    return sum(skip, out.flatten(1))


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_those_of_dense_algebra(skip, bias):
    inputs = _inputs(skip, bias)
    out, wanted = _step(*inputs, bias=bias), _dense(*inputs, bias=bias)
    torch.testing.assert_close(out, wanted)
    # As a sum hands it out, the gradient is one value in no memory of its own.
    for toward in (torch.ones(1, 1).double().expand(6, 6), torch.randn_like(wanted)):
        found = torch.autograd.grad(out, inputs, toward, retain_graph=True)
        expected = torch.autograd.grad(wanted, inputs, toward, retain_graph=True)
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("place", range(9))
def test_one_gradient_alone(place):
    inputs = [value.detach() for value in _inputs()]
    inputs[place].requires_grad_()
    (found,) = torch.autograd.grad(_step(*inputs).square().sum(), inputs[place])
    (expected,) = torch.autograd.grad(_dense(*inputs).square().sum(), inputs[place])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("skip", [True, False])
def test_gradients_have_gradients(skip):
    inputs = _inputs(skip)
    found = []
    for call in (_step, _dense):
        grads = torch.autograd.grad(call(*inputs).square().sum(), inputs, create_graph=True)
        found.append(torch.autograd.grad(sum(grad.square().sum() for grad in grads), inputs))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_what_is_handed_out_may_be_written_to():
    inputs = _inputs(skip=False)
    out, wanted = _step(*inputs), _dense(*inputs)
    out.data.zero_()
    for a, b in zip(
        torch.autograd.grad(out.sum(), inputs), torch.autograd.grad(wanted.sum(), inputs),
        strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(a, b)


def test_dropout_leaves_out_whole_weights_and_keeps_the_mean():
    inputs = [value.detach() for value in _inputs(skip=False)]
    torch.manual_seed(0)
    drawn = torch.stack([_step(*inputs, dropout=0.5) for _ in range(2000)])
    torch.testing.assert_close(drawn.mean(0), _dense(*inputs), rtol=0, atol=0.15)
    # Node 5 hears one neighbour: twice its value, or nothing.
    alone = _dense(*inputs)[5, :WIDTH]
    dropped = drawn[:, 5, :WIDTH].abs().sum(1) == 0
    kept = drawn[~dropped][:, 5, :WIDTH]
    torch.testing.assert_close(kept, (2 * alone).expand_as(kept))
    assert 0.4 < dropped.double().mean() < 0.6


def test_what_is_wrong_is_said():
    x, *rest = _inputs()
    with pytest.raises(IndexError, match="holds 6, but only"):
        transformer_step(torch.tensor([[0], [6]]), x, _maps(rest), HEADS, 0.0)
    with pytest.raises(ValueError, match="probability"):
        _step(x, *rest, dropout=1.5)
