"""``FusedGCNConv`` against dense algebra and PyG's ``GCNConv``."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from torch_geometric.nn import GCNConv

from graphkit.nn import FusedGCNConv
from graphkit.testing import DropInSuite
from tests.nn.conv.fused.twins import EDGES
from tests.testing.test_layer_on_pyg import TestGCNConv as GCNOracle


class TestLayer(GCNOracle):
    def make(self) -> FusedGCNConv:
        return FusedGCNConv(8, 5)


class TestDropIn(DropInSuite):
    not_claimed = {
        "attention": "a convolution without attention",
        "pair": "PyG refuses a pair",
        "missing_targets": "PyG refuses a pair",
    }

    def make(self, **options):
        return FusedGCNConv(8, 3, **options)

    def twin(self, **options):
        return GCNConv(8, 3, **options)


class TestOtherOptions(TestDropIn):
    OPTIONS = {"improved": True, "bias": False}

    def make(self, **options):
        return super().make(**self.OPTIONS, **options)

    def twin(self, **options):
        return super().twin(**self.OPTIONS, **options)


def pair(**options) -> tuple[FusedGCNConv, GCNConv]:
    ours, pyg = FusedGCNConv(4, 3, **options), GCNConv(4, 3, **options)
    pyg.load_state_dict(ours.state_dict())
    return ours, pyg


@pytest.mark.parametrize("options", [{}, {"normalize": False}, {"flow": "target_to_source"}])
@pytest.mark.parametrize("weighted", [True, False])
def test_the_kernel_serves(options, weighted):
    ours, pyg = pair(**options)
    x = torch.randn(5, 4, requires_grad=True)
    weight = torch.rand(EDGES.size(1), requires_grad=True) if weighted else None
    expected = pyg(x, EDGES, weight)
    with mock.patch.object(GCNConv, "forward", side_effect=AssertionError("the slow way")):
        out = ours(x, EDGES, weight)
    torch.testing.assert_close(out, expected)
    inputs = [x, *ours.parameters(), *([weight] if weighted else [])]
    theirs = [x, *pyg.parameters(), *([weight] if weighted else [])]
    grads = torch.autograd.grad(out.square().sum(), inputs)
    torch.testing.assert_close(grads, torch.autograd.grad(expected.square().sum(), theirs))


def test_a_cached_layer_keeps_its_first_graph():
    ours, pyg = pair(cached=True)
    x, other = torch.randn(5, 4), EDGES.flip(0)
    for edges in (EDGES, other):
        torch.testing.assert_close(ours(x, edges), pyg(x, edges))
    for layer in (ours, pyg):
        layer.reset_parameters()
    pyg.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x, other), pyg(x, other))


def test_edges_that_change_are_normalised_anew():
    ours, pyg = pair()
    x, edges = torch.randn(5, 4), EDGES.clone()
    before = ours(x, edges)
    edges[0, 0] = 3
    torch.testing.assert_close(ours(x, edges), pyg(x, edges))
    assert not torch.equal(ours(x, edges), before)
    torch.testing.assert_close(ours(x[:5].double().float(), edges), pyg(x, edges))


def test_a_pair_is_refused_as_pyg_does():
    with pytest.raises(ValueError, match="tuple"):
        FusedGCNConv(4, 3)((torch.randn(5, 4), torch.randn(5, 4)), EDGES)
