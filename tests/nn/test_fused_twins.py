"""``accelerate``: layers become their twins, nothing else changes, and all can be undone."""

from __future__ import annotations

import contextlib
import copy
import pickle

import pytest
import torch
from torch import nn
from torch_geometric.explain import Explainer, GNNExplainer
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
    "jumping knowledge by an LSTM": lambda: GIN(8, 16, 3, 3, jk="lstm"),
    "normalised": lambda: GraphSAGE(8, 16, 3, 3, norm="batch_norm", jk="max"),
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


def state_of(model: nn.Module) -> list[tuple[type, list[str]]]:
    """The class of every module, and the names of what hangs on it."""
    return [(type(module), list(vars(module))) for module in model.modules()]


@pytest.mark.parametrize("name", MODELS)
def test_nothing_is_left_behind_when_it_is_undone(name: str) -> None:
    model, x = MODELS[name]().eval(), torch.randn(5, 8)
    before, expected = state_of(model), model(x, EDGES)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    with accelerate(model):
        model(x, EDGES)
    assert state_of(model) == before
    assert torch.equal(model(x, EDGES), expected)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_a_cached_graph_goes_with_the_twin() -> None:
    layer, x = GCNConv(8, 3, cached=True), torch.randn(5, 8)
    before = state_of(layer)
    with accelerate(layer):
        layer(x, EDGES)
        layer.reset_parameters()
        layer(x, EDGES)
    assert state_of(layer) == before
    left = SAGEConv(8, 3, aggr="max")
    before = state_of(left)
    assert accelerate(left).left
    assert state_of(left) == before


def test_training_goes_on_with_the_optimizer_of_before() -> None:
    torch.manual_seed(0)
    models = [GCN(8, 16, 2, 3).double()]
    models.append(copy.deepcopy(models[0]))
    x, y = torch.randn(5, 8, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1])
    optimizers = [torch.optim.Adam(model.parameters()) for model in models]
    for step in range(4):
        if step == 2:
            accelerate(models[1])
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x, EDGES), y).backward()
            optimizer.step()
    for first, second in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(first, second)


def test_compiled_it_gives_the_values_of_before() -> None:
    model, x = GAT(8, 16, 2, 3, heads=2).eval(), torch.randn(5, 8)
    expected = model(x, EDGES)
    torch.compiler.reset()
    compiled = torch.compile(accelerate(model).model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, EDGES), expected)
    torch.compiler.reset()


@pytest.mark.parametrize("name", ["GCN", "GAT", "GIN"])
def test_explanations_are_those_of_before(name: str) -> None:
    model, x = MODELS[name]().eval(), torch.randn(5, 8)
    masks = []
    for each in (model, accelerate(model, copy=True).model):
        torch.manual_seed(0)
        explainer = Explainer(
            each,
            GNNExplainer(epochs=3),
            explanation_type="model",
            node_mask_type="attributes",
            edge_mask_type="object",
            model_config={
                "mode": "multiclass_classification",
                "task_level": "node",
                "return_type": "raw",
            },
        )
        masks.append(explainer(x, EDGES, index=1))
    torch.testing.assert_close(masks[1].node_mask, masks[0].node_mask)
    torch.testing.assert_close(masks[1].edge_mask, masks[0].edge_mask)


def test_ordinary_hooks_of_before_are_still_heard() -> None:
    model, heard = GCN(8, 16, 2, 3), []
    model.convs[1].register_forward_hook(lambda module, inputs, out: heard.append(type(module)))
    model.convs[0].register_full_backward_hook(lambda module, *grads: heard.append(type(module)))
    accelerate(model)
    model(torch.randn(5, 8, requires_grad=True), EDGES).sum().backward()
    assert heard == [FusedGCNConv, FusedGCNConv]


def test_pna_alone_is_left_as_it_is() -> None:
    degrees = torch.bincount(EDGES[1]).bincount()
    model = PNA(8, 4, 2, aggregators=["mean", "max"], scalers=["identity"], deg=degrees).eval()
    before, x = state_of(model), torch.randn(5, 8)
    expected, result = model(x, EDGES), accelerate(model)
    assert not result.swapped
    assert list(result.left.values()) == ["PNAConv has no fused twin"] * 2
    assert state_of(model) == before
    assert torch.equal(model(x, EDGES), expected)


def test_a_plain_sequential_of_layers_that_know_their_graph() -> None:
    class OnGraph(nn.Module):
        def __init__(self, conv: nn.Module) -> None:
            super().__init__()
            self.conv = conv

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x, EDGES)

    model = nn.Sequential(OnGraph(GATConv(8, 4)), nn.ReLU(), OnGraph(SAGEConv(4, 3)))
    x = torch.randn(5, 8)
    expected, result = model(x), accelerate(model)
    assert list(result.swapped) == ["0.conv", "2.conv"]
    torch.testing.assert_close(model(x), expected)


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


def test_hooks_on_all_modules_are_heard_as_long_as_they_hang() -> None:
    layer, x = GCNConv(8, 3), torch.randn(5, 8)
    register = nn.modules.module.register_module_forward_hook
    handle = register(lambda module, inputs, out: 2 * out)
    expected = layer(x, EDGES)
    assert accelerate(layer).swapped
    torch.testing.assert_close(layer(x, EDGES), expected)
    handle.remove()
    assert layer.may_be_fast()


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
