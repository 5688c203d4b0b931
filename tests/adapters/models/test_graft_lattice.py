import itertools

import networkx as nx
import pytest
import torch
from torch import nn
from torch.nn.functional import cosine_similarity, normalize
from torch_geometric.data import Data
from torch_geometric.utils import degree, to_undirected

from graphkit.adapters import GraftLatticeAdapter, graft_order, lattice_edges
from graphkit.compress import NetGraft
from graphkit.testing import AdapterSuite
from tests.compress.networks import conv_blocks, graph, graph_blocks, images


def make(depth=3, norm=True):
    net = NetGraft(conv_blocks(6, depth, norm), conv_blocks(2, depth, norm), images())
    return GraftLatticeAdapter(net)


class TestGraftLatticeAdapter(AdapterSuite):
    def make(self):
        return make()

    def example(self):
        return (images(9),)

    def degenerate(self):
        x, y = images(4), torch.zeros(4).long()
        teacher, far = torch.zeros(1, 3).bool(), torch.tensor([[True] * 3, [False] * 3])
        return {
            "no hybrid": (x, None, y, teacher[:0]),
            "one hybrid": (x, None, y, teacher),
            "no edge": (x, None, y, far),
            "no sample": (x[:0],),
            "one sample": (x[:1], None, None, None, teacher),
        }

    def recovered(self, graph, x):
        """Which blocks are grafted, and the distance of the whole student from the teacher."""
        net = self.build()[0].net.eval()
        student, teacher = net(x), net(x, grafted=(False,) * 3)
        bits = torch.tensor([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)])
        apart = 2 - 2 * cosine_similarity(student, teacher, dim=1).mean()
        return {"blocks": (graph.x[:, :3], bits.float()), "distance": (graph.y[-1], apart)}


@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_the_lattice_has_all_hybrids_and_every_single_graft(blocks):
    lattice = make(blocks)(images(3))
    assert lattice.num_nodes == 2**blocks
    assert torch.equal(lattice.edge_index, lattice_edges([2] * blocks))
    both = to_undirected(lattice.edge_index)
    assert both.size(1) == 2 * blocks * 2 ** (blocks - 1)
    assert (degree(both[0], 2**blocks) == blocks).all()


def test_each_hybrid_is_measured_as_if_alone():
    adapter, x = make(), images(11)
    labels = torch.randint(5, (11,))
    visited = torch.tensor(adapter.net.stages())
    lattice = adapter(x, labels=labels, visited=visited)
    net = adapter.net.eval()
    outputs = [net(x, grafted=row) for row in lattice.x[:, :3].bool().tolist()]
    unit = [normalize(out, dim=1) for out in outputs]
    for number, out in enumerate(outputs):
        apart = (unit[number] - unit[0]).square().sum(1).mean()
        assert torch.allclose(lattice.y[number], apart, atol=1e-6)
        right = (out.argmax(1) == labels).float().mean()
        assert torch.allclose(lattice.score[number], right)
    for (a, b), weight in zip(lattice.edge_index.t(), lattice.edge_weight, strict=True):
        moved = (unit[a] - unit[b]).square().sum(1).mean()
        assert torch.allclose(weight, moved, atol=1e-6)
    assert lattice.visited.tolist() == [False, True, True, False, True, False, True, True]
    assert lattice.y[0] == 0
    assert adapter(x).score[0] == 1


def test_costs_are_shares_of_the_teacher():
    """Two linear layers: 4 -> w -> 3, without bias."""
    pair = [[nn.Linear(4, w, bias=False), nn.Linear(w, 3, bias=False)] for w in (10, 2)]
    lattice = GraftLatticeAdapter(NetGraft(*pair, torch.rand(5, 4)))(torch.rand(5, 4))
    teacher = 4 * 10 + 10 * 3
    numbers = [
        teacher,
        4 * 10 + 10 * 2 + 2 * 3,
        4 * 2 + 2 * 10 + 10 * 3,
        4 * 2 + 2 * 2 * 10 + 2 * 3,
    ]
    expected = torch.tensor(numbers) / teacher
    assert torch.allclose(lattice.x[:, 2], expected)
    assert torch.allclose(lattice.x[:, 3], expected)


