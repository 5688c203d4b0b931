"""Each assertion passes on what is right and names what is wrong."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCNConv

from graphkit.testing import (
    assert_close,
    assert_edge_order_invariant,
    assert_no_trace,
    assert_not_mutated,
    assert_permutation_equivariant,
    assert_raises_naming,
    count_hooks,
    dense_adjacency,
    disjoint_union,
    example_graph,
    jacobian_support,
    reachable,
)
from graphkit.testing.decorators import needs_package
from graphkit.testing.stores import named_tensors

X = torch.arange(12.0).view(6, 2)
EDGES, _ = example_graph("plain")


def total(x, edge_index, edge_weight=None):
    return dense_adjacency(edge_index, x.size(0), edge_weight, x.dtype) @ x


def numbered(x, edge_index, edge_weight=None):
    return x * torch.arange(x.size(0))[:, None]


def first_edge(x, edge_index, edge_weight=None):
    return x[edge_index[0, :1]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_close_has_a_tolerance_per_type(dtype):
    one = torch.ones(3, dtype=dtype)
    eps = torch.finfo(dtype).eps
    assert_close(one + 2 * eps, one.double())
    with pytest.raises(AssertionError, match="speeds differ"):
        assert_close(one * 1.3, one, "speeds")
    with pytest.raises(AssertionError, match="shape"):
        assert_close(one, one[:2])


def test_close_takes_the_coarser_type_and_counts_nan_as_equal():
    nan = torch.tensor([float("nan")])
    assert_close(nan, nan.double())
    assert_close(torch.tensor([1]), torch.tensor([1]))
    with pytest.raises(AssertionError):
        assert_close(torch.tensor([1.0 + 1e-6]).double(), torch.tensor([1.0]).double())


def test_equivariance():
    weight = torch.rand(EDGES.size(1))
    assert_permutation_equivariant(total, X, EDGES, edge_weight=weight)
    with pytest.raises(AssertionError, match="renamed nodes"):
        assert_permutation_equivariant(numbered, X, EDGES)


def test_edge_order():
    assert_edge_order_invariant(total, X, EDGES, edge_weight=torch.rand(EDGES.size(1)))
    with pytest.raises(AssertionError, match="reordering"):
        assert_edge_order_invariant(first_edge, X, EDGES)


def test_support_of_the_jacobian_is_the_adjacency():
    expected = dense_adjacency(EDGES, 6) > 0
    assert torch.equal(jacobian_support(total, X, EDGES), expected)


def test_reach_follows_the_edges():
    chain, count = example_graph("chain")
    reach = reachable(chain, count, 2)
    assert reach[2].tolist() == [True, True, True, False, False, False]
    assert torch.equal(reachable(chain, count, 0), torch.eye(6).bool())


def test_errors_must_name_the_argument():
    def refuse(kind, message):
        def call():
            raise kind(message)

        return call

    assert_raises_naming(refuse(ValueError, "edge_index is bad"), "edge_index", (ValueError,))
    with pytest.raises(AssertionError, match="does not name"):
        assert_raises_naming(refuse(ValueError, "bad"), "edge_index", (ValueError,))
    with pytest.raises(AssertionError, match="got RuntimeError"):
        assert_raises_naming(refuse(RuntimeError, "edge_index"), "edge_index", (ValueError,))
    with pytest.raises(AssertionError, match="nothing was raised"):
        assert_raises_naming(lambda: None, "edge_index", (ValueError,))


def test_mutation_is_seen():
    x = torch.zeros(3)
    with (
        pytest.raises(AssertionError, match="features was changed"),
        assert_not_mutated(features=x),
    ):
        x[1] = 1


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda m: m.register_forward_hook(lambda *_: None), "hooks"),
        (lambda m: m.register_message_forward_hook(lambda *_: None), "hooks"),
        (lambda m: m.eval(), "mode"),
        (lambda m: m.requires_grad_(False), "requires_grad"),
        (lambda m: m.bias.data.fill_(3), "bias"),
        (lambda m: m.add_module("more", nn.ReLU()), "modules"),
        (lambda m: m.register_buffer("more", X), "keys"),
    ],
)
def test_every_trace_is_seen(harm, message):
    conv = GCNConv(2, 2)
    with pytest.raises(AssertionError, match=message), assert_no_trace(conv):
        harm(conv)


def test_weights_may_be_left_out_of_the_trace():
    conv = GCNConv(2, 2)
    with assert_no_trace(conv, weights=False):
        conv.bias.data.fill_(3)
    assert count_hooks(conv) == 0


def test_dense_adjacency_counts_and_weighs():
    edges, count = example_graph("duplicates")
    adjacency = dense_adjacency(edges, count)
    assert adjacency[1, 0] == 3
    assert adjacency.sum() == edges.size(1)
    weighted = dense_adjacency(edges, count, torch.full((edges.size(1),), 0.5))
    assert weighted[1, 0] == 1.5


def test_example_graphs_are_what_they_are_called():
    for name in ("plain", "isolated", "self_loops", "duplicates", "chain", "no_edges"):
        edges, count = example_graph(name)
        assert bool((edges[0] == edges[1]).any()) == (name == "self_loops")
        assert (edges.unique(dim=1).size(1) < edges.size(1)) == (name == "duplicates")
        assert (set(range(count)) > set(edges.flatten().tolist())) == (
            name in ("isolated", "no_edges")
        )
    with pytest.raises(ValueError, match="no example graph is called 'star'"):
        example_graph("star")


def test_union_keeps_graphs_apart():
    x, edges, batch = disjoint_union([(X, EDGES), (X[:0], EDGES[:, :0]), (X, EDGES)])
    assert torch.equal(edges[:, 9:], EDGES + 6)
    assert batch.tolist() == [0] * 6 + [2] * 6
    assert torch.equal(x, torch.cat([X, X]))


def test_missing_packages_are_named():
    mark = needs_package("torch", "no_such_package_at_all")
    assert mark.args == (True,)
    assert mark.kwargs == {"reason": "not installed: no_such_package_at_all"}
    assert needs_package("torch").args == (False,)


def test_hetero_tensors_carry_their_scope():
    from torch_geometric.data import HeteroData

    data = HeteroData()
    data["part"].x = torch.ones(2, 3)
    data["part", "on", "part"].edge_index = torch.tensor([[0], [1]])
    entries = dict(named_tensors(data))
    assert set(entries) == {"part.x", "part.on.part.edge_index"}
    assert entries["part.x"].num_nodes == 2
    assert entries["part.on.part.edge_index"].num_edges == 1
