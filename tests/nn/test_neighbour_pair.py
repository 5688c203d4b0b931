"""GraphSAGE's layer in one step equals dense algebra."""

from __future__ import annotations

import pytest
import torch

from graphkit.nn.neighbour_pair import neighbour_pair

# Two edges at once, a loop, a node without neighbours (4) and one that nobody hears (5).
EDGES = torch.tensor([[0, 1, 1, 2, 3, 3, 0], [1, 2, 2, 0, 0, 3, 5]])


def _inputs(bias: bool = True) -> list[torch.Tensor | None]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(6, 3), (2, 3), (2,), (2, 3)]
    drawn = [torch.randn(s, dtype=torch.float64, generator=generator) for s in shapes]
    return [x.requires_grad_() if bias or x.dim() == 2 else None for x in drawn]


def _dense(x, weight, bias, other, mean):
    adjacency = x.new_zeros(6, 6)
    adjacency.index_put_((EDGES[1], EDGES[0]), x.new_ones(7), accumulate=True)
    if mean:
        adjacency = adjacency / adjacency.sum(1, keepdim=True).clamp(min=1)
    out = adjacency @ x @ weight.t() + x @ other.t()
    return out if bias is None else out + bias


@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_those_of_dense_algebra(mean, bias):
    inputs = _inputs(bias)
    given = [value for value in inputs if value is not None]
    out, wanted = neighbour_pair(EDGES, *inputs, mean), _dense(*inputs, mean)
    torch.testing.assert_close(out, wanted)
    # As a sum hands it out, the gradient is one value in no memory of its own.
    for toward in (torch.ones(1, 1).double().expand(6, 2), torch.randn_like(wanted)):
        found = torch.autograd.grad(out, given, toward, retain_graph=True)
        expected = torch.autograd.grad(wanted, given, toward, retain_graph=True)
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("again", [False, True], ids=["first", "second order"])
@pytest.mark.parametrize("place", range(4))
def test_one_gradient_alone(place, again):
    inputs = [value.detach() for value in _inputs()]
    inputs[place].requires_grad_()
    grads = []
    for call in (lambda: neighbour_pair(EDGES, *inputs, True), lambda: _dense(*inputs, True)):
        (grad,) = torch.autograd.grad(call().square().sum(), inputs[place], create_graph=again)
        if again:
            (grad,) = torch.autograd.grad(grad.square().sum(), inputs[place])
        grads.append(grad)
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("mean", [True, False])
def test_gradients_have_gradients(mean):
    call = lambda *inputs: neighbour_pair(EDGES, *inputs, mean).square()  # noqa: E731
    assert torch.autograd.gradgradcheck(call, _inputs())


def test_features_that_do_not_lie_in_rows():
    inputs = _inputs()
    turned = inputs[0].detach().t().contiguous().t()
    assert not turned.is_contiguous()
    torch.testing.assert_close(
        neighbour_pair(EDGES, turned, *inputs[1:], True), _dense(*inputs, True)
    )


def test_an_index_beyond_the_nodes_is_said():
    with pytest.raises(IndexError, match="holds 6, but only"):
        neighbour_pair(torch.tensor([[0], [6]]), *_inputs(), True)
