"""``FusedGATConv`` against PyG's ``GATConv`` with the same weights, and as a layer."""

from __future__ import annotations

import inspect
from unittest import mock

import pytest
import torch
from torch import nn
from torch_geometric import EdgeIndex
from torch_geometric.nn import GATConv

from graphkit import ops
from graphkit.nn import FusedGATConv
from graphkit.testing import DropInSuite
from tests.testing.test_layer_on_pyg import TestGATConv as GATOracle

EDGES = torch.tensor([[0, 1, 2, 2, 4, 3, 0], [1, 1, 0, 1, 2, 3, 1]])
LATE = "PyG's Linear finds it in the matrix product, whose message names no argument"


class TestLayer(GATOracle):
    not_claimed = {
        "refuses_wrong_width": LATE,
        "refuses_flat_features": LATE,
        "layout_keywords": "taken as PyG takes them; slices of features are never written out",
    }

    def make(self) -> FusedGATConv:
        return FusedGATConv(8, 3, heads=2)


class TestDropIn(DropInSuite):
    def make(self, **options) -> FusedGATConv:
        return FusedGATConv(8, 3, heads=2, **options)

    def twin(self, **options) -> GATConv:
        return GATConv(8, 3, heads=2, **options)


class TestOtherOptions(TestDropIn):
    OPTIONS = {"concat": False, "residual": True, "bias": False, "negative_slope": 0.5}

    def make(self, **options) -> FusedGATConv:
        return super().make(**self.OPTIONS, **options)

    def twin(self, **options) -> GATConv:
        return super().twin(**self.OPTIONS, **options)


class TestEdgeFeatures(TestDropIn):
    edge_dim = 4
    fill_value = "mean"
    not_claimed = {"sparse_adjacency": "an adjacency holds no features here"}

    def make(self, **options) -> FusedGATConv:
        return super().make(edge_dim=4, fill_value=self.fill_value, **options)

    def twin(self, **options) -> GATConv:
        return super().twin(edge_dim=4, fill_value=self.fill_value, **options)


class TestFilledByNumber(TestEdgeFeatures):
    fill_value = 0.5


class TestTwoWidths(TestDropIn):
    """Sources and targets have matrices of their own, also when both are one set."""

    def make(self, **options) -> FusedGATConv:
        return FusedGATConv((8, 8), 3, heads=2, **options)

    def twin(self, **options) -> GATConv:
        return GATConv((8, 8), 3, heads=2, **options)


def twins(**kwargs) -> tuple[FusedGATConv, GATConv]:
    """Both layers in float64 with equal weights and a bias that is not zero."""
    ours = FusedGATConv(kwargs.pop("in_channels", 5), 3, heads=2, **kwargs).double()
    pyg = GATConv(ours.in_channels, 3, heads=2, **kwargs).double()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    pyg.load_state_dict(ours.state_dict())
    return ours, pyg


def features(*shape: int) -> torch.Tensor:
    return torch.randn(*(shape or (5, 5)), dtype=torch.float64)


def test_editors_see_every_argument():
    parameters = inspect.signature(FusedGATConv).parameters
    assert list(parameters)[7:11] == ["edge_dim", "fill_value", "bias", "residual"]
    layer = FusedGATConv(4, 2, 2, True, 0.1, 0.0, True, 3, 1.0, False, True)
    assert (layer.edge_dim, layer.fill_value, layer.bias) == (3, 1.0, None)
    assert layer.res is not None


def test_lazy_widths_of_a_pair():
    pair = features(5, 5), features(4, 4)
    ours = FusedGATConv((-1, -1), 3, heads=2, add_self_loops=False).double()
    out = ours(pair, EDGES[:, :4])
    pyg = GATConv((5, 4), 3, heads=2, add_self_loops=False).double()
    pyg.load_state_dict(ours.state_dict())
    torch.testing.assert_close(out, pyg(pair, EDGES[:, :4]))


FAST = {
    "as it is": ({}, {}),
    "sum": ({"aggr": "sum"}, {}),
    "size": ({}, {"size": (5, 5)}),
    "half a size": ({"add_self_loops": False}, {"size": (None, 5)}),
    "against the flow": ({"flow": "target_to_source"}, {}),
    "no targets": ({}, {"x": (features(), None)}),
    "no targets, sized": ({}, {"x": (features(), None), "size": (5, 5)}),
    "more targets": ({"add_self_loops": False}, {"x": (features(), None), "size": (5, 7)}),
    "pair": ({"add_self_loops": False}, {"x": (features(), features(6, 5))}),
}


