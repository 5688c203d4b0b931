"""``FusedGATv2Conv`` against dense algebra, and against PyG's ``GATv2Conv`` with its weights."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.nn import GATv2Conv

from graphkit.nn import FusedGATv2Conv
from graphkit.testing import DropInSuite, LayerSuite
from tests.nn.conv.fused.twins import EDGES, between_nodes, compare, twins

BOTH_ENDS = "the weight of an edge needs both ends; PyG fails without a word"


def dense(layer, x, edge_index, edge_attr=None):
    """Sums over pairs of nodes, and the weights ``[target, source, head]``; no loops added."""
    shape = (-1, layer.heads, layer.out_channels)
    left, right = layer.lin_l(x).view(shape), layer.lin_r(x).view(shape)
    met = left[edge_index[0]] + right[edge_index[1]]
    if edge_attr is not None:
        met = met + layer.lin_edge(edge_attr).view(shape)
    score = (F.leaky_relu(met, layer.negative_slope) * layer.att).sum(-1)
    into = edge_index[1] == torch.arange(len(x)).unsqueeze(1)
    table = score.unsqueeze(0).masked_fill(~into.unsqueeze(-1), -torch.inf)
    weight = table.softmax(1).nan_to_num() if len(score) else table
    out = torch.einsum("neh,ehc->nhc", weight, left[edge_index[0]])
    return out.flatten(1) + layer.bias, weight


class TestGATv2(LayerSuite):
    def make(self):
        return FusedGATv2Conv(8, 3, heads=2, add_self_loops=False)

    def dense_reference(self, layer, x, edge_index):
        return dense(layer, x, edge_index)[0]

    def dense_attention(self, layer, x, edge_index):
        weight = dense(layer, x, edge_index)[1]
        return between_nodes(weight, edge_index)


class TestWithLoopsAndEdges(LayerSuite):
    def make(self):
        return FusedGATv2Conv(8, 3, heads=2, edge_dim=4)

    not_claimed = {
        "flow": "PyG fills features of loops in from edge_index[1], the sources against the flow"
    }

    def edge_inputs(self, edge_index, dtype):
        return {"edge_attr": torch.randn(edge_index.size(1), 4, dtype=torch.float64).to(dtype)}

    def dense_reference(self, layer, x, edge_index, edge_attr):
        rest = edge_index[0] != edge_index[1]
        into = (edge_index[1] == torch.arange(len(x)).unsqueeze(1)) & rest
        mean = into.to(x.dtype) @ edge_attr / into.sum(1, keepdim=True).clamp(min=1)
        loops = torch.arange(len(x)).expand(2, -1)
        edges = torch.cat([edge_index[:, rest], loops], 1)
        return dense(layer, x, edges, torch.cat([edge_attr[rest], mean]))[0]


@pytest.mark.parametrize(
    "kwargs",
    [
        {"concat": False, "bias": False},
        {"residual": True, "negative_slope": 0.5},
        {"share_weights": True},
        {"heads": 8, "out": 8},
        {"edge_dim": 2, "fill_value": 0.5},
        {"edge_dim": 1, "fill_value": "max", "residual": True, "share_weights": True},
        {"flow": "target_to_source"},
        {"aggr": "mean"},
    ],
)
def test_equals_pyg_with_its_weights(kwargs):
    kwargs = {"heads": 2, **kwargs}
    out = kwargs.pop("out", 3)
    layers = twins(FusedGATv2Conv(5, out, **kwargs), GATv2Conv(5, out, **kwargs))
    edges = torch.randn(7, kwargs["edge_dim"]).double() if "edge_dim" in kwargs else None
    for _ in range(2):
        compare(*layers, torch.randn(5, 5).double(), EDGES, edges)


@pytest.mark.parametrize("shared", [True, False])
def test_bipartite(shared):
    kwargs = {"heads": 2, "share_weights": shared, "residual": True}
    layers = twins(FusedGATv2Conv((5, 5), 3, **kwargs), GATv2Conv((5, 5), 3, **kwargs))
    compare(*layers, (torch.randn(5, 5).double(), torch.randn(4, 5).double()), EDGES)
    lazy = FusedGATv2Conv(-1, 3, edge_dim=-1, add_self_loops=False)
    lazy((torch.randn(5, 5), torch.randn(4, 5)), EDGES, torch.randn(7, 2))
    assert lazy.lin_edge.in_channels == 2


def test_attention_weights_are_pygs_and_dropped_ones_zero():
    ours, pyg = twins(FusedGATv2Conv(5, 3, 2, dropout=0.5), GATv2Conv(5, 3, 2, dropout=0.5))
    x = torch.randn(5, 5).double()
    out, (index, weight) = ours(x, EDGES, return_attention_weights=True)
    expected, (wanted_index, wanted) = pyg(x, EDGES, return_attention_weights=True)
    torch.testing.assert_close((out, weight), (expected, wanted))
    assert torch.equal(index, wanted_index)
    ours.train()
    torch.manual_seed(1)
    dropped, (_, kept) = ours(x, EDGES, return_attention_weights=True)
    assert set((kept / weight).round(decimals=9).unique().tolist()) == {0.0, 2.0}
    torch.manual_seed(1)
    torch.testing.assert_close(ours(x, EDGES), dropped)


def test_edge_features_without_edge_dim_are_refused():
    with pytest.raises(ValueError, match="edge_dim=None"):
        FusedGATv2Conv(5, 3)(torch.randn(5, 5), EDGES, torch.randn(7, 2))


def test_a_hook_or_another_module_for_the_edges_is_heard():
    ours, pyg = twins(FusedGATv2Conv(5, 3, edge_dim=2), GATv2Conv(5, 3, edge_dim=2))
    x, attr, called = torch.randn(5, 5).double(), torch.randn(7, 2).double(), []
    handle = ours.lin_edge.register_forward_hook(lambda *_: called.append(1))
    compare(ours, pyg, x, EDGES, attr)
    handle.remove()
    ours(x, EDGES, attr)
    assert called == [1]
    ours.lin_edge = torch.nn.Sequential(ours.lin_edge, torch.nn.Tanh())
    assert not torch.allclose(ours(x, EDGES, attr), pyg(x, EDGES, attr))


def gradients(layer, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(layer(x, EDGES).square().sum(), [x, layer.att])


@pytest.mark.parametrize("scale", [1e2, 1e4])
def test_large_logits_lose_no_more_than_pyg_does(scale):
    ours, pyg = twins(FusedGATv2Conv(5, 3, 2), GATv2Conv(5, 3, 2))
    with torch.no_grad():
        for layer in (ours, pyg):
            layer.att.mul_(scale)
    x = torch.randn(5, 5).double() / scale**0.5
    exact = gradients(pyg, x)
    errors = [
        [float((a.double() - b).abs().max()) for a, b in zip(found, exact, strict=True)]
        for found in (gradients(ours.float(), x.float()), gradients(pyg.float(), x.float()))
    ]
    for ours_off, pyg_off, value in zip(*errors, exact, strict=True):
        assert ours_off <= 2 * pyg_off + 1e-5 * float(value.abs().max())


def test_the_signature_is_pygs():
    ours, pyg = (inspect.signature(kind.__init__) for kind in (FusedGATv2Conv, GATv2Conv))
    assert [(p.name, p.default) for p in ours.parameters.values()] == [
        (p.name, p.default) for p in pyg.parameters.values()
    ]


class TestDropIn(DropInSuite):
    not_claimed = {"missing_targets": BOTH_ENDS}

    def make(self, **options):
        return FusedGATv2Conv(8, 3, heads=2, **options)

    def twin(self, **options):
        return GATv2Conv(8, 3, heads=2, **options)


class TestDropInWithEdges(DropInSuite):
    edge_dim = 4
    not_claimed = {
        "missing_targets": BOTH_ENDS,
        "sparse_adjacency": "an adjacency holds no features here",
    }

    def make(self, **options):
        return FusedGATv2Conv(8, 3, heads=2, edge_dim=4, share_weights=True, **options)

    def twin(self, **options):
        return GATv2Conv(8, 3, heads=2, edge_dim=4, share_weights=True, **options)


def test_missing_targets_are_named():
    with pytest.raises(ValueError, match=r"x\[1\] is missing"):
        FusedGATv2Conv(8, 3, add_self_loops=False)((torch.randn(5, 8), None), EDGES)
