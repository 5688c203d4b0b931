import math
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Data
from torch_geometric.nn import GATConv

from graphkit import ops
from graphkit.nn import SPAGANConv
from graphkit.ops import shortest_paths
from graphkit.testing import LayerSuite
from graphkit.testing.asserts import assert_close
from graphkit.transforms import AddShortestPaths, paths_of


def dense_paths(edge_index, cost, num_nodes):
    """The cheapest middle node of every pair, if it beats the edge; loops over everything."""
    price = torch.full((num_nodes, num_nodes), math.inf, dtype=torch.float64)
    for neighbour, centre, value in zip(*edge_index.tolist(), cost.tolist(), strict=True):
        if neighbour != centre:
            price[centre, neighbour] = min(float(price[centre, neighbour]), value)
    found = []
    for i in range(num_nodes):
        for j in range(num_nodes):
            through = price[i] + price[:, j]
            if i != j and num_nodes and float(through.min()) < float(price[i, j]):
                found.append((i, int(through.argmin()), j))
    return found


def dense_layer(layer, x, edge_index, paths):
    """Sums written out path by path, straight from the formulas."""
    size, heads = layer.out_channels, layer.heads
    h = F.linear(x, layer.lin.weight, layer.lin.bias).view(-1, heads, size)
    every = range(x.size(0))
    edges = [(i, j) for j, i in edge_index.t().tolist() if i != j]
    sets = {2: edges + [(i, i) for i in every], 3: paths + [(i, i, i) for i in every]}
    rows = []
    for i in every:
        parts = []
        for length, att in zip(layer.lengths, layer.att, strict=True):
            mine = [list(path[1:]) for path in sets[length] if path[0] == i]
            pooled = torch.stack(
                [h[p].mean(0) if layer.pool == "mean" else h[p].amax(0) for p in mine]
            )
            joined = torch.cat([pooled, h[i].expand_as(pooled)], dim=-1)
            alpha = F.leaky_relu((joined * att).sum(-1), 0.2).softmax(0)
            parts.append((alpha[..., None] * pooled).sum(0))
        stacked = torch.stack(parts)
        if layer.length_att is not None:
            joined = torch.cat([stacked, h[i].expand_as(stacked)], dim=-1)
            beta = F.leaky_relu((joined * layer.length_att).sum(-1), 0.2).softmax(0)
            stacked = beta[..., None] * stacked
        rows.append(stacked.sum(0))
    out = torch.stack(rows)
    return out.flatten(1) if layer.concat else out.mean(1)


class TestEdgesOnly(LayerSuite):
    def make(self):
        return SPAGANConv(8, 3, heads=2, lengths=(2,))

    def dense_reference(self, layer, x, edge_index):
        return dense_layer(layer, x, edge_index, [])


class TestMeanOfPaths(LayerSuite):
    hops = 2
    not_claimed = {
        "compile": "finding the paths is no compiled code; test_compiled_with_paths gives them",
        "compiled_sizes": "as for compile",
        "export": "as for compile",
        "pair": "paths come from the edges in 'call'; TestEdgesOnly and tests below hand them in",
        "two_sets": "as for pair",
        "size": "as for pair",
        "sparse_adjacency": "as for pair",
    }

    def make(self):
        return SPAGANConv(8, 3, heads=2)

    def edge_inputs(self, edge_index, dtype):
        return {"cost": torch.rand(edge_index.size(1)).to(dtype)}

    def call(self, layer, x, edge_index, cost=None):
        if not isinstance(x, torch.Tensor) or not isinstance(edge_index, torch.Tensor):
            return layer(x, edge_index, "auto")
        out = edge_index if layer.flow == "target_to_source" else edge_index.flip(0)
        num_nodes = x.size(max(x.dim() - 2, 0))
        paths = shortest_paths(out, cost, ratio=math.inf, num_nodes=num_nodes)
        return layer(x, edge_index, paths)

    def dense_reference(self, layer, x, edge_index, cost):
        return dense_layer(layer, x, edge_index, dense_paths(edge_index, cost, x.size(0)))


class TestMaximumOfPaths(TestMeanOfPaths):
    def make(self):
        return SPAGANConv(8, 3, heads=2, concat=False, variant="released")


