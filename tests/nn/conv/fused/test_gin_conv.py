"""``FusedGINConv`` against PyG's ``GINConv``, and as a layer."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from torch import nn
from torch_geometric.nn import GINConv

from graphkit.nn import FusedGINConv
from graphkit.testing import DropInSuite
from tests.nn.conv.fused.twins import EDGES


class TestDropIn(DropInSuite):
    not_claimed = {"attention": "a convolution without attention"}
    pair_options: dict = {}

    def make(self, **options):
        return FusedGINConv(nn.Linear(8, 3), eps=0.3, train_eps=True, **options)

    def twin(self, **options):
        return GINConv(nn.Linear(8, 3), eps=0.3, train_eps=True, **options)


def test_the_kernel_serves():
    ours, pyg = FusedGINConv(nn.Linear(4, 3), eps=0.5), GINConv(nn.Linear(4, 3), eps=0.5)
    pyg.load_state_dict(ours.state_dict())
    x, more = torch.randn(5, 4, requires_grad=True), torch.randn(6, 4)
    calls = [((x, EDGES), {}), (((x, more), EDGES), {}), (((x, None), EDGES), {"size": (5, 7)})]
    expected = [pyg(*inputs, **named) for inputs, named in calls]
    with mock.patch.object(GINConv, "forward", side_effect=AssertionError("the slow way")):
        for (inputs, named), wanted in zip(calls, expected, strict=True):
            out = ours(*inputs, **named)
            torch.testing.assert_close(out, wanted)
            grads = [torch.autograd.grad(o.square().sum(), x)[0] for o in (out, wanted)]
            torch.testing.assert_close(*grads)


def test_a_dense_sum():
    layer, x = FusedGINConv(nn.Identity(), eps=0.25), torch.randn(5, 4, dtype=torch.float64)
    dense = torch.zeros(5, 5, dtype=torch.float64)
    dense.index_put_((EDGES[1], EDGES[0]), torch.ones((), dtype=torch.float64), True)
    torch.testing.assert_close(layer.double()(x, EDGES), dense @ x + 1.25 * x)
    batch = torch.stack([x, 2 * x])
    torch.testing.assert_close(layer(batch, EDGES)[1], 2 * layer(x, EDGES))


def test_a_wrong_index_or_size_is_named():
    layer, x = FusedGINConv(nn.Identity()), torch.randn(3, 4)
    with pytest.raises(IndexError, match=r"edge_index\[0\] holds 4"):
        layer(x, EDGES)
    with pytest.raises(ValueError, match="'size'"):
        layer((torch.randn(5, 4), torch.randn(5, 4)), EDGES, size=(5, 9))
