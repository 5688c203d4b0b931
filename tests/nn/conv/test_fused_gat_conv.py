"""``FusedGATConv`` against PyG's ``GATConv`` with the same weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.nn import GATConv

from graphkit import ops
from graphkit.nn import FusedGATConv
from tests import processes

EDGES = torch.tensor([[0, 1, 2, 2, 4, 3, 0], [1, 1, 0, 1, 2, 3, 1]])


def twins(**kwargs) -> tuple[FusedGATConv, GATConv]:
    """Both layers in float64 with equal weights and a bias that is not zero."""
    ours = FusedGATConv(kwargs.pop("in_channels", 5), 3, heads=2, **kwargs).double()
    pyg = GATConv(ours.in_channels, 3, heads=2, **kwargs).double()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    pyg.load_state_dict(ours.state_dict())
    return ours, pyg


def compare(ours: FusedGATConv, pyg: GATConv, *inputs, **kwargs) -> None:
    out, expected = ours(*inputs, **kwargs), pyg(*inputs, **kwargs)
    torch.testing.assert_close(out, expected)
    weight = torch.randn_like(expected)
    found = torch.autograd.grad((out * weight).sum(), list(ours.parameters()))
    wanted = torch.autograd.grad((expected * weight).sum(), list(pyg.parameters()))
    for grad, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(grad, other)


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"add_self_loops": False},
        {"concat": False, "bias": False},
        {"residual": True, "negative_slope": 0.5},
    ],
)
def test_equals_pyg_with_its_weights(kwargs):
    compare(*twins(**kwargs), torch.randn(5, 5, dtype=torch.float64), EDGES)


@pytest.mark.parametrize("fill_value", ["mean", 0.5])
@pytest.mark.parametrize("add_self_loops", [True, False])
def test_edge_features(fill_value, add_self_loops):
    ours, pyg = twins(edge_dim=4, fill_value=fill_value, add_self_loops=add_self_loops)
    x = torch.randn(5, 5, dtype=torch.float64)
    for _ in range(2):
        compare(ours, pyg, x, EDGES, torch.randn(7, 4, dtype=torch.float64))


@pytest.mark.parametrize("in_channels", [(5, 4), (-1, -1)])
def test_bipartite(in_channels):
    ours = FusedGATConv(in_channels, 3, heads=2, add_self_loops=False).double()
    pair = torch.randn(5, 5, dtype=torch.float64), torch.randn(4, 4, dtype=torch.float64)
    out = ours(pair, EDGES)
    pyg = GATConv((5, 4), 3, heads=2, add_self_loops=False).double()
    pyg.load_state_dict(ours.state_dict())
    torch.testing.assert_close(out, pyg(pair, EDGES))
    compare(ours, pyg, pair, EDGES)


def test_attention_weights_and_their_edges():
    ours, pyg = twins()
    x = torch.randn(5, 5, dtype=torch.float64)
    out, (index, weight) = ours(x, EDGES, return_attention_weights=True)
    expected, (wanted_index, wanted) = pyg(x, EDGES, return_attention_weights=True)
    torch.testing.assert_close(out, expected)
    assert torch.equal(index, wanted_index)
    torch.testing.assert_close(weight, wanted)


def test_static_batch_is_the_loop_over_it():
    ours, _ = twins(edge_dim=2)
    x = torch.randn(3, 5, 5, dtype=torch.float64)
    attr = torch.randn(7, 2, dtype=torch.float64)
    together = ours(x, EDGES, attr)
    torch.testing.assert_close(together, torch.stack([ours(one, EDGES, attr) for one in x]))


def test_what_the_kernel_does_not_serve_goes_through_pyg():
    ours, pyg = twins()
    x = torch.randn(5, 5, dtype=torch.float64)
    compare(ours, pyg, x, EDGES, size=(5, 5))
    flipped = twins(flow="target_to_source")
    compare(*flipped, x, EDGES)


def test_loops_are_kept_with_their_edges_and_never_stale():
    ours, pyg = twins()
    edges, x = EDGES.clone(), torch.randn(5, 5, dtype=torch.float64)
    for _ in range(2):
        torch.testing.assert_close(ours(x, edges), pyg(x, edges))
    edges[1, 0] = 4
    torch.testing.assert_close(ours(x, edges), pyg(x, edges))
    torch.testing.assert_close(ours(x[:5], EdgeIndex(edges, sparse_size=(5, 5))), pyg(x, edges))


def test_dropout_acts_in_training_only():
    ours, _ = twins(dropout=0.5)
    x = torch.randn(5, 5, dtype=torch.float64)
    ours.train()
    torch.manual_seed(1)
    first = ours(x, EDGES)
    torch.manual_seed(1)
    assert torch.equal(first, ours(x, EDGES))
    assert not torch.equal(first, ours(x, EDGES))
    ours.eval()
    assert torch.equal(ours(x, EDGES), ours(x, EDGES))


def test_compiles_in_one_graph():
    ours, _ = twins(add_self_loops=False)
    x = torch.randn(5, 5, dtype=torch.float64)
    torch._dynamo.reset()
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, EDGES), ours(x, EDGES))


def test_explainers_see_every_edge():
    ours, pyg = twins(add_self_loops=False)
    x = torch.randn(5, 5)
    masks = []
    for layer in (ours.float(), pyg.float()):
        torch.manual_seed(2)
        explainer = Explainer(
            copy.deepcopy(layer),
            GNNExplainer(epochs=5),
            explanation_type="model",
            edge_mask_type="object",
            model_config={"mode": "regression", "task_level": "node", "return_type": "raw"},
        )
        masks.append(explainer(x, EDGES).edge_mask)
    torch.testing.assert_close(masks[0], masks[1])


FIRST = """
import torch
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.nn import GATConv
GATConv(2, 2)
from graphkit.nn import FusedGATConv
explainer = Explainer(
    FusedGATConv(2, 2), GNNExplainer(epochs=2), explanation_type="model", edge_mask_type="object",
    model_config={"mode": "regression", "task_level": "node", "return_type": "raw"},
)
mask = explainer(torch.randn(3, 2), torch.tensor([[0, 1], [1, 2]])).edge_mask
assert mask.shape == (2,)
"""


def test_is_explained_where_a_gat_conv_was_made_before():
    done = processes.run(FIRST)
    assert done.returncode == 0, done.stderr


def test_a_wrong_index_is_refused_by_name():
    ours, _ = twins(add_self_loops=False)
    wrong = EDGES.clone()
    wrong[0, 0] = 11
    with pytest.raises(IndexError, match=r"edge_index\[0\] holds 11"):
        ours(torch.randn(5, 5, dtype=torch.float64), wrong)


def test_every_backend_gives_the_same():
    ours, pyg = twins()
    x = torch.randn(5, 5, dtype=torch.float64)
    for name in ("reference", "torch", "numba"):
        with ops.backend(name):
            compare(ours, pyg, x, EDGES)