def test_hybrids_of_graph_networks():
    x, edge_index = graph()
    net = NetGraft(graph_blocks(8), graph_blocks(3), x, edge_index)
    rows = torch.tensor([1, 5, 11])
    lattice = GraftLatticeAdapter(net)(x, edge_index, rows=rows)
    unit = [normalize(net(x, edge_index, grafted=g)[rows], dim=1) for g in ((0, 1, 0), (0, 0, 0))]
    assert torch.allclose(lattice.y[2], (unit[0] - unit[1]).square().sum(1).mean(), atol=1e-6)


def test_many_blocks_need_the_hybrids_by_name():
    adapter, x = make(7), images(2)
    with pytest.raises(ValueError, match="7 blocks have 128 hybrids"):
        adapter(x)
    stages = torch.tensor([(False,) * 7, *adapter.net.stages()])
    lattice = adapter(x, hybrids=stages, visited=stages[1:])
    assert lattice.num_nodes == 14
    assert lattice.visited.sum() == 13
    assert graft_order(lattice) == list(range(7))


def test_the_order_is_that_of_the_shortest_path():
    lattice = make(4)(images(5))
    lattice.edge_weight = torch.rand(lattice.num_edges)
    order, length = graft_order(lattice), {}
    weight = {
        tuple(e): float(w)
        for e, w in zip(lattice.edge_index.t().tolist(), lattice.edge_weight, strict=True)
    }
    for one in itertools.permutations(range(4)):
        number = list(itertools.accumulate((8 >> block for block in one), initial=0))
        length[one] = sum(weight[step] for step in itertools.pairwise(number))
    assert tuple(order) == min(length, key=length.get)


def test_orders_need_both_ends_and_a_way():
    lattice = make(2)(images(2))
    with pytest.raises(ValueError, match="lacks the teacher"):
        graft_order(lattice.subgraph(torch.tensor([0, 1, 2])))
    with pytest.raises(nx.NetworkXNoPath):
        graft_order(lattice.subgraph(torch.tensor([0, 3])))
    line = Data(
        x=torch.tensor([[0.0, 1.0, 1.0], [1.0, 1.0, 1.0]]),
        edge_index=torch.tensor([[0], [1]]),
        edge_weight=torch.ones(1),
    )
    assert graft_order(line) == [0]


def test_wrong_arguments_are_named():
    adapter, x = make(), images(4)
    with pytest.raises(ValueError, match="'hybrids'"):
        adapter(x, hybrids=torch.zeros(2, 2))
    with pytest.raises(ValueError, match="'visited'"):
        adapter(x, visited=torch.zeros(3))
    with pytest.raises(ValueError, match="'labels'"):
        adapter(x, labels=torch.zeros(3).long())


def test_blocks_that_write_in_place_change_nothing():
    """Hybrids of one prefix share its features; a block may not spoil them for the next."""

    def blocks(width, inplace):
        torch.manual_seed(width)
        head = nn.Sequential(nn.ReLU(inplace), nn.Flatten(), nn.Linear(width * 64, 3))
        return [
            nn.Sequential(nn.Hardtanh(0.2, 0.8, inplace), nn.Conv2d(3, width, 1)),
            nn.Sequential(nn.ReLU(inplace), nn.Conv2d(width, width, 1)),
            head,
        ]

    graphs, x = [], torch.rand(4, 3, 8, 8)
    given = x.clone()
    for inplace in (True, False):
        torch.manual_seed(0)
        net = NetGraft(blocks(6, inplace), blocks(2, inplace), x)
        graphs.append(GraftLatticeAdapter(net)(x))
        assert torch.equal(x, given)
    for name in ("x", "y", "score", "edge_weight"):
        assert torch.equal(graphs[0][name], graphs[1][name]), name