def graph(num_nodes=12, num_edges=40):
    edge_index = torch.randint(num_nodes, (2, num_edges))
    paths = shortest_paths(
        edge_index.flip(0), torch.rand(num_edges), 4, math.inf, num_nodes=num_nodes
    )
    return torch.randn(num_nodes, 5), edge_index, paths


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_edges_alone_are_graph_attention(pool):
    x, edge_index, _ = graph()
    gat = GATConv(5, 4, heads=3)
    conv = SPAGANConv(5, 4, heads=3, lengths=(2,), pool=pool)
    with torch.no_grad():
        conv.lin.weight.copy_(gat.lin.weight)
        conv.att.copy_(torch.cat([gat.att_src, gat.att_dst], dim=-1))
    torch.testing.assert_close(conv(x, edge_index), gat(x, edge_index), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_compiled_with_paths(pool):
    x, edge_index, paths = graph()
    conv = SPAGANConv(5, 4, heads=2, lengths=(2, 3, 4), pool=pool)
    compiled = torch.compile(conv, fullgraph=True, backend="aot_eager")
    found, wanted = compiled(x, edge_index, paths), conv(x, edge_index, paths)
    assert_close(found, wanted, "outputs")
    for one, other in zip(
        torch.autograd.grad(found.sum(), list(conv.parameters())),
        torch.autograd.grad(wanted.sum(), list(conv.parameters())),
        strict=True,
    ):
        assert_close(one, other, "gradients")


def test_weights_of_both_levels_sum_to_one():
    x, edge_index, paths = graph()
    for length in (2, 3, 4):
        for pool in ("mean", "max"):
            conv = SPAGANConv(5, 4, heads=2, lengths=(length,), pool=pool).eval()
            with torch.no_grad():
                conv.lin.weight.zero_()
                conv.lin.bias.fill_(1.5)
            torch.testing.assert_close(conv(x, edge_index, paths), torch.full((12, 8), 1.5))
    conv = SPAGANConv(5, 4, heads=2, lengths=(2, 3, 4)).eval()
    with torch.no_grad():
        conv.lin.weight.zero_()
        conv.lin.bias.fill_(1.5)
    torch.testing.assert_close(conv(x, edge_index, paths), torch.full((12, 8), 1.5))
    _, (edges, alpha) = conv(x, edge_index, paths, return_attention_weights=True)
    total = torch.zeros(12, 2).index_add(0, edges[1], alpha)
    torch.testing.assert_close(total, torch.ones(12, 2))


def test_an_isolated_node_sees_itself():
    conv = SPAGANConv(5, 4, heads=2)
    x = torch.randn(3, 5)
    paths = {3: torch.empty(0, 3, dtype=torch.long)}
    out = conv(x, torch.tensor([[0], [1]]), paths)
    torch.testing.assert_close(out[2], conv.lin(x)[2])


def test_without_self_loops_nodes_without_paths_get_zeros():
    conv = SPAGANConv(5, 4, add_self_loops=False)
    out = conv(torch.randn(3, 5), torch.tensor([[0], [1]]), {3: torch.tensor([[1, 0, 2]])})
    assert torch.equal(out[[0, 2]], torch.zeros(2, 4))
    assert out[1].abs().sum() > 0


def test_dropout_acts_in_training_alone():
    x, edge_index, paths = graph()
    for pool in ("mean", "max"):
        conv = SPAGANConv(5, 4, heads=2, lengths=(3,), pool=pool, dropout=0.5)
        first, second = (conv.train()(x, edge_index, paths) for _ in range(2))
        assert not torch.equal(first, second)
        first, second = (conv.eval()(x, edge_index, paths) for _ in range(2))
        assert torch.equal(first, second)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_sparse_features_equal_dense_ones():
    x, edge_index, paths = graph()
    x = x.double() * (torch.rand_like(x) < 0.3)
    conv = SPAGANConv(5, 4, heads=2).double()
    dense, sparse = (conv(given, edge_index, paths) for given in (x, x.to_sparse_csr()))
    torch.testing.assert_close(sparse, dense)
    for one, other in zip(
        torch.autograd.grad(sparse.square().sum(), list(conv.parameters())),
        torch.autograd.grad(dense.square().sum(), list(conv.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_biases_start_at_zero_unless_the_authors_start_is_wanted():
    assert not SPAGANConv(5, 4, heads=2).lin.bias.any()
    assert SPAGANConv(5, 4, heads=2, init="authors").lin.bias.std() > 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pool": "sum"}, "'pool'"),
        ({"variant": "new"}, "'variant'"),
        ({"init": "ones"}, "'init'"),
        ({"lengths": ()}, "'lengths'"),
        ({"lengths": (1, 2)}, "'lengths'"),
        ({"lengths": (3, 3)}, "'lengths'"),
    ],
)
def test_bad_options_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        SPAGANConv(5, 4, **changes)


def test_bad_paths_are_refused_by_name():
    x, edge_index, paths = graph()
    conv = SPAGANConv(5, 4)
    with pytest.raises(ValueError, match="no paths of 3 nodes"):
        conv(x, edge_index)
    with pytest.raises(ValueError, match="no paths of 3 nodes"):
        conv(x, edge_index, {4: paths[4]})
    with pytest.raises(ValueError, match=r"integers \[P, 3\]"):
        conv(x, edge_index, {3: paths[4]})
    with pytest.raises(ValueError, match=r"integers \[P, 3\]"):
        conv(x, edge_index, {3: paths[3].float()})
    with pytest.raises(IndexError, match="0 to 12"):
        conv(x, edge_index, {3: torch.tensor([[0, 12, 3]])})
    with pytest.raises(ValueError, match="edges have no weights"):
        SPAGANConv(5, 4, lengths=(3,))(x, edge_index, paths, return_attention_weights=True)


def auto_and_by_hand(lengths=(2, 3, 4)):
    torch.manual_seed(2)
    edge_index = torch.randint(12, (2, 30))
    by_hand = AddShortestPaths(max(lengths))(Data(edge_index=edge_index, num_nodes=12))
    return torch.randn(12, 5), edge_index, paths_of(by_hand)


def test_auto_finds_the_paths_of_the_transform():
    x, edge_index, paths = auto_and_by_hand()
    conv = SPAGANConv(5, 4, lengths=(2, 3, 4))
    expected = conv(x, edge_index, paths)
    assert torch.equal(conv(x, edge_index, "auto"), expected)
    made = SPAGANConv(5, 4, lengths=(2, 3, 4), paths="auto")
    made.load_state_dict(conv.state_dict())
    assert torch.equal(made(x, edge_index), expected)
    assert torch.equal(
        made(x, edge_index, {3: paths[3], 4: paths[4][:0]}),
        conv(x, edge_index, {3: paths[3], 4: paths[4][:0]}),
    )
    against = SPAGANConv(5, 4, lengths=(2, 3, 4), flow="target_to_source")
    against.load_state_dict(conv.state_dict())
    torch.testing.assert_close(against(x, edge_index.flip(0), "auto"), expected)


def test_paths_found_are_kept_with_all_that_they_depend_on():
    x, edge_index, _ = auto_and_by_hand()
    short, long = SPAGANConv(5, 4), SPAGANConv(5, 4, lengths=(2, 4))
    against = SPAGANConv(5, 4, flow="target_to_source")
    edges = edge_index.clone()
    calls = [
        (short, x, edges),
        (long, x, edges),
        (against, x, edges),
        (short, torch.cat([x, x]), edges),
        (short, x, edges[:, :20]),
        (short, x, edges[:, 10:]),
    ]
    for conv, features, given in calls:
        with mock.patch.object(ops, "shortest_paths", wraps=ops.shortest_paths) as search:
            outputs = [conv(features, given, "auto") for _ in range(2)]
        assert search.call_count == 1
        fresh = conv(features, given.clone(), "auto")
        assert all(torch.equal(out, fresh) for out in outputs)
    edges[0, 0] = (edges[0, 0] + 1) % 12
    assert torch.equal(short(x, edges, "auto"), short(x, edges.clone(), "auto"))


def test_paths_that_are_missing_or_cannot_be_are_explained():
    x, edge_index, paths = auto_and_by_hand()
    conv = SPAGANConv(5, 4)
    with pytest.raises(
        ValueError, match=r"AddShortestPaths\(3\).*paths='auto'.*lengths=\(2,\)"
    ) as error:
        conv(x, edge_index)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="must be a dict of paths or 'auto', got 'all'"):
        conv(x, edge_index, "all")
    with pytest.raises(ValueError, match="'paths' must be 'auto' or None"):
        SPAGANConv(5, 4, paths=paths)
    with pytest.raises(ValueError, match="'x' is a pair of two sets"):
        conv((x, x.clone()), edge_index, paths)
    assert torch.equal(conv((x, x), edge_index, paths), conv(x, edge_index, paths))
    torch.compiler.reset()
    compiled = torch.compile(conv, fullgraph=True, backend="eager")
    with pytest.raises(Exception, match="hand in 'paths'"):
        compiled(x, edge_index, "auto")
    torch.compiler.reset()


@pytest.mark.parametrize("aggr", ["max", "mean", ["sum", "max"], "softmax"])
def test_another_aggregation_is_refused(aggr):
    with pytest.raises(ValueError, match="'aggr'"):
        SPAGANConv(5, 4, aggr=aggr)
    assert SPAGANConv(5, 4, aggr="sum").may_be_fast()


def test_two_widths_have_two_matrices():
    conv = SPAGANConv((5, 3), 4, heads=2, lengths=(2,), add_self_loops=False)
    pair = torch.randn(6, 5), torch.randn(4, 3)
    edges = torch.stack([torch.randint(6, (20,)), torch.randint(4, (20,))])
    gat = GATConv((5, 3), 4, heads=2, add_self_loops=False)
    with torch.no_grad():
        gat.lin_src.weight.copy_(conv.lin.weight)
        gat.lin_dst.weight.copy_(conv.lin_dst.weight)
        att = conv.att.split(4, dim=-1)
        gat.att_src.copy_(att[0])
        gat.att_dst.copy_(att[1])
    torch.testing.assert_close(conv(pair, edges), gat(pair, edges))
    assert repr(conv).startswith("SPAGANConv((5, 3), 4")
