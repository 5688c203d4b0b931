"""Repair of pseudo labels: what message passing can know, and that no label reaches itself."""

import pytest
import torch
from torch_geometric.data import HeteroData

from benchmarks.problems import label_repair
from benchmarks.problems.label_repair import relational_labels, smoothed_labels

CLUSTERS = 6


def graph_of(hard, truth, soft, seed=0):
    """Images near others of their own truth, with numbers of clusters that have gaps."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.nn.functional.normalize(torch.randn(CLUSTERS, 16, generator=generator), dim=1)
    x = centre[truth] + 0.4 * torch.randn(len(truth), 16, generator=generator)
    number = 2 * torch.arange(CLUSTERS)
    inside = (hard >= 0).nonzero().squeeze(1)
    members = torch.stack([inside, hard[inside] // 2])
    graph = HeteroData()
    graph["image"].x = torch.nn.functional.normalize(x, dim=1)
    total = torch.zeros(CLUSTERS, 16).index_add_(0, members[1], graph["image"].x[inside])
    graph["cluster"].update({"x": total, "number": number})
    graph["image", "hard", "cluster"].edge_index = members
    cluster = soft[:, number].topk(2).indices
    image = torch.arange(len(hard)).repeat_interleave(2)
    graph["image", "soft", "cluster"].edge_index = torch.stack([image, cluster.flatten()])
    near = (truth == truth.unsqueeze(1)) & (
        torch.rand(len(hard), len(hard), generator=generator) < 0.3
    )
    near = (near | near.t()).fill_diagonal_(False)
    graph["image", "k_reciprocal", "image"].edge_index = near.nonzero().t()
    graph["image", "k_reciprocal", "image"].edge_weight = torch.full((int(near.sum()),), 0.6)
    return graph


@pytest.fixture
def noisy():
    """A fifth of the labels drawn anew, a fifth outliers; soft labels that are mostly right."""
    torch.manual_seed(0)
    truth = torch.arange(120) % CLUSTERS
    hard = 2 * truth
    order = torch.randperm(120)
    hard[order[:24]] = 2 * torch.randint(CLUSTERS, (24,))
    hard[order[24:48]] = -1
    guess = torch.where(torch.rand(120) < 0.7, truth, torch.randint(CLUSTERS, (120,)))
    soft = torch.zeros(120, 2 * CLUSTERS)
    soft[:, ::2] = torch.rand(120, CLUSTERS) + torch.eye(CLUSTERS)[guess]
    soft = soft / soft.sum(1, keepdim=True)
    return graph_of(hard, truth, soft), hard, truth, soft


def test_wrong_labels_and_outliers_are_named_by_their_neighbours(noisy):
    graph, hard, truth, soft = noisy
    before = (hard == 2 * truth).float().mean()
    assert 0.6 < before < 0.7
    label = relational_labels(graph, hard)
    assert (label == 2 * truth).float().mean() > before + 0.2
    assert (label == 2 * truth)[hard < 0].float().mean() > 0.8
    for name, label in smoothed_labels(graph, hard, soft).items():
        assert (label == 2 * truth).float().mean() > before, name


def test_no_label_reaches_itself(noisy, monkeypatch):
    graph, hard, _, _ = noisy
    calls = []

    class Spy(label_repair.RelationalLabels):
        def forward(self, x, edges, kind, images):
            logits = super().forward(x, edges, kind, images)
            calls.append((self.training, edges, kind, logits.argmax(1)))
            return logits

    monkeypatch.setattr(label_repair, "RelationalLabels", Spy)
    label = relational_labels(graph, hard, steps=6, folds=3)
    last = [call for call in calls if not call[0]]
    assert len(last) == 3
    known = torch.zeros(120, dtype=torch.bool)
    for _, edges, kind, named in last:
        assert torch.equal(kind.unique(), torch.tensor([0, 1, 2, 3, 4]))
        shown = torch.zeros(120, dtype=torch.bool)
        shown[edges[0, kind == 0]] = True
        assert torch.equal(edges[:, kind == 0], edges[:, kind == 1].flip(0))
        out = (hard >= 0) & ~shown
        assert out.any()
        assert not (known & out).any()
        known |= out
        assert torch.equal(label[out], 2 * named[out])
    assert torch.equal(known, hard >= 0)


def test_only_near_images_are_related(noisy):
    graph, hard, _, _ = noisy
    near = graph["image", "k_reciprocal", "image"]
    near.edge_weight[::2] = 0.1
    edges, kind = label_repair.relations(graph, len(hard))
    assert torch.equal(edges[:, kind == 4], near.edge_index[:, 1::2])
    assert edges[1, kind == 2].min() >= len(hard)


def test_without_a_hard_label_every_image_still_gets_a_cluster(noisy):
    graph, hard, _, _ = noisy
    none = torch.full_like(hard, -1)
    graph["image", "hard", "cluster"].edge_index = torch.empty(2, 0, dtype=torch.long)
    assert torch.isin(relational_labels(graph, none), graph["cluster"].number).all()
