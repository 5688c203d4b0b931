"""Eight heads of eight in single precision, beside the definition in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit import ops
from graphkit.nn.gat_step import gat_step
from graphkit.ops.attention import self_attention
from graphkit.ops.cpu.kernels.blocks import BLOCK

HEADS = WIDTH = 8
# Of no entries, of as many as a block holds, of one more, and of several blocks.
LENGTHS = (0, 1, 4, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5)
NODES = 3 * len(LENGTHS)


def edges_of(transposed: bool) -> Tensor:
    """Rows of these lengths, in no order; the other ends are any nodes."""
    rows = torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS))
    generator = torch.Generator().manual_seed(0)
    others = torch.randint(0, NODES, rows.shape, generator=generator)
    edges = torch.stack([rows, others] if transposed else [others, rows])
    return edges[:, torch.randperm(edges.size(1), generator=generator)]


def drawn(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def both(call, values: list[Tensor], seed: int = 4) -> list[list[Tensor]]:
    """What a call gives, and its gradients: in single precision by the kernel, then as defined."""
    found = []
    for name, dtype in (("numba", torch.float32), ("reference", torch.float64)):
        inputs = [value.to(dtype).requires_grad_() for value in values]
        torch.manual_seed(seed)
        with ops.backend(name):
            out = call(*inputs)
        (toward,) = drawn(tuple(out.shape))
        grads = torch.autograd.grad(out, inputs, toward.to(dtype))
        found.append([value.float() for value in (out, *grads)])
    return found


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_rows_of_any_length(transposed, dropout, batch):
    edges = edges_of(transposed)
    values = drawn((*batch, NODES, HEADS, WIDTH), (1, HEADS, WIDTH), (1, HEADS, WIDTH))
    found, wanted = both(lambda *v: self_attention(edges, *v, 0.2, dropout), values)
    for value, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(value, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_scores_from_elsewhere(dropout):
    edges = edges_of(False)
    values = drawn((NODES, HEADS, WIDTH), (NODES, HEADS), (NODES, HEADS))
    found, wanted = both(lambda *v: ops.gat_attention(edges, *v, 0.2, dropout, True), values)
    for value, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(value, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_bias_is_added_and_heard(transposed, dropout):
    edges = edges_of(transposed)
    features, bias = HEADS * WIDTH, (HEADS * WIDTH,)
    shapes = ((NODES, 5), (features, 5), bias, (1, HEADS, WIDTH), (1, HEADS, WIDTH))

    def layer(x: Tensor, weight: Tensor, bias: Tensor, *ends: Tensor) -> Tensor:
        return gat_step(edges, x, weight, bias, ends, 0.2, dropout)

    found, wanted = both(layer, drawn(*shapes))
    for value, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(value, other, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize(("score", "share"), [(-torch.inf, 0.0), (1e30, 1.0), (-1e30, 1.0)])
def test_scores_at_the_ends_of_the_scale(score, share):
    """All scores alike: their mean; all minus infinity: nothing."""
    edges = torch.tensor([[0, 1], [2, 2]])
    (x,) = drawn((3, HEADS, WIDTH))
    far = torch.full((3, HEADS), score)
    out = ops.gat_attention(edges, x, far, torch.zeros(3, HEADS), 0.2)
    torch.testing.assert_close(out[2], share * (x[0] + x[1]) / 2)
    assert (out[:2] == 0).all()


def test_nan_stays_in_its_row():
    edges = edges_of(False)
    (x,) = drawn((NODES, HEADS, WIDTH))
    near = torch.zeros(NODES, HEADS)
    near[2, 5] = torch.nan
    out = ops.gat_attention(edges, x, torch.zeros(NODES, HEADS), near, 0.2)
    assert out.isnan().any(-1).nonzero().tolist() == [[2, 5]]


def test_what_a_single_neighbour_weighs_cannot_change():
    """Its weight is 1: gradients of scores are 0, not what rounding leaves of a difference."""
    edges = torch.stack([torch.arange(NODES), torch.arange(NODES).roll(1)])
    x, far, near, toward = drawn(
        (NODES, HEADS, WIDTH), *[(NODES, HEADS)] * 2, (NODES, HEADS, WIDTH)
    )
    inputs = [far.requires_grad_(), near.requires_grad_()]
    out = ops.gat_attention(edges, 100 * x, *inputs, 0.2)
    for grad in torch.autograd.grad(out, inputs, toward):
        assert (grad == 0).all()