@pytest.mark.parametrize("case", FAST)
def test_the_kernel_serves(case):
    options, inputs = FAST[case]
    ours, pyg = twins(**options)
    inputs = {"x": features(), **inputs}
    size = inputs.get("size")
    known = {"size": size} if size is not None and None not in size else {}
    expected = pyg(inputs["x"], EDGES, **known)
    with mock.patch.object(GATConv, "forward", side_effect=AssertionError("the slow way")):
        torch.testing.assert_close(ours(edge_index=EDGES, **inputs), expected)


def test_a_wrong_size_is_refused_by_name():
    ours, _ = twins()
    for size in ((5, 4), (6, 5), (None, 3)):
        with pytest.raises(ValueError, match="'size'"):
            ours(features(), EDGES, size=size)


def test_loops_with_features_at_more_targets_than_sources():
    """PyG's reduction fails here: it counts the loops, not the targets."""
    ours, _ = twins(edge_dim=2, in_channels=(5, 5))
    attr, pair = features(2, 2), (features(2, 5), features(4, 5))
    edges = torch.tensor([[0, 1], [3, 1]])
    _, (index, weight) = ours(pair, edges, attr, return_attention_weights=True)
    assert index.tolist() == [[0, 0, 1], [3, 0, 1]]
    torch.testing.assert_close(weight, torch.ones_like(weight))


def test_static_batch_is_the_loop_over_it():
    ours, _ = twins(edge_dim=2)
    x, attr = features(3, 5, 5), features(7, 2)
    together = ours(x, EDGES, attr)
    torch.testing.assert_close(together, torch.stack([ours(one, EDGES, attr) for one in x]))


def test_loops_are_kept_with_their_edges_and_never_stale():
    ours, pyg = twins()
    edges, x = EDGES.clone(), features()
    for _ in range(2):
        torch.testing.assert_close(ours(x, edges), pyg(x, edges))
    edges[1, 0] = 4
    torch.testing.assert_close(ours(x, edges), pyg(x, edges))
    torch.testing.assert_close(ours(x[:5], EdgeIndex(edges, sparse_size=(5, 5))), pyg(x, edges))


def test_dropout_acts_in_training_only():
    ours, _ = twins(dropout=0.5)
    x = features()
    ours.train()
    torch.manual_seed(1)
    first = ours(x, EDGES)
    torch.manual_seed(1)
    assert torch.equal(first, ours(x, EDGES))
    assert not torch.equal(first, ours(x, EDGES))
    ours.eval()
    assert torch.equal(ours(x, EDGES), ours(x, EDGES))


class Two(nn.Module):
    """Two layers with self loops, the first with edge features."""

    def __init__(self) -> None:
        super().__init__()
        self.first = FusedGATConv(5, 3, heads=2, edge_dim=2)
        self.second = FusedGATConv(6, 3, heads=2)

    def forward(self, x, edge_index, edge_attr):
        h = self.first(x, edge_index, edge_attr).relu()
        return self.second(h, edge_index, return_attention_weights=True)


def test_two_layers_with_loops_and_features_compile_for_training():
    torch.compiler.reset()
    model = Two().double()
    inputs = features(), EDGES, features(7, 2)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    (out, (edges, alpha)), (expected, (wanted, weights)) = compiled(*inputs), model(*inputs)
    torch.testing.assert_close(out, expected)
    assert torch.equal(edges, wanted)
    torch.testing.assert_close(alpha, weights)
    grads = [torch.autograd.grad(one.sum(), list(model.parameters())) for one in (out, expected)]
    for grad, other in zip(*grads, strict=True):
        torch.testing.assert_close(grad, other)
    torch.compiler.reset()


@pytest.mark.parametrize("fill_value", ["mean", "max", 0.5, torch.ones(2).double()])
def test_loop_features_are_the_same_compiled_and_exported(fill_value):
    torch.compiler.reset()
    model = FusedGATConv(5, 3, heads=2, edge_dim=2, fill_value=fill_value).double()
    inputs = features(), EDGES, features(7, 2)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(*inputs), model(*inputs))
    exported = torch.export.export(model, inputs).module()
    torch.testing.assert_close(exported(*inputs), model(*inputs))
    torch.compiler.reset()


def test_every_backend_gives_the_same():
    ours, pyg = twins()
    x = features()
    expected = pyg(x, EDGES)
    for name in ("reference", "torch", "numba"):
        with ops.backend(name):
            torch.testing.assert_close(ours(x, EDGES), expected)
