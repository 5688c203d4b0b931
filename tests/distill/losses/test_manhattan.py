"""Manhattan lengths in chunks against the direct form."""

import pytest
import torch

from graphkit.distill.losses import manhattan
from tests.distill.oracles import random_graph


@pytest.mark.parametrize("entries", [1, 7, 1 << 20, "kernel"])
def test_value_and_gradient_do_not_depend_on_the_chunk(entries, monkeypatch):
    if entries != "kernel":
        monkeypatch.setattr(manhattan, "ENTRIES", entries)
        monkeypatch.setattr(manhattan, "_in_kernel", lambda x: False)
    x = torch.randn(9, 3, dtype=torch.double, requires_grad=True)
    edge_index, weight = random_graph(9, 40), torch.randn(40, dtype=torch.double)
    found = manhattan.manhattan(x, edge_index)
    wanted = (x[edge_index[0]] - x[edge_index[1]]).abs().sum(-1)
    torch.testing.assert_close(found, wanted)
    grads = [torch.autograd.grad((v * weight).sum(), x)[0] for v in (found, wanted)]
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equal_rows_strides_and_sorted_edges(dtype):
    """Where two features are equal the derivative is 0, as PyTorch has it."""
    x = torch.randint(3, (12, 40), dtype=dtype)[:, ::2].requires_grad_()
    edge_index = random_graph(12, 200)
    for edges in (edge_index, edge_index[:, edge_index[1].argsort()], edge_index.int()):
        found = manhattan.manhattan(x, edges)
        wanted = (x[edges[0].long()] - x[edges[1].long()]).abs().sum(-1)
        torch.testing.assert_close(found, wanted)
        grads = [torch.autograd.grad(v.sum(), x)[0] for v in (found, wanted)]
        torch.testing.assert_close(*grads)


def test_second_derivatives_are_refused():
    x = torch.randn(4, 2, dtype=torch.double, requires_grad=True)
    length = manhattan.manhattan(x, random_graph(4, 6)).square().sum()
    (grad,) = torch.autograd.grad(length, x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        grad.sum().backward()


def test_no_edges():
    length = manhattan.manhattan(torch.randn(4, 2), torch.empty(2, 0, dtype=torch.long))
    assert length.shape == (0,)
