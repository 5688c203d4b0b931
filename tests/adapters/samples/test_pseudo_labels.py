import pytest
import torch
from torch import nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import CorrectAndSmooth

from graphkit.adapters import PseudoLabelGraphAdapter
from graphkit.testing import AdapterSuite
from graphkit.vision import SSKD, jaccard_edges

NEAR = ("image", "k_reciprocal", "image")


def images(count=24):
    generator = torch.Generator().manual_seed(3)
    y = torch.arange(count) % 4
    centre = torch.randn(4, 6, generator=generator)
    return centre[y] + 0.3 * torch.randn(count, 6, generator=generator), y


def make(**options):
    torch.manual_seed(0)
    x, y = images()
    model = SSKD(nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4)), 4, max_clusters=9, peers=2)
    label = 2 * y
    label[::5] = -1
    model.start_round(model.embed(x), label)
    return PseudoLabelGraphAdapter(model, k1=6, k2=3, **options), x, label, y


def test_a_cluster_nobody_is_in_has_no_identity():
    data, f = HeteroData(), torch.randn(3, 2)
    data["image"].y = torch.tensor([5, 7, 7])
    members = torch.tensor([[0, 1, 2], [0, 2, 2]])
    make()[0].add_clusters(data, f, torch.tensor([3, 4, 6]), members)
    assert data["cluster"].y.tolist() == [5, -1, 7]
    assert data["cluster"].size.tolist() == [1, 0, 2]
    torch.testing.assert_close(data["cluster"].x, torch.stack([f[0], f[0] * 0, f[1:].mean(0)]))


class TestPseudoLabelGraphAdapter(AdapterSuite):
    not_claimed = {"no_edge": "an image has soft labels as soon as there is a cluster"}

    def make(self):
        return make()[0]

    def example(self):
        _, x, label, y = make()
        return x, label, y, torch.arange(24) % 3

    def degenerate(self):
        x, label, y, camera = self.example()
        return {
            "no image": (x[:0], label[:0], y[:0], camera[:0]),
            "one image": (x[:1], label[:1], y[:1], camera[:1]),
            "fewer than k": (x[:5], label[:5], y[:5], camera[:5]),
            "all outliers": (x, torch.full_like(label, -1), y, camera),
            "all the same": (x[:1].repeat(8, 1), label[:8], y[:8], camera[:8]),
            "nothing known": (x, label),
        }

    def recovered(self, graph, x, label, y, camera):
        """Embeddings, who is in which cluster, and Jaccard distances."""
        adapter, _ = self.build()
        model, image = adapter.model, graph["image"]
        hard = torch.full((len(x),), -1)
        edges = graph["image", "hard", "cluster"].edge_index
        hard[edges[0]] = graph["cluster"].number[edges[1]]
        _, distance = jaccard_edges(model.embed(x), 6, 3)
        soft = graph["image", "soft", "cluster"]
        shares = model.soft_labels(x)
        where = soft.edge_index[0], graph["cluster"].number[soft.edge_index[1]]
        return {
            "embeddings": (image.x, model.embed(x)),
            "identities": (image.y, y),
            "cameras": (image.camera, camera),
            "clusters": (hard, label),
            "outliers": (image.outlier, label < 0),
            "distances": (1 - graph[NEAR].edge_weight, distance),
            "soft labels": (soft.edge_weight, shares[where]),
            "entropy": (image.entropy, -(shares * shares.clamp(min=1e-12).log()).sum(1)),
        }


def test_clusters_are_means_with_sizes_and_the_most_frequent_identity():
    adapter, x, label, y = make()
    graph = adapter(x, label, y)
    cluster, f = graph["cluster"], adapter.model.embed(x)
    assert cluster.number.tolist() == [0, 2, 4, 6]
    for row, number in enumerate(cluster.number.tolist()):
        members = label == number
        assert cluster.size[row] == members.sum()
        torch.testing.assert_close(cluster.x[row], f[members].mean(0))
        assert cluster.y[row] == y[members].mode().values


def test_the_largest_soft_labels_are_linked():
    adapter, x, label, _ = make(top=2)
    store = adapter(x, label)["image", "soft", "cluster"]
    expected = adapter.model.soft_labels(x)[:, [0, 2, 4, 6]].topk(2).indices.sort(1).values
    assert torch.equal(store.edge_index[1].view(-1, 2), expected)
    assert make(top=50)[0](x, label)["image", "soft", "cluster"].edge_index.size(1) == 4 * 24


def test_correct_and_smooth_runs_on_it_and_reaches_outliers():
    from torch_geometric.nn.conv.gcn_conv import gcn_norm

    adapter, x, label, y = make()
    graph = adapter(x, label, y)
    near, known = graph[NEAR], (label >= 0).nonzero().squeeze(1)
    edges, weight = gcn_norm(near.edge_index, near.edge_weight, 24, add_self_loops=False)
    flat = torch.full((24, 9), 1 / 9)
    smooth = CorrectAndSmooth(10, 0.8, 10, 0.8, autoscale=False)
    result = smooth.correct(flat, label[known], known, edges, weight)
    result = smooth.smooth(result, label[known], known, edges, weight)
    outliers = graph["image"].outlier
    right = result.argmax(1)[outliers] == 2 * y[outliers]
    assert right.float().mean() > 0.7


def test_wrong_arguments_are_named():
    adapter, x, label, _ = make()
    with pytest.raises(ValueError, match="'top'"):
        make(top=0)
    with pytest.raises(ValueError, match="'label' has shape"):
        adapter(x, label[:3])
    with pytest.raises(ValueError, match="'camera' has shape"):
        adapter(x, label, None, label[:3])
    for number in (1, 99):
        with pytest.raises(ValueError, match="no cluster of the model's round"):
            adapter(x, torch.full_like(label, number))
