import networkx as nx
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GCNConv, global_mean_pool
from torch_geometric.utils import erdos_renyi_graph, is_undirected, to_networkx

from graphkit.testing import assert_no_trace, assert_not_mutated
from graphkit.transforms import graph_snapmix


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.drop, self.head = GCNConv(3, 8), nn.Dropout(), nn.Linear(8, 4)

    def forward(self, x, edge_index, batch):
        h = self.drop(self.conv(x, edge_index).relu())
        return self.head(global_mean_pool(h, batch))


def graph(count, y, seed, extras=True):
    torch.manual_seed(seed)
    edges = erdos_renyi_graph(count, 0.25)
    data = Data(x=torch.randn(count, 3), edge_index=edges, y=torch.tensor([y]))
    if extras:
        # Of both ends, and the same in both directions.
        data.edge_attr = (data.x[edges[0]] + data.x[edges[1]]).contiguous()
    return data


def mix(seed=0, a=None, b=None, model=None, **options):
    a, b = graph(30, 1, 1) if a is None else a, graph(20, 3, 2) if b is None else b
    torch.manual_seed(9)
    model = Net() if model is None else model
    generator = torch.Generator().manual_seed(seed)
    mixed = graph_snapmix(a, b, model, "conv", "head", generator=generator, **options)
    return a, b, model, mixed


