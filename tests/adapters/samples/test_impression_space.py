import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphkit.adapters import ImpressionGraphAdapter
from graphkit.testing import AdapterSuite
from graphkit.vision import ImpressionSpace


def make(k=3):
    blocks = [
        nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU()),
    ]
    return ImpressionGraphAdapter(ImpressionSpace(blocks), k=k)


class TestImpressionGraphAdapter(AdapterSuite):
    def make(self):
        return make()

    def example(self):
        return torch.rand(12, 1, 6, 6), torch.arange(12) % 3

    def degenerate(self):
        label = torch.zeros(3, dtype=torch.long)
        x = torch.rand(3, 1, 6, 6)
        return {
            "no image": (x[:0], label[:0]),
            "one image": (x[:1], label[:1]),
            "fewer than k": (x, label),
            "all the same": (x[:1].expand(3, 1, 6, 6).clone(), label),
        }

    def recovered(self, graph, x, y):
        """The cosines of centred impressions, from the weights."""
        adapter, _ = self.build()
        v = adapter.space.vectors(x)
        cosine = F.cosine_similarity((v - v.mean(0))[:, None], (v - v.mean(0))[None], dim=2)
        near = cosine[tuple(graph.edge_index)]
        return {
            "classes": (graph.y, y),
            "impressions": (graph.x, v),
            "cosines": (2 * graph.edge_weight - 1, near),
        }


def test_each_image_has_its_k_nearest_before_symmetry():
    adapter, x = make(k=2), torch.rand(15, 1, 6, 6)
    graph = adapter(x)
    v = adapter.space.vectors(x)
    unit = F.normalize(v - v.mean(0), dim=1)
    near = (unit @ unit.t()).fill_diagonal_(-2).topk(2).indices
    expected = torch.zeros(15, 15, dtype=torch.bool).scatter(1, near, True)
    expected |= expected.t().clone()
    assert torch.equal(graph.edge_index, expected.nonzero().t())
    assert 0 <= graph.edge_weight.min() <= graph.edge_weight.max() <= 1


def test_duplicates_have_weight_one():
    x = torch.rand(6, 1, 6, 6)
    graph = make(k=1)(torch.cat([x, x]))
    twin = (graph.edge_index[0] - graph.edge_index[1]).abs() == 6
    assert twin.sum() == 12
    assert torch.allclose(graph.edge_weight[twin], torch.ones(12))
    assert make()(x).y.tolist() == [-1] * 6


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'k'"):
        make(k=0)
    with pytest.raises(ValueError, match="'y'"):
        make()(torch.rand(4, 1, 6, 6), torch.zeros(3).long())
