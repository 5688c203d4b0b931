"""``FusedTransformerConv`` against dense algebra, and PyG's ``TransformerConv`` of its weights."""

from __future__ import annotations

import inspect
from typing import ClassVar

import pytest
import torch
from torch_geometric.nn import TransformerConv

from graphkit.nn import FusedTransformerConv
from graphkit.testing import DropInSuite, LayerSuite
from tests.nn.conv.fused.twins import EDGES, between_nodes, compare, twins

BOTH_ENDS = "the weight of an edge needs both ends; PyG fails without a word"


def dense(layer, x, edge_index, edge_attr=None):
    """Sums over pairs of nodes with the skip, and the weights ``[target, edge, head]``."""
    shape = (-1, layer.heads, layer.out_channels)
    query, key, value = (
        lin(x).view(shape) for lin in (layer.lin_query, layer.lin_key, layer.lin_value)
    )
    key, value = key[edge_index[0]], value[edge_index[0]]
    if edge_attr is not None:
        edge = layer.lin_edge(edge_attr).view(shape)
        key, value = key + edge, value + edge
    score = (query[edge_index[1]] * key).sum(-1) / layer.out_channels**0.5
    into = edge_index[1] == torch.arange(len(x)).unsqueeze(1)
    table = score.unsqueeze(0).masked_fill(~into.unsqueeze(-1), -torch.inf)
    weight = table.softmax(1).nan_to_num() if len(score) else table
    out = torch.einsum("neh,ehc->nhc", weight, value).flatten(1)
    root = layer.lin_skip(x)
    if layer.lin_beta is None:
        return out + root, weight
    gate = layer.lin_beta(torch.cat([out, root, out - root], -1)).sigmoid()
    return gate * root + (1 - gate) * out, weight


class TestTransformer(LayerSuite):
    def make(self):
        return FusedTransformerConv(8, 3, heads=2)

    def dense_reference(self, layer, x, edge_index):
        return dense(layer, x, edge_index)[0]

    def dense_attention(self, layer, x, edge_index):
        return between_nodes(dense(layer, x, edge_index)[1], edge_index)


class TestWithEdgesAndGate(LayerSuite):
    def make(self):
        return FusedTransformerConv(8, 3, heads=2, beta=True, edge_dim=4)

    def edge_inputs(self, edge_index, dtype):
        return {"edge_attr": torch.randn(edge_index.size(1), 4, dtype=torch.float64).to(dtype)}

    def call(self, layer, x, edge_index, edge_attr=None):
        if edge_attr is None:
            edge_attr = x.new_ones(edge_index.size(1), 4)
        return layer(x, edge_index, edge_attr)

    def dense_reference(self, layer, x, edge_index, edge_attr):
        return dense(layer, x, edge_index, edge_attr)[0]


@pytest.mark.parametrize(
    "kwargs",
    [
        {"concat": False, "bias": False, "beta": True},
        {"beta": True},
        {"root_weight": False},
        {"heads": 8, "out": 8},
        {"edge_dim": 2, "concat": False},
        {"heads": 8, "out": 8, "edge_dim": 3},
        {"flow": "target_to_source"},
        {"aggr": "mean"},
    ],
)
def test_equals_pyg_with_its_weights(kwargs):
    kwargs = {"heads": 2, **kwargs}
    out = kwargs.pop("out", 3)
    layers = twins(FusedTransformerConv(5, out, **kwargs), TransformerConv(5, out, **kwargs))
    edges = torch.randn(7, kwargs["edge_dim"]).double() if "edge_dim" in kwargs else None
    for _ in range(2):
        compare(*layers, torch.randn(5, 5).double(), EDGES, edges)


def test_edge_features_without_a_map_are_added_as_they_are():
    layers = twins(FusedTransformerConv(5, 3, heads=2), TransformerConv(5, 3, heads=2))
    compare(*layers, torch.randn(5, 5).double(), EDGES, torch.randn(7, 2, 3).double())


@pytest.mark.parametrize("widths", [(4, 4), (5, 5)])
def test_either_end_of_another_width_is_refused(widths):
    pair = tuple(torch.randn(5, width) for width in widths)
    with pytest.raises(ValueError, match=r"x must have [45] channels, got"):
        FusedTransformerConv((5, 4), 3)(pair, EDGES)


