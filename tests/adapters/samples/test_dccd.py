import pytest
import torch
from torch_geometric.nn import GCNConv

from graphkit.adapters import DomainGraphAdapter, InterventionGraphAdapter
from graphkit.testing import AdapterSuite
from graphkit.vision import DCCD, GroupMoments, wasserstein_distances


def model():
    dccd = DCCD(torch.nn.Linear(5, 4), 4, num_classes=6, num_domains=3)
    y = torch.arange(30) % 6
    with torch.no_grad():
        dccd.loss(torch.randn(30, 5), y=y, domain=y % 3)
    return dccd


def samples(count):
    y = torch.arange(count) % 6
    return torch.randn(count, 5), y, y % 3


class TestInterventionGraphAdapter(AdapterSuite):
    not_claimed = {"no_edge": "a sample always has its domain"}

    def make(self):
        return InterventionGraphAdapter(model(), interventions=2, k=3)

    def example(self):
        return samples(13)

    def degenerate(self):
        return {"one sample": samples(1), "three samples": samples(3), "no sample": samples(0)}

    def recovered(self, graph, x, y, d):
        adapter, _ = self.build()
        do = adapter.model.intervention
        z = adapter.model(x).detach()
        source, target = graph["do"].edge_index
        order = target.argsort()
        before, after = graph["do"].edge_attr[order, 0].long(), graph["do"].edge_attr[order, 1]
        moved = do(z[source[order]], before, after.long())
        length = (moved - z[source[order]]).norm(dim=1)
        return {
            "representations": (graph["factual"].x, z),
            "interventions": (graph["counterfactual"].x, moved),
            "lengths": (graph["do"].edge_attr[order, 2], length),
            "domains": (graph["factual", "in", "domain"].edge_index[1], d),
            "domains before": (before, d.repeat(2)),
            "domains set": (graph["counterfactual"].domain, after.long()),
            "identities": (graph["counterfactual"].y, y.repeat(2)),
            "means": (graph["domain"].x[:, :4], do.moments.mean),
        }


def test_the_roots_of_a_model_in_training_stay():
    dccd = model()
    dccd.intervention.every = 5
    dccd.intervention.moments.update(torch.randn(30, 4), torch.arange(30) % 3)
    before = {name: value.clone() for name, value in dccd.state_dict().items()}
    InterventionGraphAdapter(dccd)(*samples(13))
    assert all(torch.equal(before[name], value) for name, value in dccd.state_dict().items())


class TestDomainGraphAdapter(AdapterSuite):
    def make(self):
        return DomainGraphAdapter()

    def example(self):
        return torch.randn(40, 4), torch.arange(40) % 4

    def degenerate(self):
        return {
            "one domain": (torch.randn(5, 4), torch.zeros(5, dtype=torch.long)),
            "one sample each": (torch.randn(3, 4), torch.arange(3)),
            "no sample": (torch.randn(0, 4), torch.zeros(0, dtype=torch.long)),
        }

    def recovered(self, graph, z, d):
        moments = GroupMoments(4, 4)
        moments.update(z, d)
        squared = wasserstein_distances(moments.mean, moments.cov)
        source, target = graph.edge_index
        return {
            "means": (graph.x[:, :4], moments.mean),
            "variance": (graph.x[:, 4:].sum(1), moments.cov.diagonal(dim1=1, dim2=2).sum(1)),
            "counts": (graph.count, torch.full((4,), 10)),
            "distances": (graph.edge_attr[:, 0], squared[source, target]),
            "weights": (graph.edge_weight, (-graph.edge_attr[:, 0] / squared.sum() * 12).exp()),
        }


def test_identities_and_neighbours():
    x, y, d = samples(13)
    graph = InterventionGraphAdapter(model(), k=2)(x, y, d)
    same = y.unsqueeze(0) == y.unsqueeze(1)
    same.fill_diagonal_(False)
    assert torch.equal(graph["same_id"].edge_index, same.nonzero().t())
    z = graph["factual"].x
    cosine = torch.cosine_similarity(z[:, None], z[None], dim=2)
    near = cosine.fill_diagonal_(-2).topk(2).indices
    expected = torch.zeros(13, 13, dtype=torch.bool).scatter(1, near, True)
    expected |= expected.t().clone()
    assert torch.equal(graph["near"].edge_index, expected.nonzero().t())
    values = graph["domain"].x[:, 4:]
    assert (values[:, :-1] >= values[:, 1:]).all(), "largest first"


def test_shrunk_covariances_keep_their_trace():
    z, d = torch.randn(40, 4), torch.arange(40) % 4
    plain, round_ = (DomainGraphAdapter(shrink)(z, d).x[:, 4:] for shrink in (0.0, 1.0))
    assert torch.allclose(round_, plain.mean(1, keepdim=True).expand(4, 4), atol=1e-5)


class Nodes(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = GCNConv(4, 4)

    def forward(self, x, edge_index):
        return self.conv(x, edge_index)


def test_nodes_of_a_graph():
    dccd = DCCD(Nodes(), 4, num_classes=3, num_domains=2)
    x, edge_index, rows = torch.rand(8, 4), torch.randint(8, (2, 20)), torch.tensor([0, 3, 5])
    y, d = torch.arange(3), torch.tensor([0, 1, 1])
    dccd.loss(x, edge_index, y=y, domain=d, rows=rows)
    graph = InterventionGraphAdapter(dccd)(x, y, d, edge_index, rows=rows)
    assert torch.allclose(graph["factual"].x, dccd(x, edge_index)[rows].detach())


def test_wrong_arguments_are_named():
    for options, name in (({"k": 0}, "'k'"), ({"interventions": 0}, "'interventions'")):
        with pytest.raises(ValueError, match=name):
            InterventionGraphAdapter(model(), **options)
    x, y, d = samples(4)
    adapter = InterventionGraphAdapter(model())
    with pytest.raises(ValueError, match="'y'"):
        adapter(x, y[:3], d)
    with pytest.raises(ValueError, match="'domain'"):
        adapter(x, y, d + 2)
    fresh = InterventionGraphAdapter(DCCD(torch.nn.Linear(5, 4), 4, 6, 3))
    with pytest.raises(ValueError, match="no domain has been seen"):
        fresh(x, y, d)
    with pytest.raises(ValueError, match="'shrink'"):
        DomainGraphAdapter(shrink=2.0)
    with pytest.raises(ValueError, match="nobody in"):
        DomainGraphAdapter()(torch.rand(2, 3), torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="'group'"):
        DomainGraphAdapter()(torch.rand(2, 3), torch.tensor([0]))
