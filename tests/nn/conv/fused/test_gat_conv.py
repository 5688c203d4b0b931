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
from graphkit.nn.gat_step import gat_step
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


STEPWISE = {
    "pair": ({}, {"x": (features(), features())}),
    "size": ({}, {"size": (5, 5)}),
    "edge features": ({"edge_dim": 4}, {"edge_attr": features(7, 4)}),
    "weights": ({}, {"return_attention_weights": True}),
    "no bias": ({"bias": False}, {}),
    "averaged": ({"concat": False}, {}),
    "residual": ({"residual": True}, {}),
    "two maps": ({"in_channels": (5, 5)}, {}),
    "against the flow": ({"flow": "target_to_source"}, {}),
}


def test_the_layer_is_one_step_where_nobody_could_tell():
    ours, pyg = twins(dropout=0.6)
    x, indexed = features(), EdgeIndex(EDGES, sparse_size=(5, 5))
    for each in (ours.eval(), pyg.eval()):
        each.lin.weight.requires_grad_(False)
    name = "graphkit.nn.conv.fused.gat_conv.gat_step"
    with mock.patch(name, side_effect=gat_step) as step:
        for edges in (EDGES, indexed):
            torch.testing.assert_close(ours(x, edges), pyg(x, edges))
        assert step.call_count == 2
        ours.train()(x, EDGES)
        assert step.call_args.args[-1] == 0.6


@pytest.mark.parametrize("case", STEPWISE)
def test_other_calls_take_the_steps_one_by_one(case):
    options, inputs = STEPWISE[case]
    ours, pyg = twins(**options)
    inputs = {"x": features(), "edge_index": EDGES, **inputs}
    with mock.patch("graphkit.nn.conv.fused.gat_conv.gat_step", side_effect=AssertionError):
        found, wanted = ours(**inputs), pyg(**inputs)
    pairs = zip(found, wanted, strict=True) if case == "weights" else [(found, wanted)]
    for a, b in pairs:
        torch.testing.assert_close(a, b)


def test_a_bias_that_somebody_gave_the_map_is_added():
    ours, pyg = twins()
    for each in (ours, pyg):
        each.lin.bias = nn.Parameter(torch.ones(6, dtype=torch.float64))
    x = features()
    torch.testing.assert_close(ours(x, EDGES), pyg(x, EDGES))


def test_a_subclass_that_answers_for_a_parameter_is_asked():
    class Scaled(FusedGATConv):
        scale = None

        @property
        def att_src(self):
            if self.scale is None:
                raise AttributeError("not yet made")
            return self.scale * self._parameters["att_src"]

    (ours, pyg), x = twins(), features()
    ours.__class__, ours.scale = Scaled, 3
    with torch.no_grad():
        pyg.att_src *= 3
    torch.testing.assert_close(ours(x, EDGES), pyg(x, EDGES))


def test_gradients_of_two_orders_are_those_of_pyg():
    x, found = features().requires_grad_(), []
    for layer in twins():
        inputs = [x, *layer.parameters()]
        grads = torch.autograd.grad(layer(x, EDGES).square().sum(), inputs, create_graph=True)
        again = torch.autograd.grad(sum(grad.square().sum() for grad in grads), inputs)
        found.append((*grads, *again))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_transforms_autocast_and_anomaly_mode_are_those_of_pyg():
    ours, pyg = twins()
    x = features()
    calls = [lambda x, layer=layer: layer(x, EDGES) for layer in (ours, pyg)]
    for transform in (
        lambda call: torch.func.jvp(call, (x,), (x.cos(),))[1],
        lambda call: torch.func.jacrev(call)(x),
        lambda call: torch.autograd.functional.jacobian(call, x, vectorize=True),
    ):
        found, wanted = (transform(call) for call in calls)
        torch.testing.assert_close(found, wanted)
    with torch.autograd.detect_anomaly():
        sums = [call(x.requires_grad_()).square().sum() for call in calls]
        found, wanted = (torch.autograd.grad(each, x)[0] for each in sums)
    torch.testing.assert_close(found, wanted)
    halves = []
    with torch.autocast("cpu", torch.bfloat16):
        halves = [layer.float()(x.float(), EDGES) for layer in (ours, pyg)]
    assert halves[0].dtype == halves[1].dtype
    torch.testing.assert_close(*halves, rtol=0.03, atol=0.03)


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
