import pytest
import torch
from torch_geometric.nn import SimpleConv

from graphkit.adapters import EpisodeGraphAdapter
from graphkit.testing import AdapterSuite
from graphkit.vision import ClassRegularization


def make(k=3):
    embed = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(9, 6))
    return EpisodeGraphAdapter(ClassRegularization(embed, 6, num_classes=7), k)


class TestEpisodeGraphAdapter(AdapterSuite):
    def make(self):
        return make()

    def example(self):
        return torch.rand(4, 2, 3, 3), torch.rand(12, 3, 3), torch.arange(12) % 4

    def degenerate(self):
        nothing = torch.rand(0, 3, 3), torch.zeros(0, dtype=torch.long)
        return {
            "one class, one image": (torch.rand(1, 1, 3, 3), *nothing),
            "two images": (torch.rand(2, 1, 3, 3), *nothing),
            "no image": (torch.rand(0, 1, 3, 3), *nothing),
        }

    not_claimed = {"no_edge": "a sample always expresses the basis"}

    def recovered(self, graph, support, query, y):
        """The descriptors, by message passing from the basis, and the supports' labels."""
        adapter, _ = self.build()
        sizes = graph["basis"].x, graph["class"].x
        built = SimpleConv(aggr="add")(
            sizes, graph["builds"].edge_index, graph["builds"].edge_weight
        )
        source, target = graph["supports"].edge_index
        labels = torch.cat([torch.arange(4).repeat_interleave(2), y])
        return {
            "descriptors": (adapter.model.decoder(built).detach(), graph["class"].x),
            "classes of supports": (graph["sample"].y[source], target),
            "classes": (graph["sample"].y, labels),
            "supports": (graph["sample"].support, torch.arange(20) < 8),
        }


def test_samples_are_linked_to_their_nearest():
    adapter, x = make(k=2), torch.rand(9, 3, 3)
    graph = adapter(x[:3].unsqueeze(1), x[3:])
    f = adapter.model(x).detach()
    cosine = torch.cosine_similarity(f[:, None], f[None], dim=2)
    near = cosine.fill_diagonal_(-2).topk(2).indices
    expected = torch.zeros(9, 9, dtype=torch.bool).scatter(1, near, True)
    expected |= expected.t().clone()
    assert torch.equal(graph["near"].edge_index, expected.nonzero().t())
    assert torch.allclose(graph["near"].edge_weight, (1 + cosine[expected]) / 2, atol=1e-6)
    assert graph["sample"].y[3:].tolist() == [-1] * 6


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'k'"):
        make(k=0)
    with pytest.raises(ValueError, match="support"):
        make()(torch.rand(2, 3, 3), torch.rand(4, 3, 3))
    with pytest.raises(ValueError, match="'y'"):
        make()(torch.rand(2, 1, 3, 3), torch.rand(4, 3, 3), torch.zeros(3).long())


def test_a_model_in_training_is_looked_at_in_evaluation():
    layers = torch.nn.Flatten(), torch.nn.BatchNorm1d(9), torch.nn.Dropout(), torch.nn.Linear(9, 6)
    adapter = EpisodeGraphAdapter(ClassRegularization(torch.nn.Sequential(*layers), 6, 7))
    adapter.train()
    support, query = torch.rand(4, 2, 3, 3), torch.rand(12, 3, 3)
    first, second = adapter(support, query), adapter(support, query)
    assert torch.equal(first["sample"].x, second["sample"].x)
    assert int(layers[1].num_batches_tracked) == 0
    assert layers[2].training
