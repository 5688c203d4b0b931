"""``FusedSAGEConv`` against PyG's ``SAGEConv``, and as a layer."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from torch import nn
from torch_geometric.nn import SAGEConv

from graphkit.nn import FusedSAGEConv
from graphkit.testing import DropInSuite
from tests.nn.conv.fused.twins import EDGES


class TestDropIn(DropInSuite):
    not_claimed = {"attention": "a convolution without attention"}
    pair_options: dict = {}

    def make(self, **options):
        return FusedSAGEConv(8, 3, **options)

    def twin(self, **options):
        return SAGEConv(8, 3, **options)


class TestOtherOptions(TestDropIn):
    OPTIONS = {"normalize": True, "project": True, "root_weight": False, "bias": False}

    def make(self, **options):
        return super().make(**self.OPTIONS, **options)

    def twin(self, **options):
        return super().twin(**self.OPTIONS, **options)


@pytest.mark.parametrize("aggr", ["mean", "sum"])
def test_the_kernel_serves(aggr):
    ours, pyg = FusedSAGEConv((4, 4), 3, aggr=aggr), SAGEConv((4, 4), 3, aggr=aggr)
    pyg.load_state_dict(ours.state_dict())
    x, more = torch.randn(5, 4, requires_grad=True), torch.randn(6, 4)
    calls = [((x, EDGES), {}), (((x, more), EDGES), {}), (((x, None), EDGES), {"size": (5, 7)})]
    expected = [pyg(*inputs, **named) for inputs, named in calls]
    with mock.patch.object(SAGEConv, "forward", side_effect=AssertionError("the slow way")):
        for (inputs, named), wanted in zip(calls, expected, strict=True):
            out = ours(*inputs, **named)
            torch.testing.assert_close(out, wanted)
            grads = [torch.autograd.grad(o.square().sum(), x)[0] for o in (out, wanted)]
            torch.testing.assert_close(*grads)


def test_what_somebody_put_in_the_place_of_a_map_is_used():
    x = torch.randn(5, 4)
    for name in ("lin_l", "lin_r"):
        ours, pyg = FusedSAGEConv(4, 3), SAGEConv(4, 3)
        pyg.load_state_dict(ours.state_dict())
        for each in (ours, pyg):
            each.lin_r.bias = nn.Parameter(torch.ones(3))
        torch.testing.assert_close(ours(x, EDGES), pyg(x, EDGES))
        for each in (ours, pyg):
            delattr(each, name)
            setattr(each, name, lambda x: x[:, :3].cos())
        torch.testing.assert_close(ours(x, EDGES), pyg(x, EDGES))


def test_a_dense_mean():
    layer = FusedSAGEConv(4, 4, root_weight=False, bias=False).double()
    with torch.no_grad():
        layer.lin_l.weight.copy_(torch.eye(4))
    x, dense = torch.randn(5, 4, dtype=torch.float64), torch.zeros(5, 5, dtype=torch.float64)
    dense.index_put_((EDGES[1], EDGES[0]), torch.ones((), dtype=torch.float64), True)
    mean = dense / dense.sum(1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(layer(x, EDGES), mean @ x)
    batch = torch.stack([x, 2 * x])
    torch.testing.assert_close(layer(batch, EDGES)[1], 2 * layer(x, EDGES))
