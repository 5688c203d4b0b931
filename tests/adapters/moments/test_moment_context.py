import pytest
import torch

from graphkit.adapters import MomentContextGraphAdapter
from graphkit.testing import AdapterSuite
from graphkit.vision import surround


class TestMomentContextGraphAdapter(AdapterSuite):
    def make(self):
        return MomentContextGraphAdapter()

    def example(self):
        return torch.rand(3, 12), torch.tensor([0.25, 0.5])

    def degenerate(self):
        whole = torch.tensor([0.0, 1.0])
        return {
            "no frame": (torch.rand(3, 0), whole),
            "one frame": (torch.rand(3, 1), whole),
            "no moment": (torch.rand(3, 4), torch.tensor([0.5, 0.5])),
        }

    def recovered(self, graph, x, segment):
        inside = (graph.y == 1).nonzero().flatten()
        return {
            "frames": (graph.x.t(), x),
            "start": (inside.min() / 12, segment[0]),
            "end": ((inside.max() + 1) / 12, segment[1]),
        }


def test_a_made_up_sequence_has_its_moment_inside():
    moment, context = torch.ones(1, 2, 4), torch.zeros(1, 2, 4)
    x, segment = surround(moment, context, torch.tensor([5]), torch.tensor([3]), 16)
    graph = MomentContextGraphAdapter()(x[0], segment[0])
    assert torch.equal(graph.x[:, 0], (graph.y == 1).float())
    assert graph.y.bincount().tolist() == [3, 5, 8]
    source, target = graph.edge_index
    crossing = graph.edge_attr[:, 1].bool()
    assert sorted(source[crossing & (target > source)].tolist()) == [2, 7]
    assert torch.equal(graph.edge_attr[:, 0].bool(), target > source)


def test_edges_lead_ahead_alone_if_asked():
    adapter = MomentContextGraphAdapter(undirected=False)
    graph = adapter(torch.rand(2, 5), torch.tensor([0.0, 0.4]))
    assert graph.edge_index.tolist() == [[0, 1, 2, 3], [1, 2, 3, 4]]
    assert not adapter.schema.is_undirected()


def test_wrong_segments_are_named():
    for segment in (torch.tensor([0.5, 0.2]), torch.rand(3), torch.tensor([0.1, torch.nan])):
        with pytest.raises(ValueError, match="segment"):
            MomentContextGraphAdapter()(torch.rand(2, 5), segment)