def test_bipartite():
    layers = twins(FusedTransformerConv((5, 4), 3, 2), TransformerConv((5, 4), 3, 2))
    compare(*layers, (torch.randn(5, 5).double(), torch.randn(4, 4).double()), EDGES)
    lazy = FusedTransformerConv(-1, 3, edge_dim=-1)
    lazy((torch.randn(5, 5), torch.randn(4, 5)), EDGES, torch.randn(7, 2))
    assert lazy.lin_edge.in_channels == 2


def test_attention_weights_are_pygs_before_dropout():
    ours, pyg = twins(
        FusedTransformerConv(5, 3, 2, dropout=0.5), TransformerConv(5, 3, 2, dropout=0.5)
    )
    x = torch.randn(5, 5).double()
    for asked in (True, False):
        out, (index, weight) = ours(x, EDGES, return_attention_weights=asked)
        expected, (_, wanted) = pyg(x, EDGES, return_attention_weights=asked)
        torch.testing.assert_close((out, weight), (expected, wanted))
        assert torch.equal(index, EDGES)
    ours.train()
    torch.manual_seed(1)
    dropped, (_, before) = ours(x, EDGES, return_attention_weights=True)
    torch.testing.assert_close(before, weight)
    assert not torch.allclose(dropped, out)
    torch.manual_seed(1)
    torch.testing.assert_close(ours(x, EDGES), dropped)


def test_a_hook_on_the_edges_map_is_heard():
    ours, pyg = twins(FusedTransformerConv(5, 3, edge_dim=2), TransformerConv(5, 3, edge_dim=2))
    x, attr = torch.randn(5, 5).double(), torch.randn(7, 2).double()
    for layer in (ours, pyg):
        layer.lin_edge.register_forward_hook(lambda module, inputs, output: 2 * output)
    compare(ours, pyg, x, EDGES, attr)


@pytest.mark.parametrize("scale", [1e2, 1e4])
def test_large_logits_lose_no_more_than_pyg_does(scale):
    ours, pyg = twins(FusedTransformerConv(5, 3, 2), TransformerConv(5, 3, 2))
    x = torch.randn(5, 5).double() * scale**0.5

    def gradients(layer):
        leaf = x.to(layer.lin_key.weight.dtype).requires_grad_()
        return torch.autograd.grad(layer(leaf, EDGES).square().sum(), leaf)[0].double()

    exact = gradients(pyg)
    ours_off, pyg_off = ((gradients(layer.float()) - exact).abs().max() for layer in (ours, pyg))
    assert ours_off <= 2 * pyg_off + 1e-5 * exact.abs().max()


def test_the_signature_is_pygs():
    kinds = (FusedTransformerConv, TransformerConv)
    ours, pyg = (inspect.signature(kind.__init__) for kind in kinds)
    assert [(p.name, p.default) for p in ours.parameters.values()] == [
        (p.name, p.default) for p in pyg.parameters.values()
    ]


class TestDropIn(DropInSuite):
    not_claimed = {"missing_targets": BOTH_ENDS}
    pair_options: ClassVar = {}

    def make(self, **options):
        return FusedTransformerConv(8, 3, heads=2, **options)

    def twin(self, **options):
        return TransformerConv(8, 3, heads=2, **options)


class TestDropInWithEdges(DropInSuite):
    edge_dim, pair_options = 4, {}
    not_claimed = {
        "missing_targets": BOTH_ENDS,
        "sparse_adjacency": "an adjacency holds no features here",
    }

    def make(self, **options):
        return FusedTransformerConv(8, 3, heads=2, edge_dim=4, beta=True, **options)

    def twin(self, **options):
        return TransformerConv(8, 3, heads=2, edge_dim=4, beta=True, **options)


def test_what_is_missing_is_named():
    layer = FusedTransformerConv(8, 3, edge_dim=2)
    x = torch.randn(5, 8)
    with pytest.raises(ValueError, match="edge_attr is missing: the layer has edge_dim=2"):
        layer(x, EDGES)
    with pytest.raises(ValueError, match=r"x\[1\] is missing"):
        FusedTransformerConv(8, 3)((x, None), EDGES)
