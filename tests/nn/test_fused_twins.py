"""``accelerate``: layers become their twins, nothing else changes, and all can be undone."""

from __future__ import annotations

import contextlib
import copy
import pickle

import pytest
import torch
from torch import nn
from torch_geometric.nn import (
    GAT,
    GCN,
    GIN,
    PNA,
    GATConv,
    GCNConv,
    GraphSAGE,
    HeteroConv,
    SAGEConv,
    Sequential,
    to_hetero,
)

import graphkit
from graphkit.nn import Acceleration, FusedGATConv, FusedGCNConv, FusedSAGEConv, accelerate
from tests.nn.conv.fused.twins import EDGES

MODELS = {
    "GCN": lambda: GCN(8, 16, 2, 3),
    "GAT": lambda: GAT(8, 16, 2, 3, heads=2),
    "GATv2": lambda: GAT(8, 16, 2, 3, heads=2, v2=True),
    "GraphSAGE": lambda: GraphSAGE(8, 16, 2, 3),
    "GIN": lambda: GIN(8, 16, 2, 3),
    "jumping knowledge": lambda: GCN(8, 16, 3, 3, jk="cat"),
    "sequential": lambda: Sequential("x, e", [(GCNConv(8, 4), "x, e -> x"), nn.ReLU()]),
    "one layer": lambda: GATConv(8, 3, heads=2),
}


@pytest.mark.parametrize("name", MODELS)
def test_values_gradients_and_state_are_those_of_before(name: str) -> None:
    model, x = MODELS[name]().double().eval(), torch.randn(5, 8, dtype=torch.float64)
    keys = list(model.state_dict())
    before = model(x, EDGES)
    grads = torch.autograd.grad(before.square().sum(), list(model.parameters()))
    parameters = list(model.parameters())
    result = graphkit.accelerate(model)
    assert isinstance(result, Acceleration)
    assert result.model is model
    assert result.swapped
    assert not result.left
    assert list(model.state_dict()) == keys
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    after = model(x, EDGES)
    torch.testing.assert_close(after, before)
    new = torch.autograd.grad(after.square().sum(), parameters)
    torch.testing.assert_close(new, grads)
    for clone in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(clone(x, EDGES), before)
    assert str(accelerate(model)) == "no message-passing layer"  # they are twins already


def test_it_is_undone_exactly_also_after_an_error() -> None:
    model = GCN(8, 16, 2, 3)
    kinds = [type(module) for module in model.modules()]
    accelerate(model).undo()
    assert [type(module) for module in model.modules()] == kinds
    with contextlib.suppress(KeyError), accelerate(model):
        assert type(model.convs[0]) is FusedGCNConv
        raise KeyError
    assert [type(module) for module in model.modules()] == kinds


def test_a_copy_leaves_the_model_alone() -> None:
    model = GCN(8, 16, 2, 3)
    result = accelerate(model, copy=True)
    assert type(model.convs[0]) is GCNConv
    assert type(result.model.convs[0]) is FusedGCNConv


class OwnMessage(GATConv):
    def message(self, x_j, alpha):
        return 2 * super().message(x_j, alpha)


def test_what_is_left_is_named_with_a_reason() -> None:
    model = nn.ModuleDict(
        {
            "own": OwnMessage(8, 3),
            "largest": SAGEConv(8, 3, aggr="max"),
            "pna": PNA(8, 4, 1, aggregators=["mean"], scalers=["identity"], deg=torch.ones(3)),
            "gat": GATConv(8, 3),
        }
    )
    result = accelerate(model)
    assert list(result.swapped) == ["gat"]
    assert "a subclass of GATConv" in result.left["own"]
    assert "aggregation" in result.left["largest"]
    assert "PNAConv has no fused twin" in result.left["pna.convs.0"]
    assert type(model["largest"]) is SAGEConv
    assert "gat: GATConv is fused" in str(result)


def test_hooks_of_before_are_still_heard() -> None:
    layer, x = GATConv(8, 3), torch.randn(5, 8)
    layer.register_message_forward_hook(lambda module, inputs, output: 2 * output)
    expected = layer(x, EDGES)
    accelerate(layer)
    torch.testing.assert_close(layer(x, EDGES), expected)
    quiet = GATConv(8, 3)
    accelerate(quiet)
    assert isinstance(quiet, FusedGATConv)
    assert quiet.may_be_fast()


def test_heterogeneous_models() -> None:
    x = {"a": torch.randn(5, 8), "b": torch.randn(5, 8)}
    edges = {("a", "to", "b"): EDGES, ("b", "to", "a"): EDGES.flip(0)}
    conv = HeteroConv({kind: SAGEConv((8, 8), 4) for kind in edges})
    before = conv(x, edges)
    assert len(accelerate(conv).swapped) == 2
    torch.testing.assert_close(conv(x, edges), before)
    model = to_hetero(GraphSAGE(8, 4, 2), (["a", "b"], list(edges)))
    before = model(x, edges)
    assert len(accelerate(model).swapped) == 4
    torch.testing.assert_close(model(x, edges), before)
    assert any(type(module) is FusedSAGEConv for module in model.modules())


def test_a_shared_layer_and_a_compiled_model() -> None:
    layer = GCNConv(8, 8)
    assert len(accelerate(nn.ModuleList([layer, layer])).swapped) == 1
    with pytest.raises(TypeError, match="compile"):
        accelerate(torch.compile(GCN(8, 16, 2, 3)))
    with pytest.raises(TypeError, match="is the class GCN"):
        accelerate(GCN)