@pytest.mark.parametrize("seed", range(8))
def test_parts_are_those_of_the_graphs(seed):
    a, b, _, mixed = mix(seed)
    assert mixed.validate()
    came, left = mixed.origin[mixed.donated], mixed.origin[~mixed.donated]
    assert torch.equal(mixed.x, torch.cat([a.x[left], b.x[came]]))
    assert 0 < len(came) < 20
    # What comes is connected, and so is what goes.
    assert nx.is_connected(to_networkx(b.subgraph(came), to_undirected=True))
    gone = torch.ones(30, dtype=torch.bool)
    gone[left] = False
    assert nx.is_connected(to_networkx(a.subgraph(gone), to_undirected=True))
    ends = mixed.donated[mixed.edge_index]
    for source, part, keep in ((a, left, ~ends.any(0)), (b, came, ends.all(0))):
        wanted = source.subgraph(part)
        offset = 0 if source is a else len(left)
        inner = mixed.edge_index[:, keep] - offset
        assert torch.equal(inner, wanted.edge_index)
        assert torch.equal(mixed.edge_attr[keep], wanted.edge_attr)
    # An edge per edge that was cut, both directions at the same node, with its attributes.
    seams = ends[0] != ends[1]
    cut = gone[a.edge_index]
    cut = cut[0] != cut[1]
    assert seams.sum() == cut.sum()
    assert torch.equal(mixed.edge_attr[seams], a.edge_attr[cut])
    kept = mixed.origin[mixed.edge_index[:, seams]][~ends[:, seams]]
    assert torch.equal(kept, a.edge_index[:, cut][~gone[a.edge_index[:, cut]]])
    assert is_undirected(mixed.edge_index)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_units_of_the_evidence_do_not_matter(scale):
    _, _, model, mixed = mix()
    with torch.no_grad():
        model.head.weight *= scale
    scaled = mix(model=model)[-1]
    torch.testing.assert_close(scaled.weight, mixed.weight)
    assert not torch.allclose(mixed.weight.sum(), torch.ones(()), atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_weights_are_what_nodes_add_to_the_logit(seed):
    a, b, model, mixed = mix(seed)
    model.eval()
    shares = []
    for data in (a, b):
        h = model.conv(data.x, data.edge_index)
        score = h @ model.head.weight[data.y[0]]
        shares.append((score - score.min()) / (score - score.min()).sum())
    rho_a = shares[0][mixed.origin[~mixed.donated]].sum()
    rho_b = shares[1][mixed.origin[mixed.donated]].sum()
    assert torch.allclose(mixed.weight, torch.stack([rho_a, rho_b])[None], atol=1e-6)
    assert torch.allclose(mixed.y, rho_a * torch.eye(4)[[1]] + rho_b * torch.eye(4)[[3]])


def test_new_ends_follow_the_edges_that_were_lost():
    """A star without its leaf's edges: only the hub has lost edges, and only it gets some."""
    leaves = torch.arange(1, 12)
    hub = torch.stack([torch.zeros_like(leaves), leaves])
    star = Data(torch.randn(12, 3), torch.cat([hub, hub.flip(0)], 1), y=torch.tensor([0]))
    a = graph(30, 1, 1, extras=False)
    for seed in range(20):
        _, _, _, mixed = mix(seed, a=a, b=star)
        came = mixed.origin[mixed.donated]
        if not 1 < len(came) < 12 or 0 not in came:
            continue
        ends = mixed.donated[mixed.edge_index]
        seams = mixed.edge_index[:, ends[0] != ends[1]]
        assert (mixed.origin[seams[mixed.donated[seams]]] == 0).all()
        return
    raise AssertionError("no seed gives a part of the star")


def test_same_class_seeds_batches_and_loss():
    a, other = graph(30, 3, 1), graph(20, 3, 2)
    _, _, model, mixed = mix(0, a=a, b=other)
    assert torch.allclose(mixed.y[0, 3], mixed.weight.sum())
    again = mix(0, a=a, b=other)[3]
    assert torch.equal(again.edge_index, mixed.edge_index)
    assert torch.equal(again.y, mixed.y)
    batch = next(iter(DataLoader([mixed, mix(1)[3]], batch_size=2)))
    logits = model(batch.x, batch.edge_index, batch=batch.batch)
    F.cross_entropy(logits, batch.y).backward()
    assert batch.y.shape == (2, 4)


def test_smallest_graphs():
    lone = Data(torch.randn(1, 3), torch.empty(2, 0, dtype=torch.long), y=torch.tensor([2]))
    for seed in range(4):
        mixed = mix(seed, a=lone, b=lone)[3]
        assert mixed.num_nodes == 1
        assert mixed.y.sum() == pytest.approx(1)
        assert mix(seed, a=graph(9, 0, 3, False), b=lone)[3].validate()
    alike = Data(torch.ones(6, 3), torch.empty(2, 0, dtype=torch.long), y=torch.tensor([2]))
    mixed = mix(0, a=alike, b=alike)[3]
    assert mixed.weight[0, 0] == pytest.approx(float((~mixed.donated).sum()) / 6)


def test_graphs_and_the_model_stay_as_they_are():
    a, b, model = graph(30, 1, 1), graph(20, 3, 2), Net().train()
    tensors = {"a.x": a.x, "a.edge_index": a.edge_index, "b.x": b.x, "b.edge_attr": b.edge_attr}
    with assert_no_trace(model), assert_not_mutated(**tensors):
        mix(0, a, b, model)


def test_wrong_arguments_are_named():
    a, b = graph(30, 1, 1), graph(20, 3, 2)
    with pytest.raises(ValueError, match="beta"):
        mix(beta=-1.0)
    with pytest.raises(ValueError, match="edge_attr"):
        mix(b=graph(20, 3, 2, extras=False))
    with pytest.raises(ValueError, match="'b' must have 'y'"):
        mix(b=graph(20, 4, 2))
    with pytest.raises(ValueError, match="'a' must have nodes"):
        mix(a=Data(edge_index=a.edge_index, y=a.y))
    with pytest.raises(ValueError, match="'b' has features"):
        mix(a=graph(9, 0, 1, False), b=Data(torch.rand(4, 2), a.edge_index[:, :0], y=a.y))
    with pytest.raises(ValueError, match="'head'"):
        graph_snapmix(a, b, Net(), "conv", "drop")
    with pytest.raises(ValueError, match="'layer'"):
        graph_snapmix(a, b, Net(), "head", "head")
