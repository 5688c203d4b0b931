import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.nn import GCN

from graphkit.adapters import ChannelGraphAdapter
from graphkit.testing import AdapterSuite


def network(width):
    return nn.Sequential(nn.Conv2d(1, width, 3, 1, 1), nn.Dropout(), nn.Flatten())


def make(**options):
    options = {"bins": 4, "threshold": 0.2, "explore": torch.tensor([3, 4])} | options
    return ChannelGraphAdapter(network(5), network(3), ("0", "0"), **options)


class TestChannelGraphAdapter(AdapterSuite):
    not_claimed = {
        "no_node": "a layer has channels",
        "single_node": "the number of channels is the network's",
    }

    def make(self):
        return make()

    def example(self):
        return (torch.randn(30, 1, 4, 4),)

    def degenerate(self):
        x = torch.randn(3, 1, 4, 4)
        return {"no image": (x[:0],), "one image": (x[:1],), "three": (x,)}

    def recovered(self, graph, x):
        """Mean responses and their correlations."""
        adapter, _ = self.build()
        ours, theirs = (net[0](x).mean((2, 3)) for net in (adapter.student, adapter.teacher))
        means = torch.stack([ours[i::4].mean(0) for i in range(4)], 1)
        whole = torch.from_numpy(np.corrcoef(ours.detach().t(), theirs.detach().t())).float()
        taught = graph["student_channel", "teacher_channel"]
        source, target = taught.edge_index
        return {
            "responses": (graph["student_channel"].x, means.detach()),
            "correlations": (taught.edge_attr[:, 0], whole[source, 5 + target]),
            "weights": (taught.edge_weight, whole[source, 5 + target].abs()),
            "halves": (graph["student_channel"].y, torch.tensor([0, 0, 0, 1, 1])),
        }


def test_classes_are_the_bins():
    adapter, x, y = make(explore=None), torch.randn(9, 1, 4, 4), torch.arange(9) % 3
    graph = adapter(x, y=y)
    ours = adapter.student[0](x).mean((2, 3)).detach()
    means = [ours[y == kind].mean(0) for kind in range(3)]
    torch.testing.assert_close(graph["student_channel"].x[:, :3], torch.stack(means, 1))
    assert graph["student_channel"].x[:, 3].tolist() == [0.0] * 5
    assert graph["student_channel"].y.tolist() == [-1] * 5


def test_graph_networks_have_channels_as_well():
    adapter = ChannelGraphAdapter(GCN(8, 6, 2, 3), GCN(8, 4, 2, 3), ("convs.0",) * 2)
    x, edge_index = torch.rand(20, 8), torch.randint(20, (2, 60))
    graph = adapter(x, edge_index)
    assert (graph["student_channel"].num_nodes, graph["teacher_channel"].num_nodes) == (6, 4)
    twin = ChannelGraphAdapter(adapter.student, adapter.student, ("convs.0",) * 2, threshold=0.999)
    edges = twin(x, edge_index)["student_channel", "teacher_channel"].edge_index
    assert {(i, i) for i in range(6)} <= {tuple(edge) for edge in edges.t().tolist()}


def test_each_channel_is_linked_to_those_that_correlate_most():
    x = torch.randn(30, 1, 4, 4)
    adapter = make(threshold=1e-6)
    whole, adapter.k = adapter(x), 2
    graph = adapter(x)
    for kind, rows, degrees in (("teacher_channel", 5, {2}), ("student_channel", 5, {2, 3, 4})):
        full, some = (g["student_channel", kind] for g in (whole, graph))
        size = torch.zeros(rows, full.edge_index.max() + 1)
        size[full.edge_index[0], full.edge_index[1]] = full.edge_weight
        assert set(some.edge_index[0].bincount(minlength=rows).tolist()) <= degrees
        pairs = {tuple(edge) for edge in some.edge_index.t().tolist()}
        for row in range(rows):
            assert {(row, int(best)) for best in size[row].topk(2).indices} <= pairs
    inside = graph["student_channel", "student_channel"].edge_index
    assert {tuple(edge) for edge in inside.t().tolist()} == {
        tuple(edge) for edge in inside.flip(0).t().tolist()
    }


def test_wrong_arguments_are_named():
    x = torch.randn(4, 1, 4, 4)
    with pytest.raises(ValueError, match="'bins' and 'k' must be"):
        make(bins=0)
    with pytest.raises(ValueError, match="'bins' and 'k' must be"):
        make(k=0)
    with pytest.raises(ValueError, match="'y' must hold 4 classes"):
        make()(x, y=torch.full((4,), 4))
    with pytest.raises(ValueError, match="'y' must hold"):
        make()(x, y=torch.zeros(3).long())
    with pytest.raises(ValueError, match="no submodule '7'"):
        ChannelGraphAdapter(network(2), network(2), ("0", "7"))
