import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphkit.adapters import CoassociationGraphAdapter, TwoViewGraphAdapter
from graphkit.testing import AdapterSuite
from graphkit.vision import ConsistencyClustering

HISTORY = torch.tensor(
    [[0, 0, 0, 1, 1, 1, 2, -1], [0, 0, 1, 1, 1, 2, 2, -1], [0, 0, 1, 1, 1, 1, -1, -1]]
)


def shares(history):
    """The co-association matrix, pair by pair."""
    count = history.size(1)
    matrix = torch.zeros(count, count)
    for labels in history:
        for i in range(count):
            for j in range(count):
                matrix[i, j] += float(labels[i] == labels[j] and labels[i] >= 0) / len(history)
    return matrix.fill_diagonal_(0)


class TestCoassociationGraphAdapter(AdapterSuite):
    def make(self):
        return CoassociationGraphAdapter()

    def example(self):
        return HISTORY, torch.randn(8, 4), torch.randn(8, 4), torch.arange(8) % 3

    def degenerate(self):
        x = torch.randn(8, 4)
        return {
            "no sample": (HISTORY[:, :0], x[:0], x[:0], HISTORY[0, :0]),
            "one sample": (HISTORY[:, :1], x[:1], x[:1], HISTORY[0, :1]),
            "all outliers": (torch.full_like(HISTORY, -1), x, x, HISTORY[0]),
            "one round": (HISTORY[:1], x, x, HISTORY[0]),
        }

    def recovered(self, graph, history, x, other, y):
        """Frequencies, cosines, stability and labels."""
        expected = shares(history)
        source, target = graph.edge_index
        cosine = F.cosine_similarity(x[source], x[target])
        across = F.cosine_similarity(x[source], other[target])
        across = (across + F.cosine_similarity(other[source], x[target])) / 2
        stable = torch.stack([(history[:, i] == history[-1, i]).float().mean() for i in range(8)])
        return {
            "pairs": (graph.edge_index, expected.nonzero().t()),
            "frequency": (graph.edge_attr[:, 0], expected[source, target]),
            "cosine": (graph.edge_attr[:, 1], cosine),
            "across": (graph.edge_attr[:, 2], across),
            "stability": (graph.stability, stable),
            "clusters": (graph.cluster, history[-1]),
            "identities": (graph.y, y),
            "embeddings": (graph.x, x),
        }


def test_one_round_is_the_indicator_of_its_clusters():
    graph = CoassociationGraphAdapter()(HISTORY[:1], torch.randn(8, 4))
    assert (graph.edge_attr[:, 0] == 1).all()
    assert graph.stability.tolist() == [1.0] * 8
    assert graph.y.tolist() == [-1] * 8
    assert torch.equal(graph.edge_attr[:, 1], graph.edge_attr[:, 2])


def test_only_the_last_rounds_count_on_request():
    x = torch.randn(8, 4)
    graph = CoassociationGraphAdapter(last=2)(HISTORY, x)
    expected = CoassociationGraphAdapter()(HISTORY[1:], x)
    for name in ("edge_index", "edge_attr", "stability", "cluster"):
        assert torch.equal(graph[name], expected[name])
    with pytest.raises(ValueError, match="'last'"):
        CoassociationGraphAdapter(last=0)


def network():
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))


class TestTwoViewGraphAdapter(AdapterSuite):
    not_claimed = {"no_edge": "an image is linked to its views, and they to each other"}

    def make(self):
        torch.manual_seed(0)
        return TwoViewGraphAdapter(ConsistencyClustering(network(), 4, 3), k=3)

    def example(self):
        x = torch.randn(12, 6)
        return x, x + 0.2 * torch.randn(12, 6), torch.arange(12) % 3

    def degenerate(self):
        first, second, y = self.example()
        return {
            "no image": (first[:0], second[:0], y[:0]),
            "one image": (first[:1], second[:1], y[:1]),
            "fewer than k": (first[:3], second[:3], y[:3]),
        }

    def recovered(self, graph, first, second, y):
        """Embeddings of both views and their cosines."""
        model = self.build()[0].model
        f = [model.embed(view) for view in (first, second)]
        store = graph["view1", "same_image", "view2"]
        near = f[0] @ f[0].t() - 9 * torch.eye(12)
        near = torch.zeros(12, 12).scatter(1, near.topk(3).indices, 1.0)
        return {
            "first": (graph["view1"].x, f[0]),
            "second": (graph["view2"].x, f[1]),
            "image": (graph["image"].x, (f[0] + f[1]) / 2),
            "cosines": (store.edge_weight, F.cosine_similarity(*f)),
            "positives": (store.edge_index, torch.arange(12).repeat(2, 1)),
            "neighbours": (
                graph["view1", "near", "view1"].edge_index,
                (near + near.t()).nonzero().t(),
            ),
            "identities": (graph["image"].y, y),
        }


def test_wrong_arguments_are_named():
    x = torch.randn(8, 4)
    coassociation = CoassociationGraphAdapter()
    for name, arguments in (
        ("'history'", (HISTORY[:0], x)),
        ("'history'", (HISTORY[:, :3], x)),
        ("'other'", (HISTORY, x, x[:3])),
        ("'y'", (HISTORY, x, x, HISTORY[0, :3])),
    ):
        with pytest.raises(ValueError, match=name):
            coassociation(*arguments)
    model = ConsistencyClustering(network(), 4, 3)
    with pytest.raises(ValueError, match="'k'"):
        TwoViewGraphAdapter(model, k=0)
    with pytest.raises(ValueError, match="9 and 4 embeddings"):
        TwoViewGraphAdapter(model)(torch.rand(9, 6), torch.rand(4, 6))
